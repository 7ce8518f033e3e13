"""The ways a goose run can end, and how to bring each about: real goose, scripted stub model.

`tests/integration/test_goose_endings.py` drives each of them; `tests/data/goose` holds what goose 1.52.0
printed, for the unit tests. After a change of goose, or of a scenario, write those files anew:

    python tests/support/goose_runs.py GOOSE_BINARY
"""

import asyncio
import contextlib
import functools
import json
import os
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from goosejobs.model.reasons import Outcome, Reason
from goosejobs_local.modelstub import Stub, serve
from goosejobs_worker.goose.classify import Ending, classify
from goosejobs_worker.goose.command import goose_command, goose_environment
from goosejobs_worker.goose.stream import StreamReader, Transcript

DATA = Path(__file__).parents[1] / "data" / "goose"

SCHEMA = {"json_schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
RETRY = {"max_retries": 2, "checks": [{"type": "shell", "command": "false"}]}
HANGING_CHECK = {"max_retries": 2, "timeout_seconds": 1, "checks": [{"type": "shell", "command": "sleep 60"}]}
BROKEN_EXTENSION = {"type": "stdio", "name": "broken", "cmd": "/nonexistent", "args": []}
NEEDS_TOPIC = {"key": "topic", "input_type": "string", "requirement": "required", "description": "what about"}

SAYINGS = (
    "I've reached the maximum number of actions I can do without user input. Would you like me to continue?",
    r"Ran into this error: Server error: boom.\n\nPlease retry if you think this is a transient error.",
    r"Network error: gone\n\nPlease resend your message to try again.",
    "Maximum retry attempts (2) exceeded. Unable to complete the task successfully.",
    "The model returned an empty response. Please resend your message to continue.",
)
"""What goose itself says on failures; an agent may quote it."""


@dataclass(frozen=True)
class Scenario:
    """A recipe, the circumstances, and the ending that must come out."""

    prompt: str
    reason: Reason
    says: str = ""
    """A part of the ending's message."""
    result: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    """Further fields of the recipe."""
    text: str | None = None
    """The recipe file's text, where it is not made of the above."""
    environment: dict[str, str | None] = field(default_factory=dict)
    """Changes to the worker's environment; None takes a variable away."""
    max_turns: int = 3
    model: str | None = None
    """`spec.model.name`"""
    kill: signal.Signals | None = None
    """Sent to goose once the model has been asked."""
    path_root: str | None = None

    @property
    def needs_output(self) -> bool:
        return "response" in self.recipe

    @property
    def outcome(self) -> Outcome:
        return Outcome.SUCCEEDED if self.reason is Reason.COMPLETED else Outcome.FAILED


SCENARIOS: dict[str, Scenario] = {
    "answer": Scenario("stub: answer hello world", Reason.COMPLETED, result="hello world"),
    "answer-after-tool": Scenario("stub: shell echo hi there", Reason.COMPLETED, result="hi there"),
    "broken-extension": Scenario(
        "stub: answer without it",
        Reason.COMPLETED,
        says="Failed to start extension 'broken'",
        result="without it",
        recipe={"extensions": [BROKEN_EXTENSION]},
    ),
    "checks-pass": Scenario(
        "stub: answer checked",
        Reason.COMPLETED,
        result="checked",
        recipe={"retry": {"max_retries": 1, "checks": [{"type": "shell", "command": "true"}]}},
    ),
    "output": Scenario(
        'stub: output {"a": 1}', Reason.COMPLETED, result='{"a":1}', recipe={"response": SCHEMA}
    ),
    "output-refused": Scenario(
        'stub: output {"a": "one"}',
        Reason.OUTPUT_MISSING,
        says="reminded it 2 times",
        recipe={"response": SCHEMA},
    ),
    "output-never": Scenario(
        "stub: no-output", Reason.OUTPUT_MISSING, says="reminded it 3 times", recipe={"response": SCHEMA}
    ),
    "output-server-error": Scenario(
        "stub: status 500", Reason.PROVIDER_ERROR, says="Server error (500", recipe={"response": SCHEMA}
    ),
    "output-unauthorized": Scenario(
        "stub: status 401", Reason.PROVIDER_AUTH, says="401 Unauthorized", recipe={"response": SCHEMA}
    ),
    "output-dropped": Scenario(
        "stub: drop", Reason.NETWORK_ERROR, says="Stream decode error", recipe={"response": SCHEMA}
    ),
    "output-turns": Scenario(
        "stub: turns", Reason.TURN_LIMIT, says="spec.model.maxTurns", recipe={"response": SCHEMA}
    ),
    "turns": Scenario("stub: turns", Reason.TURN_LIMIT, says="spec.model.maxTurns"),
    "bad-request": Scenario("stub: status 400", Reason.GOOSE_FAILED, says="Bad request (400)"),
    "unauthorized": Scenario("stub: status 401", Reason.PROVIDER_AUTH, says="401 Unauthorized"),
    "no-credits": Scenario("stub: status 402", Reason.PROVIDER_AUTH, says="add more credits"),
    "forbidden": Scenario("stub: status 403", Reason.PROVIDER_AUTH, says="403 Forbidden"),
    "not-found": Scenario("stub: status 404", Reason.PROVIDER_UNKNOWN, says="Resource not found (404)"),
    "rate-limited": Scenario("stub: status 429", Reason.RATE_LIMITED, says="Rate limit exceeded"),
    "server-error": Scenario("stub: status 500", Reason.PROVIDER_ERROR, says="told to answer 500"),
    "unavailable": Scenario("stub: status 503", Reason.PROVIDER_ERROR, says="503 Service Unavailable"),
    "dropped": Scenario("stub: drop", Reason.NETWORK_ERROR, says="Stream decode error"),
    "unreachable": Scenario(
        "stub: answer never",
        Reason.NETWORK_ERROR,
        says="Could not connect",
        environment={"OPENAI_HOST": "http://127.0.0.1:{closed_port}"},
    ),
    "empty-answer": Scenario("stub: answer", Reason.PROVIDER_ERROR, says="empty response"),
    "checks-fail": Scenario(
        "stub: answer tried",
        Reason.RECIPE_RETRIES,
        says="Maximum retry attempts (2)",
        recipe={"retry": RETRY},
    ),
    "check-hangs": Scenario(
        "stub: answer tried",
        Reason.RECIPE_RETRIES,
        says="timed out after 1s",
        recipe={"retry": HANGING_CHECK},
    ),
    "checks-server-error": Scenario(
        "stub: status 500", Reason.PROVIDER_ERROR, says="told to answer 500", recipe={"retry": RETRY}
    ),
    "bad-recipe": Scenario("", Reason.INVALID_RECIPE, says="title: invalid type", text="title: [a, list]"),
    "no-prompt": Scenario(
        "", Reason.INVALID_RECIPE, says="no text provided for prompt", recipe={"instructions": "be brief"}
    ),
    "bad-schema": Scenario(
        "stub: answer x",
        Reason.INVALID_RECIPE,
        says="JSON schema validation failed",
        recipe={"response": {"json_schema": {"type": "nonsense"}}},
    ),
    "missing-parameter": Scenario(
        "stub: answer {{ topic }}",
        Reason.INVALID_RECIPE,
        says="topic=your_value",
        recipe={"parameters": [NEEDS_TOPIC]},
    ),
    "unknown-provider": Scenario(
        "stub: answer x",
        Reason.PROVIDER_UNKNOWN,
        says="Unknown provider: nonsense",
        environment={"GOOSE_PROVIDER": "nonsense"},
    ),
    "no-provider": Scenario(
        "stub: answer x",
        Reason.PROVIDER_UNKNOWN,
        says="No provider configured",
        environment={"GOOSE_PROVIDER": None},
    ),
    "no-model": Scenario(
        "stub: answer x",
        Reason.PROVIDER_UNKNOWN,
        says="No model configured",
        environment={"GOOSE_MODEL": None},
    ),
    "no-key": Scenario(
        "stub: answer x",
        Reason.PROVIDER_UNKNOWN,
        says="ANTHROPIC_API_KEY",
        environment={"GOOSE_PROVIDER": "anthropic"},
    ),
    "usage-error": Scenario(
        "stub: answer x", Reason.GOOSE_FAILED, says="goose exited with 2: invalid value", max_turns=-1
    ),
    "killed": Scenario("stub: hang", Reason.GOOSE_CRASHED, says="SIGKILL", kill=signal.SIGKILL),
    "terminated": Scenario("stub: hang", Reason.GOOSE_CRASHED, says="SIGTERM", kill=signal.SIGTERM),
    "interrupted": Scenario("stub: hang", Reason.GOOSE_CRASHED, says="interrupted", kill=signal.SIGINT),
    "panic": Scenario(
        "stub: answer x", Reason.GOOSE_CRASHED, says="goose panicked", path_root="/dev/null/goose"
    ),
    **{
        f"quote-{number}": Scenario(
            f"stub: answer {text}", Reason.COMPLETED, result=text.replace(r"\n", "\n")
        )
        for number, text in enumerate(SAYINGS, start=1)
    },
}


@dataclass(frozen=True)
class Recording:
    """What a run of goose left behind."""

    stdout: bytes
    stderr: str
    exit_code: int | None
    signal: int | None

    @property
    def transcript(self) -> Transcript:
        reader = StreamReader()
        reader.feed(self.stdout)
        return reader.finish()

    def classify(self, scenario: Scenario) -> Ending:
        return classify(
            self.transcript,
            self.exit_code,
            self.signal,
            self.stderr,
            needs_output=scenario.needs_output,
        )


@functools.cache
def _held() -> socket.socket:
    """A socket that is bound, and does not listen."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held


def closed_port() -> int:
    """A port of loopback at which nobody listens, and nobody else will."""
    return int(_held().getsockname()[1])


def environment(scenario: Scenario, stub: Stub) -> dict[str, str]:
    """The worker's environment in the scenario."""
    base: dict[str, str | None] = {
        "PATH": os.environ["PATH"],
        "OPENAI_HOST": stub.url,
        "OPENAI_API_KEY": "not-a-real-key",
        "GOOSE_PROVIDER": "openai",
        "GOOSE_MODEL": "stub",
        "GOOSE_PROVIDER_SKIP_BACKOFF": "true",  # goose would wait 7 seconds between its four requests
        **scenario.environment,
    }
    return {
        k: v.format(closed_port=closed_port()) if "{" in v else v for k, v in base.items() if v is not None
    }


def write_recipe(scenario: Scenario, path: Path) -> None:
    recipe = {"version": "1.0.0", "title": "test", "description": "a test", **scenario.recipe}
    if scenario.prompt:
        recipe["prompt"] = scenario.prompt
    path.write_text(json.dumps(recipe, ensure_ascii=False) if scenario.text is None else scenario.text)


async def run_goose(goose: Path, scenario: Scenario, stub: Stub, folder: Path) -> Recording:
    """Run the real goose once, as the worker does; `folder` is this run's own and empty."""
    recipe, work = folder / "recipe.yaml", folder / "work"
    work.mkdir()
    write_recipe(scenario, recipe)
    asked = stub.count
    process = await asyncio.create_subprocess_exec(
        *goose_command(goose, recipe, "test", max_turns=scenario.max_turns, model=scenario.model),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=work,
        env=goose_environment(
            environment(scenario, stub),
            home=folder,
            path_root=scenario.path_root or folder / "goose",
            temporary=folder,
            job_id="team-a/test",
            max_turns=scenario.max_turns,
            model=scenario.model,
        ),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(180):
            if scenario.kill is not None:
                await stub.asked(more_than=asked)
                process.send_signal(scenario.kill)
            stdout, stderr = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    code = process.returncode or 0
    return Recording(stdout, stderr.decode(), *((None, -code) if code < 0 else (code, None)))


def save(name: str, recording: Recording) -> None:
    """Keep a recording as test data."""
    facts = {"exit_code": recording.exit_code, "signal": recording.signal, "stderr": recording.stderr}
    (DATA / f"{name}.yaml").write_text(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=110))
    (DATA / f"{name}.jsonl").write_bytes(recording.stdout)


@functools.cache
def load(name: str) -> Recording:
    facts = yaml.safe_load((DATA / f"{name}.yaml").read_text())
    return Recording(stdout=(DATA / f"{name}.jsonl").read_bytes(), **facts)


async def _record_all(goose: Path) -> None:
    async with serve() as stub:
        for name, scenario in SCENARIOS.items():
            with tempfile.TemporaryDirectory() as folder:
                recording = await run_goose(goose, scenario, stub, Path(folder))
            save(name, recording)
            print(f"{name}: {recording.classify(scenario)}")


if __name__ == "__main__":
    asyncio.run(_record_all(Path(sys.argv[1])))
