"""The Kubernetes API as both sides use it. Only this module and its callers' kube.py speak to it."""

import json
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, cast
from urllib.parse import quote

import aiohttp

from goosejobs.clients.asynckube import ApiClient, Configuration, config
from goosejobs.clients.depth import decode
from goosejobs.clients.errors import ClientError, Conflict, Forbidden, NotFound, Rejected, Unavailable
from goosejobs.model import names
from goosejobs.model.run import GooseJobRef
from goosejobs.recipe.encode import YAML_ESCAPES

Object = dict[str, Any]
Fold = Callable[[Object], dict[str, Any] | None]
"""From a GooseJob to all the status fields that the worker's manager owns; None: nothing to write."""

_APPLY = "application/apply-patch+yaml; charset=utf-8"
"""With its character set, because the client library re-encodes the body of the bare type, and writes what is
beyond U+FFFF as surrogate pairs, which YAML refuses."""
_AUTH: dict[str, Any] = {"auth_settings": ["BearerToken"]}
_WRITE_ATTEMPTS = 8
_TOO_LARGE = "etcdserver: request is too large"
"""The API server calls that a fault of its own (500), and it will say so each time."""
PAGE = 20
"""GooseJobs in one answer of a list: each may have 1.5 MiB, and all of them are in memory at once."""


def _from_status(status: int, message: str, retry_after: float | None) -> ClientError:
    if status == 404:
        return NotFound(message)
    if status == 409:
        return Conflict(message)
    if status in {401, 403}:
        return Forbidden(message)
    if (status == 429 or status >= 500) and _TOO_LARGE not in message:
        return Unavailable(message, retry_after)
    return Rejected(message)


