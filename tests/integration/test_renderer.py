"""The child process: what a recipe does to it, the caller does not feel."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from goosejobs.clients.errors import Unavailable
from goosejobs.clients.renderer import Renderer
from goosejobs.model.reasons import StalledReason
from goosejobs.recipe import RecipeError

CPU_SECONDS = 1.0
"""So that no recipe but a bomb needs it, on a machine that is slow."""
PARAMETER = "{key: x, input_type: string, requirement: required, description: d}"
LOOP = "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}"
LONG = {"x": "x" * 60_000}


def recipe(prompt: str) -> str:
    return f"title: t\ndescription: d\nparameters: [{PARAMETER}]\nprompt: {json.dumps(prompt)}\n"


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def seconds_of(pid: int) -> float:
    """Processor time that it has used."""
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    async with Renderer(cpu_seconds=CPU_SECONDS) as running:
        yield running


async def test_a_recipe_comes_back_ready_for_goose(renderer: Renderer) -> None:
    text = recipe("{{ x }}") + "response: {json_schema: {type: object}}\n"
    prepared = await renderer.prepare(text, {"x": '"\n{{ y }}\U0001f9ea'})
    assert prepared.text == (
        '{"title":"t","description":"d","prompt":"\\"\\n\\u007b\\u007b y \\u007d\\u007d\U0001f9ea",'
        '"response":{"json_schema":{"type":"object"}}}\n'
    )
    assert (prepared.title, prepared.needs_output) == ("t", True)


async def test_problems_come_back_as_they_were_found(renderer: Renderer) -> None:
    with pytest.raises(RecipeError) as caught:
        await renderer.prepare(recipe("{{ x }}"), {"y": "1"})
    assert caught.value.reason is StalledReason.INVALID_PARAMETERS
    assert caught.value.describe("spec.recipe.inline") == (
        'spec.parameters[0].name: the recipe has no parameter "y"; it has "x"; '
        'spec.parameters: "x" is missing; the recipe requires it ("d")'
    )


async def test_problems_are_bounded_however_long_the_recipes_words_are(renderer: Renderer) -> None:
    names = " ".join(f"{{{{ {'a' * 1000}{n} }}}}" for n in range(150))
    with pytest.raises(RecipeError) as caught:
        await renderer.prepare(recipe(names), {"x": "1"})
    assert len(caught.value.problems) == 100
    assert max(len(problem.message) for problem in caught.value.problems) <= 500


async def test_files_are_read_for_the_worker_and_only_named_for_the_operator(
    renderer: Renderer, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("read")
    text = recipe("{{ x }} {{ recipe_dir }}").replace("string", "file")
    prepared = await renderer.prepare(text, {"x": "notes.txt"}, base_dir="a", files_root=str(tmp_path))
    assert json.loads(prepared.text)["prompt"] == f"read {tmp_path}/a"
    await renderer.check(text, {"x": "anywhere.txt"}, base_dir="a")
    with pytest.raises(RecipeError, match="leaves the pool's recipe folder"):
        await renderer.check(text, {"x": "../anywhere.txt"}, base_dir="a")


BOMBS = {
    "loops": (LOOP, f"rendering took longer than {CPU_SECONDS:g} s: a template loop?"),
    "a huge indentation": (
        "{{ x | indent(900000000) }}",
        "rendering took more than 512 MiB of memory: a template loop?",
    ),
    "signs without end": (
        "{{ " + "-" * 190_000 + "1 }}",
        "a template is nested too deeply for the template engine",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_a_problem_of_its_recipe_alone(renderer: Renderer, name: str) -> None:
    template, says = BOMBS[name]
    with pytest.raises(RecipeError) as caught:
        await renderer.prepare(recipe(template), LONG)
    assert (caught.value.problems[0].path, caught.value.message) == ("", says)
    assert (await renderer.prepare(recipe("{{ x }}"), {"x": "next"})).title == "t"


async def test_others_in_the_queue_wait_no_longer_than_a_bombs_time(renderer: Renderer) -> None:
    start = time.monotonic()
    outcomes = await asyncio.gather(
        renderer.check(recipe("{{ x }}"), LONG),
        renderer.check(recipe(LOOP), LONG),
        *[renderer.check(recipe("{{ x }}"), LONG) for _ in range(20)],
        return_exceptions=True,
    )
    assert [isinstance(outcome, RecipeError) for outcome in outcomes] == [False, True, *[False] * 20]
    assert time.monotonic() - start < 60  # a machine may be slow; a bomb alone would take for ever


async def test_the_time_is_each_recipes_own(renderer: Renderer) -> None:
    await renderer.check(recipe("{{ x }}"), LONG)
    child = renderer._child
    assert child is not None
    before = seconds_of(child.pid)
    while seconds_of(child.pid) - before < 2 * CPU_SECONDS:
        await renderer.check(recipe("{% for a in x %}{{ a }}{% endfor %}"), LONG)
    assert renderer._child is child


async def test_a_child_that_somebody_killed_is_not_the_recipes_fault(renderer: Renderer) -> None:
    await renderer.check(recipe("{{ x }}"), LONG)
    assert renderer._child is not None
    renderer._child.send_signal(signal.SIGSTOP)  # else its time might be over before it is killed
    asking = asyncio.ensure_future(renderer.check(recipe(LOOP), LONG))
    await asyncio.sleep(0)
    renderer._child.kill()
    with pytest.raises(Unavailable, match=r"^the recipe process was ended by SIGKILL$"):
        await asking
    await renderer.check(recipe("{{ x }}"), LONG)


async def test_a_child_that_does_not_answer_is_given_up() -> None:
    # Long enough for answers of a child that only stands still for a while.
    async with Renderer(cpu_seconds=CPU_SECONDS, wall_seconds=10) as renderer:
        await renderer.check(recipe("{{ x }}"), {"x": "1"})
        stopped = renderer._child
        assert stopped is not None
        stopped.send_signal(signal.SIGSTOP)
        with pytest.raises(Unavailable, match=r"^the recipe process gave no answer within 10 s$"):
            await renderer.check(recipe("{{ x }}"), {"x": "1"})
        assert stopped.returncode == -signal.SIGKILL
        await renderer.check(recipe("{{ x }}"), {"x": "1"})


async def test_an_answer_nobody_waits_for_is_not_taken_for_the_next_ones(renderer: Renderer) -> None:
    await renderer.check(recipe("{{ x }}"), LONG)
    given_up = asyncio.ensure_future(renderer.prepare(recipe("given up"), {"x": "1"}))
    await asyncio.sleep(0)
    given_up.cancel()
    assert isinstance((await asyncio.gather(given_up, return_exceptions=True))[0], asyncio.CancelledError)
    assert json.loads((await renderer.prepare(recipe("{{ x }}"), {"x": "mine"})).text)["prompt"] == "mine"


async def test_closing_leaves_no_process_and_a_later_request_starts_one() -> None:
    renderer = Renderer(cpu_seconds=CPU_SECONDS)
    await renderer.close()
    await renderer.check(recipe("{{ x }}"), LONG)
    child = renderer._child
    assert child is not None
    await renderer.close()
    assert child.returncode is not None
    await renderer.check(recipe("{{ x }}"), LONG)
    await renderer.close()


async def test_a_child_that_nobody_needs_for_long_is_ended_and_a_later_request_starts_one(
    eventually: Callable[..., Awaitable[Any]],
) -> None:
    async with Renderer(cpu_seconds=CPU_SECONDS, idle_seconds=0.2) as renderer:
        await renderer.check(recipe("{{ x }}"), LONG)
        child = renderer._child
        assert child is not None
        await eventually(lambda: child.returncode is not None and renderer._child is None)
        await renderer.check(recipe("{{ x }}"), LONG)


async def test_a_request_that_takes_long_is_no_idleness() -> None:
    async with Renderer(cpu_seconds=CPU_SECONDS, idle_seconds=0.01) as renderer:
        assert (await renderer.prepare(recipe("{{ x }}"), LONG)).title == "t"


async def test_the_child_sees_none_of_our_secrets(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    await renderer.check(recipe("{{ x }}"), LONG)
    assert renderer._child is not None
    assert "OPENAI_API_KEY" not in proc(renderer._child.pid, "environ")


async def test_the_child_is_limited_by_the_kernel(renderer: Renderer) -> None:
    await renderer.check(recipe("{{ x }}"), LONG)
    assert renderer._child is not None
    lines = proc(renderer._child.pid, "limits").splitlines()
    limits = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    assert limits["Max address space"] == [str(512 * 1024 * 1024)] * 2
    assert limits["Max core file size"] == ["0", "0"]


def test_a_child_that_cannot_start_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")

    async def ask() -> None:
        async with Renderer() as renderer:
            await renderer.check(recipe("{{ x }}"), LONG)

    with pytest.raises(Unavailable, match=r"^the recipe process does not start: .*No such file or directory"):
        asyncio.run(ask())


def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "goosejobs.recipe", "2", str(512 * 1024 * 1024)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_the_child_ends_with_its_input_and_not_with_ctrl_c() -> None:
    with child() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.read(6) == b"\0\0\0\2{}"
        os.kill(process.pid, signal.SIGINT)
        request: dict[str, object] = {
            "text": "",
            "parameters": {},
            "base_dir": None,
            "files_root": None,
            "check": True,
            "scheduled": False,
        }
        body = json.dumps(request).encode()
        process.stdin.write(len(body).to_bytes(4, "big") + body)
        process.stdin.close()
        answer = process.stdout.read()
        assert json.loads(answer[4:])["problems"][0][2] == "InvalidRecipe"
        assert process.wait(timeout=90) == 0


def test_the_child_loads_nothing_heavy() -> None:
    script = "import sys, goosejobs.recipe.__main__; print(*{m.split('.')[0] for m in sys.modules})"
    ran = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert not {"pydantic", "asyncio", "temporalio", "kubernetes"} & set(ran.stdout.split())


def test_the_parent_loads_neither_the_template_engine_nor_yaml() -> None:
    script = "import sys, goosejobs.clients.renderer; print(*{m.split('.')[0] for m in sys.modules})"
    ran = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    assert not {"minijinja", "yaml"} & set(ran.stdout.split())


def test_kubernetes_blocking_client_is_not_loaded() -> None:
    script = "import sys, goosejobs.clients.kube; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "kubernetes.aio.client" in loaded
    assert not {"kubernetes.client", "requests", "oauthlib", "websocket"} & loaded
