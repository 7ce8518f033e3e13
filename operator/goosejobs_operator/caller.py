"""How the operator calls Temporal: timed, with errors as both sides know them, under the cluster's name."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from temporalio.api.common.v1 import Memo, Payload
from temporalio.client import Client
from temporalio.converter import PayloadConverter

from goosejobs.clients import temporal as shared
from goosejobs.clients.connection import explained
from goosejobs.clients.errors import Unavailable
from goosejobs_operator import metrics

TIMEOUT: Final = timedelta(seconds=10)
_CLUSTER: Final = "goosejobs-cluster"


class TemporalUnavailable(Unavailable):
    """Temporal does not answer now."""


class Caller:
    """Who speaks to one Temporal namespace.

    Every error comes out as one of `goosejobs.clients.errors`, Unavailable ones as `TemporalUnavailable`.

    Args:
        client: Connected, or connecting at its first call.
        cluster: Tells Kubernetes clusters that share the Temporal namespace apart.
    """

    def __init__(self, client: Client, cluster: str) -> None:
        self._client = client
        self._cluster = cluster

    @contextmanager
    def _call(self, name: str, subject: str = "") -> Iterator[None]:
        what, tls = f"{name} {subject}".strip(), self._client.service_client.config.tls
        try:
            with (
                metrics.timed(metrics.TEMPORAL_SECONDS.labels(name.replace(" ", "_"))),
                shared.translated(what, tls),
            ):
                yield
        except Unavailable as error:
            raise TemporalUnavailable(str(error), error.retry_after) from error
        except RuntimeError as error:
            # The SDK's way to say that a client which connects late could not.
            raise TemporalUnavailable(f"Temporal: cannot {what}: {explained(str(error), tls)}") from error

    def _memo(self) -> dict[str, Payload]:
        """Whose it is. Not encrypted, so that it is the same each time and needs no key to be read."""
        return {_CLUSTER: PayloadConverter.default.to_payload(self._cluster)}

    def _ours(self, memo: Memo) -> bool:
        return bool(self._cluster) and memo.fields.get(_CLUSTER) == self._memo()[_CLUSTER]