def _sentence(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (TypeError, ValueError, KeyError):
        return f"HTTP {status}"


def _unavailable(what: str, error: Exception) -> Unavailable:
    return Unavailable(f"Kubernetes API: cannot {what}: {type(error).__name__}: {error}")


def _refusal(what: str, response: Any, body: bytes) -> ClientError:
    seconds = str(response.headers.get("Retry-After", ""))
    return _from_status(
        response.status,
        f"Kubernetes API: cannot {what}: {_sentence(response.status, body)}",
        float(seconds) if seconds.isdigit() else None,
    )


def _yaml(value: Object) -> str:
    """JSON text that YAML reads the same: an agent's words may hold characters that YAML refuses or folds."""
    return json.dumps(value, ensure_ascii=False).translate(YAML_ESCAPES)


class Kube:
    """One connection pool to the API server."""

    def __init__(self, api_client: ApiClient, request_timeout: float) -> None:
        self.api_client = api_client
        self.request_timeout = request_timeout

    @classmethod
    async def connect(cls, request_timeout: float = 10.0, connections: int = 100) -> Self:
        """Load the in-cluster configuration, or KUBECONFIG. Makes no request.

        Args:
            request_timeout: Seconds that any one request may take.
            connections: The most that are open at the same time, each stream's among them; 0: no limit.

        Raises:
            Rejected: There is no usable configuration.
        """
        settings = Configuration()
        try:
            with warnings.catch_warnings():  # in a cluster it misses a kubeconfig, aloud
                warnings.simplefilter("ignore", UserWarning)
                await config.load_config(client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise Rejected(
                f"Kubernetes API: no configuration ({error}); run inside a cluster, or set KUBECONFIG"
            ) from error
        except Exception as error:  # the library checks nothing that it reads, and quotes it
            raise Rejected(
                f"Kubernetes API: KUBECONFIG names a file that is no kubeconfig ({type(error).__name__})"
            ) from error
        settings.connection_pool_maxsize = connections
        return cls(ApiClient(configuration=settings), request_timeout)

    async def close(self) -> None:
        """Close the connections."""
        await self.api_client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def request(
        self,
        what: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | str | None = None,
        content_type: str = "application/json",
        timeout: float | None = None,  # noqa: ASYNC109 - handed to the HTTP client, which knows what it cuts
    ) -> Object:
        """One request, JSON in and out.

        Objects stay dictionaries: the client library's typed calls cost 100 MB of memory when first touched.

        Args:
            what: What is being done, to begin an error's message with: `read ConfigMap team-a/recipes`.
            method: GET, POST, PUT, PATCH or DELETE.
            path: From the server's root, each part quoted; see `object_path`.
            query: Query parameters.
            body: What to send; text is sent as it is.
            content_type: Of the body; a PATCH is told by it how to merge.
            timeout: Seconds; default the connection's.

        Raises:
            ClientError: As `goosejobs.clients.errors` tells apart.
        """
        headers = {"Accept": "application/json", "Content-Type": content_type}
        limit = timeout or self.request_timeout
        try:
            response = await self._call(method, path, query=query, headers=headers, body=body, timeout=limit)
            raw: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unavailable(what, error) from error
        if response.status >= 300:
            raise _refusal(what, response, raw)
        return cast("Object", decode(raw))

    @asynccontextmanager
    async def stream(
        self, what: str, path: str, query: Mapping[str, str], *, silence: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open an answer that goes on for as long as the server has something to say: a watch, a log.

        The block gets it in pieces of any size, each as soon as it is there; what is not asked for is not
        read, so that nobody's memory fills. The connection is closed with the block.

        Args:
            what: As for `request`.
            path: As for `request`.
            query: Query parameters.
            silence: Seconds without a piece after which the connection is taken for dead.

        Raises:
            ClientError: It cannot be opened; inside the block Unavailable: it broke off, or fell silent.
        """
        limits = aiohttp.ClientTimeout(total=None, connect=self.request_timeout, sock_read=silence)
        try:
            answer = await self._call("GET", path, query=query, headers={"Accept": "*/*"}, timeout=limits)
            response = answer.response
            try:
                if response.status >= 300:
                    raise _refusal(what, answer, await answer.read())
                yield response.content.iter_any()
            finally:
                response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unavailable(what, error) from error

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        body: Object | str | None = None,
        timeout: aiohttp.ClientTimeout | float,  # noqa: ASYNC109 - as in `request`
    ) -> Any:
        call = await self.api_client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=dict(headers),
            body=body,
            **_AUTH,
        )
        return await self.api_client.call_api(*call, _request_timeout=timeout)

    async def get_goosejob(self, namespace: str, name: str) -> Object:
        """Read one GooseJob.

        Raises:
            ClientError: As `goosejobs.clients.errors` tells apart.
        """
        return await self.request(f"read GooseJob {namespace}/{name}", "GET", goosejob_path(namespace, name))

    async def list_goosejobs(self, namespace: str | None = None) -> AsyncIterator[list[Object]]:
        """Read all GooseJobs of a namespace (None: of the cluster), a page at a time."""
        what = f"list GooseJobs in {namespace or 'all namespaces'}"
        path = object_path(f"/apis/{names.API_VERSION}", names.PLURAL, namespace)
        query = {"limit": str(PAGE)}
        while True:
            page = await self.request(what, "GET", path, query=query)
            yield page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

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
        return await self.request(
            f"write the status of GooseJob {meta['namespace']}/{meta['name']}",
            "PATCH",
            f"{goosejob_path(meta['namespace'], meta['name'])}/status",
            query={"fieldManager": manager, "force": "true"},
            body=_yaml(body),
            content_type=_APPLY,
        )

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
        """Read one ConfigMap.

        Raises:
            ClientError: As `goosejobs.clients.errors` tells apart.
        """
        path = object_path("/api/v1", "configmaps", namespace, name)
        return await self.request(f"read ConfigMap {namespace}/{name}", "GET", path)


def object_path(api: str, plural: str, namespace: str | None = None, name: str | None = None) -> str:
    """The path of an object, or of all of its kind, each part quoted.

    Args:
        api: `/api/v1`, or `/apis/<group>/<version>`.
        plural: The kind's plural.
        namespace: None: of the cluster.
        name: None: all.

    Raises:
        NotFound: No object can have this name.
    """
    for given in (namespace, name):
        if given in {"", ".", ".."}:  # the HTTP client takes these out: another object's path is left
            raise NotFound(f'Kubernetes API: nothing can be called "{given}"')
    parts = [*(("namespaces", namespace) if namespace else ()), plural, *((name,) if name else ())]
    return "/".join([api, *(quote(part, safe="") for part in parts)])


def goosejob_path(namespace: str, name: str) -> str:
    """The path of one GooseJob."""
    return object_path(f"/apis/{names.API_VERSION}", names.PLURAL, namespace, name)
