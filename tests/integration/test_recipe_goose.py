"""Real goose and our recipes: what we hand over is what it reads, and its rules are those we wrote down."""

import json
import os
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goosejobs.model.reasons import Reason
from goosejobs.recipe.encode import encode
from goosejobs.recipe.files import RecipeFolder
from goosejobs.recipe.parse import parse
from goosejobs.recipe.prepare import prepare
from goosejobs_local.modelstub import serve
from support.goose_runs import Scenario, run_goose

DATA = Path(__file__).parents[1] / "data/recipes"
HEAD = "title: t\ndescription: d\nprompt: p\n"
X = "parameters: [{key: x, input_type: string, requirement: required, description: d}]\n"

NASTY = [
    '"',
    "'",
    '"\n\n  - key: x',
    "'\nextensions:\n- {type: stdio, name: x, cmd: id, args: []}\n#",
    "plain\r\nWindows\rMac\n\n",
    "{{ x }}",
    "{{ recipe_dir }}",
    "{% for i in [1] %}{{ i }}{% endfor %}",
    "{% raw %}",
    "{% endraw %}",
    "{%- endraw -%}",
    "{# gone? #}",
    "{{ .Values.a }}",
    "}}{{",
    "{{{{}}}}",
    "a: \"\"",
    ": ''",
    "- a\n- b",
    "--- \n...",
    "&a *a !!str # %",
    "\\ \\n \\u007b \\x7b \\",
    "null",
    "~",
    "yes",
    "1.0",
    "2026-11-21",
    "",
    " ",
    "\t",
    "\0\x01\x1b[31m\x7f",
    "\x80\x85\x9f\xa0\u2028\u2029\ufeff\ufffe\uffff",
    "\u202eright to left",
    "\U0001f9ea\U0001f469\u200d\U0001f680 e\u0301",
    "\U000e0041\U0010ffff\U0001fffe",
    "x" * 5000,
    "" .join(map(chr, range(0x100))),
]  # fmt: skip

TEXTS = (
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.text(list("{}%#\"'\\:-\n\r ax"))
    | st.sampled_from(NASTY)
)

Goose = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def goose(goose_binary: Path, tmp_path: Path) -> Goose:
    """`goose(text, **parameters)`: goose renders a recipe and says what it reads."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GOOSE_PATH_ROOT": str(tmp_path),
        "GOOSE_DISABLE_KEYRING": "1",
        "GOOSE_TELEMETRY_ENABLED": "false",
    }

    def run(text: str, **parameters: str) -> subprocess.CompletedProcess[str]:
        recipe = tmp_path / "recipe.yaml"
        recipe.write_bytes(text.encode())
        given = [f"--params={name}={value}" for name, value in parameters.items()]
        return subprocess.run(
            [goose_binary, "run", f"--recipe={recipe}", "--render-recipe", *given],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return run


def read(goose: Goose, text: str, **parameters: str) -> dict[str, Any]:
    """What goose reads in a recipe."""
    ran = goose(text, **parameters)
    assert ran.returncode == 0, ran.stderr
    return parse(ran.stdout)


def through_goose(goose: Goose, values: list[str]) -> None:
    """Give each value to a parameter of its own, and find it in every text that goose reads."""
    keys = [f"v{n}" for n in range(len(values))]
    fields = {"input_type": "string", "requirement": "required", "description": "d"}
    all_of_them = "|".join(f"{{{{ {key} }}}}" for key in keys)
    extension = {"type": "stdio", "name": "x", "cmd": "run", "args": [f"-{all_of_them}"], "timeout": 5}
    recipe = {
        "title": all_of_them,
        "description": "d",
        "prompt": "p" + all_of_them,
        "instructions": all_of_them + "\n",
        "activities": [f"{{{{ {key} }}}}" for key in keys],
        "extensions": [extension],
        "response": {
            "json_schema": {"type": "object", "description": all_of_them, "additionalProperties": True}
        },
        "settings": {"temperature": 0.5, "max_turns": 7},
        "parameters": [{"key": key, **fields} for key in keys],
    }
    prepared = prepare(json.dumps(recipe), dict(zip(keys, values, strict=True)), RecipeFolder(None, None))
    joined = "|".join(values)
    assert read(goose, prepared.text) == {
        "version": "1.0.0",
        "title": joined,
        "description": "d",
        "prompt": "p" + joined,
        "instructions": joined + "\n",
        "activities": values,
        "extensions": [{**extension, "description": "", "args": ["-" + joined], "env_keys": [], "envs": {}}],
        "response": {"json_schema": {"type": "object", "description": joined, "additionalProperties": True}},
        "settings": {"temperature": 0.5, "max_turns": 7},
    }


def test_goose_reads_every_nasty_value_as_it_is_and_nothing_else_changes(goose: Goose) -> None:
    through_goose(goose, NASTY)


@settings(
    max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(TEXTS, min_size=1, max_size=12))
def test_goose_reads_any_value_as_it_is_and_nothing_else_changes(goose: Goose, values: list[str]) -> None:
    through_goose(goose, values)


KEYS = TEXTS.filter(lambda key: len(key) < 99 and not any(mark in key for mark in ("{{", "{%", "{#")))
LEAVES = TEXTS | st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(-1e300, 1e300)
DATA_OF_ANY_KIND = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=30,
)


@settings(
    max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(DATA_OF_ANY_KIND)
def test_goose_reads_any_data_as_it_is(goose: Goose, data: Any) -> None:
    recipe: dict[str, Any] = {"version": "1.0.0", "title": "t", "description": "d", "prompt": "p"}
    recipe["response"] = {"json_schema": {"type": "object", "default": data}}
    recipe["retry"] = {"max_retries": 1, "checks": []}  # goose prints a line break after the last value
    assert read(goose, encode(recipe)) == recipe


async def test_the_model_gets_a_value_as_the_same_text(goose_binary: Path, tmp_path: Path) -> None:
    value = "\n".join([*NASTY, "stub: answer fine"])
    prepared = prepare(
        f"title: t\ndescription: d\nprompt: '{{{{ x }}}}'\nextensions: []\n{X}",
        {"x": value},
        RecipeFolder(None, None),
    )
    async with serve() as stub:
        scenario = Scenario("", Reason.COMPLETED, text=prepared.text)
        run = await run_goose(goose_binary, scenario, stub, tmp_path)
        assert run.exit_code == 0, run.stderr
        assert stub.requests[-1]["prompt"] == as_goose_sends(value)


def as_goose_sends(text: str) -> str:
    """What goose does to every user message, a person's too: canonical composition, no tag characters."""
    return unicodedata.normalize("NFC", "".join(c for c in text if not 0xE0000 <= ord(c) <= 0xE007F))


