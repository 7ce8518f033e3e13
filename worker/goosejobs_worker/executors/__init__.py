"""Where and how an attempt is executed."""

from typing import TYPE_CHECKING, Protocol

from goosejobs.model.run import AttemptRequest, AttemptResult

if TYPE_CHECKING:
    from goosejobs_worker.lifeline import Lifeline  # it shares a clock with an executor's supervisor


class Executor(Protocol):
    """Runs attempts in one `spec.execution.mode`."""

    async def execute(self, attempt: AttemptRequest, lifeline: "Lifeline") -> AttemptResult:
        """Run goose once, to whatever end; nothing of it is alive any more when this returns.

        Args:
            attempt: What to run.
            lifeline: Says when to stop, and until when what runs may live without news from Temporal.
        """
        ...
