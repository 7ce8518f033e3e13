"""What a worker counts, served at /metrics."""

from prometheus_client import Counter, Gauge, Histogram

from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.run import AttemptResult

RUNNING = Gauge("goosejobs_worker_attempts_running", "Attempts that this worker executes now.")
ATTEMPTS = Counter("goosejobs_worker_attempts", "Attempts that ended.", ["outcome", "reason"])
for _reason in Reason:
    if _reason is not Reason.COMPLETED:  # there at 0: Prometheus sees no increase in what begins at 1
        ATTEMPTS.labels(outcome=Outcome.FAILED.value, reason=_reason.value)
SECONDS = Histogram(
    "goosejobs_worker_attempt_seconds",
    "How long attempts took.",
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 300, 900, 1800, 3600, 7200, 14400, 43200),
)
EVENTS = Counter("goosejobs_worker_events", "Events of GooseJobs, by what became of them.", ["fate"])
"""`fate`: as `goosejobs.clients.events.Recorder` counts."""
RECORDS_REFUSED = Counter(
    "goosejobs_worker_records_refused", "Tries to write a run's record that failed; others follow.", ["error"]
)
"""`error`: Unavailable, Forbidden (missing RBAC) or Rejected."""
TOKENS = Counter("goosejobs_worker_tokens", "Tokens that model providers counted.", ["kind"])


def count_event(fate: str) -> None:
    """Count an Event of a GooseJob."""
    EVENTS.labels(fate=fate).inc()


def count(ended: AttemptResult, seconds: float) -> None:
    """Count an attempt that ended after this many seconds."""
    ATTEMPTS.labels(outcome=ended.outcome.value, reason=ended.reason.value).inc()
    SECONDS.observe(seconds)
    if ended.tokens is not None:
        TOKENS.labels(kind="input").inc(ended.tokens.input)
        TOKENS.labels(kind="output").inc(ended.tokens.output)
