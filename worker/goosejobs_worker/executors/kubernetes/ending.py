"""Ending a Kubernetes Job: it is deleted, and what it left alive is waited for."""

import asyncio
import logging
import time
from typing import Final

from goosejobs.clients.errors import ClientError, Unavailable
from goosejobs_worker.executors.kubernetes.jobs import Jobs, goose_state
from goosejobs_worker.executors.kubernetes.watch import Sight

logger = logging.getLogger(__name__)

_PATIENCE: Final = 60.0
"""Seconds beyond the pod's own grace period, after which its node will not confirm its end any more."""
_ASK_AGAIN: Final = 5.0
_DEFAULT_GRACE: Final = 30.0


async def end(jobs: Jobs, sight: Sight) -> str:
    """Delete the Job in sight, and wait until it and its pod are gone, as long as there is hope.

    An API server that is away is waited for without an end: a Job that nobody deleted would run on.

    Returns:
        A sentence about what may still be alive; empty when nothing is.
    """
    accepted: float | None = None
    while not is_gone(sight):
        if accepted is None:
            refusal = await _ask(jobs, sight)
            if refusal is None:
                accepted = time.monotonic()
            elif not isinstance(refusal, Unavailable):
                return str(refusal)
        elif time.monotonic() > accepted + patience(sight):
            return left(sight)
        await sight.change(_ASK_AGAIN)
    return ""


async def await_pod(sight: Sight) -> str:
    """Wait until the pod in sight, which Kubernetes is to end, is gone, as long as there is hope.

    Returns:
        As `end`.
    """
    until = time.monotonic() + patience(sight)
    while sight.pod is not None and not sight.pod_gone:
        if time.monotonic() > until:
            return left(sight)
        await sight.change(_ASK_AGAIN)
    return ""


def patience(sight: Sight) -> float:
    """Seconds within which a healthy node ends the pod in sight."""
    spec = sight.pod["spec"] if sight.pod else {}
    return float(spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE)) + _PATIENCE


def is_gone(sight: Sight) -> bool:
    """Whether neither the Job nor its pod is there any more."""
    return (sight.job is None or sight.job_gone) and (sight.pod is None or sight.pod_gone)


def left(sight: Sight) -> str:
    """What may still be alive of the Job in sight; empty when nothing is."""
    if sight.pod is None or sight.pod_gone or "terminated" in goose_state(sight.pod):
        return ""
    meta, node = sight.pod["metadata"], sight.pod["spec"].get("nodeName", "no node")
    return (
        f"pod {meta['name']} on {node} was told to end and has not confirmed it; goose may still run there. "
        f"If the node is lost, delete the node, or the pod by kubectl delete pod --force {meta['name']}"
    )


async def _ask(jobs: Jobs, sight: Sight) -> ClientError | None:
    if sight.job is None or sight.job_gone:
        return None
    try:
        async with asyncio.timeout(_ASK_AGAIN * 3):
            await jobs.delete(sight.job, foreground=True)
    except TimeoutError:
        return Unavailable("Kubernetes API: no answer")
    except ClientError as error:
        logger.warning("%s", error)
        return error
    return None