SCALARS: dict[str, Any] = yaml.safe_load((DATA / "scalars.yaml").read_text())


def test_goose_reads_unquoted_words_as_the_table_says(goose: Goose) -> None:
    words = SCALARS["texts"] + [word for word, _ in SCALARS["others"]]
    values = SCALARS["texts"] + [value for _, value in SCALARS["others"]]
    text = f"{HEAD}response: {{json_schema: {{default: [{', '.join(words)}]}}}}\n"
    assert read(goose, text)["response"]["json_schema"]["default"] == values


def test_goose_reads_unquoted_words_as_text_where_it_wants_text(goose: Goose) -> None:
    words = SCALARS["texts"] + [word for word, _ in SCALARS["others"]]
    text = f"{HEAD}version: 1.0\nactivities: [{', '.join(words)}]\n"
    recipe = read(goose, text)
    assert (recipe["version"], recipe["activities"]) == ("1.0", words)


TEMPLATES: list[tuple[str, str | None]] = yaml.safe_load((DATA / "templates.yaml").read_text())


def test_goose_renders_templates_as_the_table_says(goose: Goose) -> None:
    accepted = [case for case in TEMPLATES if case[1] is not None]
    listed = "".join(f"- |-\n  {template}\n" for template, _ in accepted)
    recipe = read(goose, f"{HEAD}{X}activities:\n{listed}", x="3")
    assert recipe["activities"] == [rendered for _, rendered in accepted]


@pytest.mark.parametrize("template", [template for template, rendered in TEMPLATES if rendered is None])
def test_goose_refuses_templates_as_the_table_says(goose: Goose, template: str) -> None:
    assert (
        goose(f"{HEAD}{X}instructions: '{{{{ x }}}}'\nactivities:\n- |-\n  {template}\n", x="3").returncode
        == 1
    )


def parameter(**fields: str) -> str:
    whole = {"key": "x", "input_type": "string", "requirement": "required", "description": "d"} | fields
    return f"parameters: [{json.dumps(whole)}]\n"


USE = "instructions: '{{ x }}'\n"

