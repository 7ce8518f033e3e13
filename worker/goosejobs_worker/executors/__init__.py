"""Where and how an attempt is executed."""

from typing import Protocol

from goosejobs.model.run import AttemptRequest, AttemptResult
from goosejobs_worker.lifeline import Lifeline


class Executor(Protocol):
    """Runs attempts in one `spec.execution.mode`."""

    async def execute(self, attempt: AttemptRequest, lifeline: Lifeline) -> AttemptResult:
        """Run goose once, to whatever end; nothing of it is alive any more when this returns.

        Args:
            attempt: What to run.
            lifeline: Says when to stop, and until when what runs may live without news from Temporal.
        """
        ...
