"""Temporal as both sides use it: how to connect, and what its errors mean."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from goosejobs.clients import connection
from goosejobs.clients.codec import Keyring, Undecodable, data_converter
from goosejobs.clients.connection import Tls, explained
from goosejobs.clients.errors import ClientError, Conflict, Forbidden, NotFound, Rejected, Unavailable
from goosejobs.model import names

UID_KEY = SearchAttributeKey.for_keyword(names.UID_ATTRIBUTE)

_KINDS: dict[RPCStatusCode, type[ClientError]] = {
    RPCStatusCode.NOT_FOUND: NotFound,
    RPCStatusCode.ALREADY_EXISTS: Conflict,
    RPCStatusCode.ABORTED: Conflict,
    RPCStatusCode.INVALID_ARGUMENT: Rejected,
    RPCStatusCode.FAILED_PRECONDITION: Rejected,
    RPCStatusCode.OUT_OF_RANGE: Rejected,
    RPCStatusCode.UNIMPLEMENTED: Rejected,
    RPCStatusCode.PERMISSION_DENIED: Forbidden,
    RPCStatusCode.UNAUTHENTICATED: Forbidden,
}


@contextmanager
def translated(what: str, tls: Tls = None) -> Iterator[None]:
    """Turn the SDK's exceptions into `goosejobs.clients.errors`.

    Args:
        what: What was being done, to begin the message with: `create schedule goosejob/team-a/x/...`.
        tls: How the client speaks to the server; tells why a server may hang up.
    """
    try:
        yield
    except RPCError as error:
        kind = Unavailable if _is_about_namespace(error) else _KINDS.get(error.status, Unavailable)
        raise kind(f"Temporal: cannot {what}: {explained(error.message, tls)}") from error
    except Undecodable as error:
        raise Unavailable(f"Temporal: cannot {what}: {error}") from error
    except (TimeoutError, OSError) as error:
        raise Unavailable(f"Temporal: cannot {what}: {type(error).__name__}: {error}") from error


def _is_about_namespace(error: RPCError) -> bool:
    """Whether the Temporal namespace is missing, which tells nothing about what is in it."""
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)


async def connect(keyring: Keyring, runtime: Runtime | None = None, *, lazy: bool = False) -> Client:
    """Connect as the SDK's environment configuration says (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TLS, ...).

    Args:
        keyring: Encrypts all that the client sends and decrypts what it gets.
        runtime: The SDK's, for its metrics and logs.
        lazy: Connect at the first call, which raises RuntimeError while the server does not answer. A worker
            cannot be made of such a client.

    Raises:
        Unavailable: The server does not answer, or speaks TLS otherwise than we do.
        Forbidden: It does not want us.
        Rejected: The configuration is wrong.
    """
    settings = connection.load()
    try:
        return await Client.connect(
            **settings, data_converter=data_converter(keyring), runtime=runtime, lazy=lazy
        )
    except (RuntimeError, OSError, RPCError) as error:
        why = explained(str(error), settings.get("tls"))
        kind = Forbidden if re.search("code: (PermissionDenied|Unauthenticated)", str(error)) else Unavailable
        raise kind(f"Temporal: cannot connect to {settings['target_host']}: {why}") from error


async def ensure_search_attribute(client: Client) -> None:
    """Register the search attribute that finds a GooseJob's schedules and runs, if it is missing.

    Where it is there, as on Temporal Cloud by hand, this needs no right to administer anything.

    Raises:
        Forbidden: It is missing and we may not register it: the message says what to do by hand.
        ClientError: As `goosejobs.clients.errors` tells apart.
    """
    if await _has_search_attribute(client):
        return
    try:
        with translated("add a search attribute"):
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(
                    namespace=client.namespace,
                    search_attributes={names.UID_ATTRIBUTE: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD},
                )
            )
    except Conflict:
        return
    except (Forbidden, Rejected) as error:
        raise Forbidden(
            f"{error}. Create it once: temporal operator search-attribute create "
            f"--namespace {client.namespace} --name {names.UID_ATTRIBUTE} --type Keyword; on Temporal Cloud: "
            f"tcld namespace search-attributes add --namespace {client.namespace} "
            f"--search-attribute {names.UID_ATTRIBUTE}=Keyword"
        ) from error


async def _has_search_attribute(client: Client) -> bool:
    """Asked by a query, which whoever uses the namespace may make."""
    try:
        with translated("query by a search attribute"):
            await client.count_workflows(f"{names.UID_ATTRIBUTE} = 'nobody'")
    except Rejected:
        return False
    return True
