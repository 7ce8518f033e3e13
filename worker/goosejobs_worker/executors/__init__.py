"""Where and how an attempt is executed."""

from typing import TYPE_CHECKING, Protocol

from goosejobs.model.run import AttemptRequest, AttemptResult

if TYPE_CHECKING:
    from goosejobs_worker.lifeline import Lifeline  # it shares a clock with an executor's supervisor


class Detached(Exception):
    """The attempt goes on without this worker, and is to be executed again by another; str() says why."""


class Executor(Protocol):
    """Runs attempts in one `spec.execution.mode`."""

    async def execute(self, attempt: AttemptRequest, lifeline: "Lifeline") -> AttemptResult:
        """Run goose once, to whatever end; nothing of it is alive any more when this returns.

        Args:
            attempt: What to run.
            lifeline: Says when to stop, and until when what runs may live without news from Temporal.

        Raises:
            Detached: It goes on, and whoever executes the attempt next finds it again.
        """
        ...
