"""An agent that works until a test lets it end: what is so while a run is active can be seen in peace."""

import uuid
from pathlib import Path

from support.job_pool import TOOLS
from support.objects import Object, recipe


class Gate:
    """Shut at first; an agent that waits at it ends once it is open.

    Args:
        folder: Where goose's own user may enter.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"gate-{uuid.uuid4().hex[:8]}"

    @property
    def command(self) -> str:
        """Waits at the gate."""
        return f"until [ -e {self._file} ]; do sleep 0.1; done"

    @property
    def recipe(self) -> Object:
        """An inline recipe whose agent does nothing else."""
        return recipe(f"stub: shell {self.command}", extensions=TOOLS)

    def open(self) -> None:
        """Let all go on that wait, or will."""
        self._file.touch()

    def shut(self) -> None:
        """Let those wait that come from now on."""
        self._file.unlink()
