"""The Kubernetes API as both sides use it. Only this module and its callers' kube.py speak to it."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, cast

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from goosejobs.clients.errors import ClientError, Conflict, Forbidden, NotFound, Rejected, Unavailable
from goosejobs.model import names
from goosejobs.model.run import GooseJobRef

Object = dict[str, Any]
Fold = Callable[[Object], dict[str, Any] | None]
"""From a GooseJob to all the status fields that the worker's manager owns; None: nothing to write."""

_APPLY = "application/apply-patch+yaml"
_WRITE_ATTEMPTS = 8
_PAGE = 500


def _from_status(status: int, message: str, retry_after: float | None) -> ClientError:
    if status == 404:
        return NotFound(message)
    if status == 409:
        return Conflict(message)
    if status in {401, 403}:
        return Forbidden(message)
    if status == 429 or status >= 500:
        return Unavailable(message, retry_after)
    return Rejected(message)


def _sentence(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return f"HTTP {error.status} {error.reason}"


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the client library's exceptions into `goosejobs.clients.errors`.

    Args:
        what: What was being done, to begin the message with: `read ConfigMap team-a/recipes`.
    """
    try:
        yield
    except ApiException as error:
        seconds = str((error.headers or {}).get("Retry-After", ""))
        raise _from_status(
            int(error.status or 500),
            f"Kubernetes API: cannot {what}: {_sentence(error)}",
            float(seconds) if seconds.isdigit() else None,
        ) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable(f"Kubernetes API: cannot {what}: {type(error).__name__}: {error}") from error


class Kube:
    """One connection pool to the API server."""

    def __init__(self, api_client: client.ApiClient, request_timeout: float) -> None:
        self.api_client = api_client
        self.request_timeout = request_timeout
        self._objects = client.CustomObjectsApi(api_client)
        self._core = client.CoreV1Api(api_client)

    @classmethod
    async def connect(cls, request_timeout: float = 10.0) -> Self:
        """Load the in-cluster configuration, or KUBECONFIG. Makes no request.

        Args:
            request_timeout: Seconds that any one request may take.

        Raises:
            Rejected: There is no usable configuration.
        """
        settings = client.Configuration()
        try:
            await config.load_config(client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise Rejected(
                f"Kubernetes API: no configuration ({error}); run inside a cluster, or set KUBECONFIG"
            ) from error
        return cls(client.ApiClient(configuration=settings), request_timeout)

    async def close(self) -> None:
        """Close the connections."""
        await self.api_client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get_goosejob(self, namespace: str, name: str) -> Object:
        """Read one GooseJob.

        Raises:
            ClientError: As `goosejobs.clients.errors` tells apart.
        """
        with translated(f"read GooseJob {namespace}/{name}"):
            found = await self._objects.get_namespaced_custom_object(
                names.GROUP,
                names.VERSION,
                namespace,
                names.PLURAL,
                name,
                _request_timeout=self.request_timeout,
            )
        return cast("Object", found)

    async def list_goosejobs(self, namespace: str | None = None) -> AsyncIterator[list[Object]]:
        """Read all GooseJobs of a namespace (None: of the cluster), a page at a time."""
        token: str | None = None
        while True:
            with translated(f"list GooseJobs in {namespace or 'all namespaces'}"):
                page = await self._page(namespace, token)
            yield page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return

    async def _page(self, namespace: str | None, token: str | None) -> Object:
        query: dict[str, Any] = {"limit": _PAGE, "_request_timeout": self.request_timeout}
        if token:
            query["_continue"] = token
        kind = (names.GROUP, names.VERSION)
        if namespace is None:
            found = await self._objects.list_cluster_custom_object(*kind, names.PLURAL, **query)
        else:
            found = await self._objects.list_namespaced_custom_object(*kind, namespace, names.PLURAL, **query)
        return cast("Object", found)

    async def apply_status(self, seen: Object, status: Mapping[str, Any], manager: str) -> Object:
        """Server-side apply of all the status fields that one manager owns.

        Args:
            seen: The object as it was read: its uid and resourceVersion guard the write.
            status: Every field the manager owns; one left out is removed if nobody else owns it.
            manager: `names.OPERATOR_MANAGER` or `names.WORKER_MANAGER`.

        Raises:
            Conflict: It changed since it was read, or is another object of that name.
            Rejected: The CRD does not allow this status.
        """
        meta = seen["metadata"]
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion")},
            "status": dict(status),
        }
        with translated(f"write the status of GooseJob {meta['namespace']}/{meta['name']}"):
            written = await self._objects.patch_namespaced_custom_object_status(
                names.GROUP,
                names.VERSION,
                meta["namespace"],
                names.PLURAL,
                meta["name"],
                body,
                field_manager=manager,
                force=True,
                _content_type=_APPLY,
                _request_timeout=self.request_timeout,
            )
        return cast("Object", written)

    async def write_runs(self, ref: GooseJobRef, fold: Fold) -> bool:
        """Fold a run into the status of its GooseJob: the only way a run's record is written.

        Args:
            ref: The GooseJob; when it is gone, or another one has its name, there is nothing left to tell.
            fold: Pure; called again on a fresh read when somebody else wrote in between.

        Returns:
            Whether the status holds the run now; False when the GooseJob is gone.

        Raises:
            Unavailable: The API server does not answer, or the object keeps changing.
            Rejected: The CRD does not allow the status.
        """
        for _ in range(_WRITE_ATTEMPTS):
            try:
                seen = await self.get_goosejob(ref.namespace, ref.name)
                if seen["metadata"]["uid"] != ref.uid:
                    return False
                status = fold(seen)
                if status is not None:
                    await self.apply_status(seen, status, names.WORKER_MANAGER)
            except NotFound:
                return False
            except Conflict:
                continue
            else:
                return True
        raise Unavailable(f"Kubernetes API: GooseJob {ref.namespace}/{ref.name} keeps changing; try again")

    async def get_config_map(self, namespace: str, name: str) -> Object:
        """Read one ConfigMap, as a dictionary with camelCase keys.

        Raises:
            ClientError: As `goosejobs.clients.errors` tells apart.
        """
        with translated(f"read ConfigMap {namespace}/{name}"):
            found = await self._core.read_namespaced_config_map(
                name, namespace, _request_timeout=self.request_timeout
            )
        return cast("Object", self.api_client.sanitize_for_serialization(found))
