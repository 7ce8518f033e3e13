"""An agent that writes down what it does, so that a test can tell what was alive when.

It is a shell script that goose runs as a tool because the prompt tells the stub model to. Each time it starts
it leaves a process behind that does all it can to survive: forked twice, in a session of its own, deaf to
SIGTERM.
"""

import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.objects import Object, recipe

_AGENT = """
trap '' TERM
for pid in $(cut -s -d ' ' -f 2 {file}); do
  if kill -0 "$pid" 2>/dev/null; then echo "overlap $pid" >>{file}; fi
done
echo "agent $$" >>{file}
(setsid sh -c 'echo "escaped $$" >>{file}; exec sleep 600' >/dev/null 2>&1 </dev/null &)
if [ "$(grep -c agent {file})" -gt {patience} ]; then echo "came to its end"; exit 0; fi
exec sleep 600
"""


@dataclass(frozen=True)
class Ledger:
    """What agents of one test wrote."""

    directory: Path

    def recipe(self, patience: int) -> Object:
        """A recipe whose agent hangs the first `patience` times, and then comes to its end."""
        script = self.directory / "agent.sh"
        script.write_text(_AGENT.format(file=shlex.quote(str(self._file)), patience=patience))
        tools = [{"type": "builtin", "name": "developer"}]
        return recipe(f"stub: shell sh {script}", extensions=tools)

    def goosejob(self, name: str, pool: str, patience: int = 1_000, **spec: Any) -> Object:
        """A GooseJob of that recipe; `runOnce` unless the spec says when."""
        when = {} if "schedule" in spec else {"runOnce": True}
        return {
            "apiVersion": "goosejobs.dev/v1alpha1",
            "kind": "GooseJob",
            "metadata": {"name": name},
            "spec": {
                "recipe": {"inline": self.recipe(patience)},
                "execution": {"pool": pool},
                **when,
                **spec,
            },
        }

    def entries(self, kind: str) -> list[int]:
        """Process ids, oldest first: of an `agent`, an `escaped` one, or an `overlap` (alive at a start)."""
        words = [line.split() for line in self._file.read_text().splitlines()]
        return [int(line[1]) for line in words if line[0] == kind]

    def alive(self) -> list[int]:
        """Which of all that agents started is alive."""
        return [pid for pid in (*self.entries("agent"), *self.entries("escaped")) if is_alive(pid)]

    def hanging(self, times: int = 1) -> bool:
        """Whether the agent has started so often and left its last process behind."""
        return len(self.entries("escaped")) == times == len(self.entries("agent"))

    @property
    def _file(self) -> Path:
        return self.directory / "ledger"


@contextmanager
def new_ledger() -> Iterator[Ledger]:
    """A ledger that goose's own user may write to."""
    directory = Path(tempfile.mkdtemp(prefix="goosejobs-ledger-"))
    directory.chmod(0o755)
    ledger = Ledger(directory)
    file = directory / "ledger"
    file.touch()
    file.chmod(0o666)
    try:
        yield ledger
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter when it ends while it is read
        return False
