"""Temporal as both sides use it: how to connect, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.envconfig import ClientConfig
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from goosejobs.clients.codec import Keyring, Undecodable, data_converter
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
def translated(what: str) -> Iterator[None]:
    """Turn the SDK's exceptions into `goosejobs.clients.errors`.

    Args:
        what: What was being done, to begin the message with: `create schedule goosejob/team-a/x/...`.
    """
    try:
        yield
    except RPCError as error:
        kind = _KINDS.get(error.status, Unavailable)
        raise kind(f"Temporal: cannot {what}: {error.message}") from error
    except Undecodable as error:
        raise Unavailable(f"Temporal: cannot {what}: {error}") from error
    except (TimeoutError, OSError) as error:
        raise Unavailable(f"Temporal: cannot {what}: {type(error).__name__}: {error}") from error


async def connect(keyring: Keyring, runtime: Runtime | None = None, *, lazy: bool = False) -> Client:
    """Connect as the SDK's environment configuration says (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TLS, ...).

    Args:
        keyring: Encrypts all that the client sends and decrypts what it gets.
        runtime: The SDK's, for its metrics and logs.
        lazy: Connect at the first call, which raises RuntimeError while the server does not answer. A worker
            cannot be made of such a client.

    Raises:
        Unavailable: The server does not answer.
        Rejected: The configuration is wrong.
    """
    try:
        settings = ClientConfig.load_client_connect_config()
    except (ValueError, RuntimeError, OSError) as error:
        raise Rejected(f"Temporal: bad client configuration: {_unquoted(str(error))}") from error
    settings.setdefault("target_host", "localhost:7233")
    try:
        return await Client.connect(
            **settings, data_converter=data_converter(keyring), runtime=runtime, lazy=lazy
        )
    except (RuntimeError, OSError, RPCError) as error:
        raise Unavailable(f"Temporal: cannot connect to {settings['target_host']}: {error}") from error


def _unquoted(message: str) -> str:
    """A TOML error without the line of the file that it shows, which may hold the API key."""
    return " ".join(line.strip() for line in message.splitlines() if "|" not in line)


async def ensure_search_attribute(client: Client) -> None:
    """Register the search attribute that finds a GooseJob's schedules and runs, if it is missing.

    Raises:
        Forbidden: We may not (as on Temporal Cloud): the message says what to create by hand.
        ClientError: As `goosejobs.clients.errors` tells apart.
    """
    try:
        with translated("list search attributes"):
            known = await client.operator_service.list_search_attributes(
                ListSearchAttributesRequest(namespace=client.namespace)
            )
        if names.UID_ATTRIBUTE in known.custom_attributes:
            return
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
            f"--namespace {client.namespace} --name {names.UID_ATTRIBUTE} --type Keyword"
        ) from error
