"""What the operator counts, for Prometheus; served by health.py."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram

RECONCILES = Counter("goosejobs_reconciles", "Reconciles that ended, by result.", ["result"])
"""`result`: `ok`, or the name of the error's class."""

RECONCILE_SECONDS = Histogram("goosejobs_reconcile_seconds", "How long one reconcile took.")
STATUS_WRITES = Counter("goosejobs_status_writes", "Writes of a GooseJob's status.")
EVENTS = Counter("goosejobs_events", "Events of GooseJobs, by what became of them.", ["fate"])
"""`fate`: as `goosejobs.clients.events.Recorder` counts."""
QUEUE_DEPTH = Gauge("goosejobs_queue_depth", "GooseJobs that wait to be reconciled.")
OBJECTS = Gauge("goosejobs_objects", "GooseJobs by phase, as the last resync saw them.", ["phase"])
LAST_RESYNC = Gauge("goosejobs_last_resync_timestamp_seconds", "When the last complete resync ended.")
SWEPT = Counter("goosejobs_swept", "Things in Temporal whose GooseJob is gone, removed.", ["what"])
TEMPORAL_UP = Gauge("goosejobs_temporal_up", "Whether Temporal answered the last probe.")
TEMPORAL_SECONDS = Histogram("goosejobs_temporal_call_seconds", "How long Temporal took to answer.", ["call"])


def count_event(fate: str) -> None:
    """Count an Event of a GooseJob."""
    EVENTS.labels(fate=fate).inc()


@contextmanager
def timed(histogram: Histogram) -> Iterator[None]:
    """Observe how long the block takes, however it ends."""
    start = perf_counter()
    try:
        yield
    finally:
        histogram.observe(perf_counter() - start)
