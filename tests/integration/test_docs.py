"""What the pages show as YAML, the API server takes; what they show as commands, kubectl does."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.manifests import ROOT, Object
from support.objects import Eventually, Kubectl, apply, ended, get, goosejob, recipe
from support.rig import Rig

Shell = Callable[[str], str]
COMMANDS = [
    command
    for page in ("docs/authors.md", "docs/on-call.md")
    for command in re.findall(
        r"^\$ (kubectl (?:get|describe|annotate) .*\bX\b.*?)(?:  +# .*)?$",
        (ROOT / page).read_text(),
        re.MULTILINE,
    )
]
"""What they show for a GooseJob called X, and for nothing that has to be looked up before."""

PAGES = ("README.md", "docs/admin.md", "docs/authors.md")


def blocks() -> list[tuple[str, Object]]:
    """Each block of YAML, with its page and number."""
    found = []
    for page in PAGES:
        texts = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
        found += [(f"{page}-{number}", yaml.safe_load(text)) for number, text in enumerate(texts, 1)]
    return found


@pytest.mark.parametrize(
    ("name", "block"), blocks(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_example_is_accepted(kubectl: Kubectl, namespace: str, name: str, block: Object) -> None:
    if "apiVersion" in block:
        block["metadata"]["namespace"] = namespace
    else:  # a part of a spec
        assert set(block) == {"spec"}, name
        block = goosejob("shown", **block["spec"])
    answer = kubectl(
        "apply", "-n", namespace, "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(block)
    )
    assert "(server dry run)" in answer.stdout


def test_the_pages_have_examples() -> None:
    assert {name.split("-")[0] for name, _ in blocks()} == {*PAGES}
    assert len(COMMANDS) > 15


def commands(page: str, heading: str) -> str:
    """The commands that stand under a heading, as somebody copies them."""
    text = (ROOT / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(block)


def shown(page: str, name: str) -> Object:
    """The object of this name in one of the page's blocks."""
    [block] = [
        block for where, block in blocks() if page in where and block.get("metadata") == {"name": name}
    ]
    return block


TOPIC = {"key": "topic", "input_type": "string", "requirement": "required", "description": "d"}


@pytest.fixture
def shell(platform: Rig, namespace: str, tmp_path: Path) -> Shell:
    """Runs commands where kubectl is at hand and looks into the test's namespace."""
    access = yaml.safe_load(platform.kubeconfig.read_text())
    for context in access["contexts"]:
        context["context"]["namespace"] = namespace
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(access))
    binaries = Path(platform.platform.kubectl()[0]).parent
    environment = {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig)}

    def run(text: str) -> str:
        done = subprocess.run(
            ["sh", "-eu", "-c", text],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    return run


@pytest.mark.usefixtures("operator", "worker")
async def test_the_first_goosejob_is_made_of_a_recipe_and_tells_its_result(shell: Shell) -> None:
    said = shell(commands("docs/authors.md", "From goose run to a GooseJob"))
    outcome, result, *_ = said.splitlines()[-2:]
    assert outcome == "Succeeded"
    assert result


@pytest.mark.usefixtures("operator", "worker")
async def test_a_copy_with_other_parameters_runs_once_and_is_the_original_otherwise(
    shell: Shell, kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    original = shown("docs/authors.md", "nightly-report")
    original["metadata"] |= {
        "labels": {"team": "a"},
        "annotations": {"argocd.argoproj.io/tracking-id": "theirs", "goosejobs.dev/run-requested": "theirs"},
    }
    original["spec"] |= {
        "suspend": True,
        "jitterSeconds": 1,
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2099-01-01T00:00:00Z",
        "recipe": {"inline": recipe("stub: answer it is about {{ topic }}", parameters=[TOPIC])},
    }
    apply(kubectl, namespace, original)
    await eventually(lambda: get(kubectl, namespace, "nightly-report")["metadata"].get("finalizers"))
    before = get(kubectl, namespace, "nightly-report")

    shell(commands("docs/authors.md", "A run apart, with other parameters"))

    run = await ended(kubectl, eventually, namespace, "report-on-temporal")
    assert (run["outcome"], run["result"]) == ("Succeeded", "it is about Temporal")
    copy = get(kubectl, namespace, "report-on-temporal")
    assert "annotations" not in copy["metadata"]
    assert copy["metadata"]["labels"] == {"team": "a"}
    of_schedules = {"schedules", "timeZone", "startTime", "endTime", "skipDates", "jitterSeconds"}
    same = {name: value for name, value in before["spec"].items() if name not in of_schedules}
    assert copy["spec"] == same | {
        "runOnce": True,
        "suspend": False,
        "parameters": [{"name": "topic", "value": "Temporal"}],
    }
    assert get(kubectl, namespace, "nightly-report")["spec"] == before["spec"]


@pytest.mark.usefixtures("operator", "worker")
async def test_one_can_be_asked_for_when_another_one_has_succeeded(
    shell: Shell, kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    shell(commands("docs/authors.md", "From goose run to a GooseJob"))
    nightly = shown("docs/authors.md", "nightly-report")
    nightly["spec"]["suspend"] = True  # at some hour of the day it would be due
    apply(kubectl, namespace, nightly)
    await eventually(lambda: get(kubectl, namespace, "nightly-report")["status"].get("scheduleId"))
    shell(commands("docs/authors.md", "One after the other"))
    run = await ended(kubectl, eventually, namespace, "nightly-report")
    assert (run["trigger"], run["outcome"]) == ("Manual", "Succeeded")


@pytest.mark.usefixtures("operator", "worker")
async def test_a_file_that_changed_reaches_the_goosejobs_of_its_config_map(
    shell: Shell, kubectl: Kubectl, eventually: Eventually, namespace: str, tmp_path: Path
) -> None:
    def digest() -> Any:
        return get(kubectl, namespace, "nightly-report").get("status", {}).get("recipeDigest")

    shell(commands("docs/authors.md", "From goose run to a GooseJob"))
    apply(kubectl, namespace, shown("docs/authors.md", "nightly-report"))
    before = await eventually(digest)
    recipe_file = tmp_path / "topic.yaml"
    recipe_file.write_text(recipe_file.read_text().replace("three sentences", "one sentence"))
    shell(commands("docs/authors.md", "Recipes in ConfigMaps"))
    await eventually(lambda: digest() not in {None, before})


@pytest.mark.usefixtures("operator", "worker")
async def test_kubectl_takes_each_command_that_the_pages_show_for_a_goosejob(
    shell: Shell, kubectl: Kubectl, eventually: Eventually, namespace: str
) -> None:
    apply(kubectl, namespace, goosejob("x", schedule="@every 5s"))
    await ended(kubectl, eventually, namespace, "x")
    for command in COMMANDS:
        shell(re.sub(r"\bX\b", "x", command))