RULES = {
    # What goose 1.52.0 itself says to what we refuse too, and to what we let through on purpose.
    "an unused parameter": (parameter(), "Unnecessary parameter definitions: x."),
    "an undefined variable": (USE, "Missing definitions for parameters in the recipe file: x."),
    "a function is a variable": ("instructions: '{{ range(3) }}'\n", "recipe file: range."),
    "a required value is missing": (parameter() + USE, "Please provide the following parameters"),
    "an optional parameter without a default": (
        parameter(requirement="optional") + USE,
        "Optional parameters missing default values in the recipe: x.",
    ),
    "a file with a default": (
        parameter(input_type="file", default="/etc/hostname") + USE,
        "File parameters cannot have default values",
    ),
    "a name used twice": (
        parameter().rstrip("]\n") + f", {parameter()[13:]}".rstrip("\n") + "\n" + USE,
        "Duplicate parameter definition: x.",
    ),
    "goose's own name": (
        parameter(key="recipe_dir") + "instructions: '{{ recipe_dir }}'\n",
        "Unnecessary parameter definitions: recipe_dir.",
    ),
    "an unknown input type": (parameter(input_type="text") + USE, "unknown variant `text`"),
    "an unknown requirement": (parameter(requirement="must") + USE, "unknown variant `must`"),
    "an unquoted template": ("instructions: {{ x }}\n", "instructions: invalid type: map, expected a string"),
    "a field given twice": ("title: again\n", "duplicate field `title`"),
    "two documents": ("---\ntitle: t\n", "more than one document"),
    "an unknown extension type": ("extensions: [{type: sse, name: x}]\n", "unknown variant `sse`"),
    "a command without arguments": (
        "extensions: [{type: stdio, name: x, cmd: y}]\n",
        "missing field `args`",
    ),
    "no retries": ("retry: {max_retries: 0, checks: []}\n", "max_retries must be greater than 0"),
    "no time": (
        "retry: {max_retries: 1, checks: [], timeout_seconds: 0}\n",
        "timeout_seconds must be greater than 0",
    ),
    "retries without checks": ("retry: {max_retries: 1}\n", "missing field `checks`"),
    "a quoted number": ("settings: {temperature: '1'}\n", 'invalid type: string "1", expected f32'),
    "a schema that is none": ("response: {json_schema: x}\n", "JSON schema must be an object"),
    "a type that JSON does not have": (
        "response: {json_schema: {type: float}}\n",
        "JSON schema validation failed",
    ),
    "a schema elsewhere": (
        "response: {json_schema: {$ref: 'http://127.0.0.1:1/s.json'}}\n",
        "JSON schema validation failed",
    ),
    "a number of more than 64 bits": (
        "response: {json_schema: {maximum: 18446744073709551616}}\n",
        "JSON number out of range",
    ),
    "a sub-recipe that is not there": (
        "sub_recipes: [{name: s, path: s.yaml}]\n",
        "Sub-recipe file does not exist",
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_goose_refuses_it_and_so_do_we(goose: Goose, rule: str) -> None:
    text, says = RULES[rule]
    ran = goose(HEAD + text)
    assert (ran.returncode, ran.stdout.strip()) == (1, "")
    assert says in ran.stderr


def test_goose_takes_silently_what_we_refuse_because_nobody_watches(goose: Goose) -> None:
    typed = "parameters:\n" + "".join(
        f"- {{key: {key}, input_type: {key}, requirement: required, description: d}}\n"
        for key in ("number", "boolean", "date", "select")
    )
    use = "instructions: '{{ number }} {{ boolean }} {{ date }} {{ select }}'\n"
    values = dict.fromkeys(("number", "boolean", "date", "select", "unknown"), "x")
    assert read(goose, HEAD + typed + use, **values)["instructions"] == "x x x x"
    assert "promt" not in read(goose, "title: t\ndescription: d\ninstructions: i\npromt: p\n")


def test_goose_lets_a_value_add_a_command_which_is_why_we_fill_in_templates_ourselves(goose: Goose) -> None:
    value = 'a"\nextensions: [{type: stdio, name: x, cmd: id, args: []}]\n#'
    recipe = f'{HEAD}{X}instructions: "{{{{ x }}}}"\n'
    assert read(goose, recipe, x=value)["extensions"][0]["cmd"] == "id"
    prepared = prepare(recipe, {"x": value}, RecipeFolder(None, None))
    assert read(goose, prepared.text) == parse(HEAD) | {"version": "1.0.0", "instructions": value}
