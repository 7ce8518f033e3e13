"""What a part of the platform is, and how to ask one over HTTP whether it is well."""

import http.client
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class Part:
    """One process of the platform.

    Attributes:
        name: As in `goosejobs logs NAME`.
        argv: The program and its arguments.
        missing: One quick probe; what is not well yet, or None when all is well.
        env: Environment variables for it.
        inherit: Whether it gets our whole environment besides, or only what no program can do without.
        cwd: Its working directory.
        after: Parts that must be well before this one starts.
        once: It is a step, not a server: it must end with exit code 0, and is not done again.
        stamp: For a step, what besides the command decides its result.
        deadline: Seconds that it may take until it is well.
        grace: Seconds between SIGTERM and SIGKILL.
        version: To show.
        address: To show.
    """

    name: str
    argv: tuple[str, ...]
    missing: Callable[[], str | None] = lambda: None
    env: Mapping[str, str] = field(default_factory=dict)
    inherit: bool = False
    cwd: Path | None = None
    after: tuple[str, ...] = ()
    once: bool = False
    stamp: str = ""
    deadline: float = 60.0
    grace: float = 10.0
    version: str = ""
    address: str = ""


def http_missing(
    port: int, path: str, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> str | None:
    """What keeps `GET path` from answering 200; None when it does."""
    connection: http.client.HTTPConnection
    if tls:
        connection = http.client.HTTPSConnection(host, port, timeout=_PROBE_SECONDS, context=tls)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(2_000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"{path} on port {port}: {error or type(error).__name__}"
    finally:
        connection.close()
    return None if answer.status == 200 else f"{path} on port {port} answers {answer.status}: {body}"
