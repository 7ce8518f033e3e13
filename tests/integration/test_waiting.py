"""kubectl wait: each command that the pages name, run where it has to succeed."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from support.gate import Gate
from support.objects import Kubectl, apply, goosejob
from support.rig import Rig

pytestmark = pytest.mark.usefixtures("operator", "worker")

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = "goosejobs.dev/run-requested"
READY, STALLED = "condition=Ready", "condition=Stalled"
SUCCEEDED, DID_NOT = "condition=LastRunSucceeded", "condition=LastRunSucceeded=False"
PHASE, OUTCOME = "jsonpath={.status.phase}=", "jsonpath={.status.lastRun.outcome}="
TOKEN, ANSWER = (f"jsonpath={{.status.handledRequests.run.{field}}}=" for field in ("token", "answer"))

Wait = Callable[..., CompletedProcess[str]]


def documented() -> set[str]:
    """What the pages have `kubectl wait` wait for."""
    commands = [
        shlex.split(command, comments=True)
        for page in PAGES
        for command in re.findall(r"^(?:\$ )?(kubectl wait .+)$", page.read_text(), re.MULTILINE)
        if "goosejob/" in command
    ]
    return {word.removeprefix("--for=") for words in commands for word in words if word.startswith("--for=")}


class Waits:
    """Runs kubectl wait, and remembers for what."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl, self._namespace = kubectl, namespace
        self.used: set[str] = set()

    def __call__(self, name: str, *what: str) -> None:
        """Wait for one after the other."""
        for each in what:
            self.used.add(each)
            self._run(name, each, "90s", check=True)

    def gives_up(self, name: str, what: str) -> bool:
        """Whether it is not so, and kubectl says that it waited in vain."""
        ended = self._run(name, what, "1s", check=False)
        return ended.returncode != 0 and "timed out waiting" in ended.stderr

    def _run(self, name: str, what: str, timeout: str, *, check: bool) -> CompletedProcess[str]:
        flags = ("-n", self._namespace, f"--for={what}", f"--timeout={timeout}")
        return self._kubectl("wait", *flags, f"goosejob/{name}", check=check)


def test_each_wait_that_the_pages_name_ends_when_it_should(kubectl: Kubectl, namespace: str) -> None:
    wait = Waits(kubectl, namespace)

    def patch(name: str, **spec: Any) -> None:
        body = json.dumps({"spec": spec})
        kubectl("patch", "-n", namespace, "gj", name, "--type=merge", "-p", body)

    def ask(token: str) -> None:
        kubectl("annotate", "-n", namespace, "gj", "a", "--overwrite", f"{RUN}={token}")
        wait("a", f"{TOKEN}{token}", f"{ANSWER}Started")

    # Allow: when a run has just ended, its workflow may not have, and the next one would be skipped.
    yearly: Any = {"schedule": "0 0 1 1 *", "concurrencyPolicy": "Allow"}
    apply(kubectl, namespace, goosejob("a", **yearly), goosejob("once"))
    wait("a", READY, f"{PHASE}Active")
    assert wait.gives_up("a", SUCCEEDED)
    ask("mine")
    wait("a", SUCCEEDED, f"{OUTCOME}Succeeded")

    patch("a", recipe={"inline": {"prompt": "stub: status 401"}})
    wait("a", READY)
    assert wait.gives_up("a", SUCCEEDED)  # no run of the new spec has ended
    assert wait.gives_up("a", DID_NOT)
    ask("again")
    wait("a", DID_NOT, f"{OUTCOME}Failed", READY)

    patch("a", schedule="0 0 30 2 *")
    wait("a", STALLED)
    assert wait.gives_up("a", READY)
    wait("once", f"{PHASE}Completed", SUCCEEDED)
    kubectl("delete", "-n", namespace, "gj", "a", "--wait=false")
    wait("a", "delete")
    assert documented() <= wait.used


def test_a_run_that_began_before_an_edit_is_not_taken_for_one_of_the_new_spec(
    kubectl: Kubectl, namespace: str, platform: Rig
) -> None:
    wait, gate = Waits(kubectl, namespace), Gate(platform.home)
    yearly: Any = {"schedule": "0 0 1 1 *", "concurrencyPolicy": "Allow"}
    apply(kubectl, namespace, goosejob("a", recipe={"inline": gate.recipe}, **yearly))
    wait("a", READY)
    kubectl("annotate", "-n", namespace, "gj", "a", f"{RUN}=one")
    wait("a", f"{PHASE}Running")
    kubectl("patch", "-n", namespace, "gj", "a", "--type=merge", "-p", '{"spec":{"maxRuns":5}}')
    wait("a", READY)
    gate.open()
    wait("a", f"{OUTCOME}Succeeded")
    assert wait.gives_up("a", SUCCEEDED)
    kubectl("annotate", "-n", namespace, "gj", "a", "--overwrite", f"{RUN}=two")
    wait("a", SUCCEEDED)
