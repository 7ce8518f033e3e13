"""What a part of the platform is, and how to ask one whether it is well."""

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from goosejobs_local.pki import Pki

PROBE_HOST = "goosejobs"
"""The host that probes ask for. No page in a browser can: what it asks for has the port in it."""
_PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class Part:
    """One process of the platform.

    Attributes:
        name: As in `goosejobs logs NAME`.
        argv: The program and its arguments.
        probes: URLs that must answer 200.
        env: Environment variables for it.
        inherit: Whether it gets our whole environment besides, or only what no program can do without.
        cwd: Its working directory.
        after: Parts that must be well before this one starts.
        once: It is a step, not a server: it must end with exit code 0, and is not done again.
        stamp: What besides the command decides what it does: the content of its files.
        deadline: Seconds that it may take until it is well.
        grace: Seconds between SIGTERM and SIGKILL.
        umask: Of the files that it makes; -1: ours.
        version: To show.
        address: To show.
    """

    name: str
    argv: tuple[str, ...]
    probes: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    inherit: bool = False
    cwd: Path | None = None
    after: tuple[str, ...] = ()
    once: bool = False
    stamp: str = ""
    deadline: float = 120.0
    grace: float = 10.0
    umask: int = 0o077
    version: str = ""
    address: str = ""


def missing(probes: tuple[str, ...], pki: Pki) -> str | None:
    """Ask once; what is not well, or None when all is well.

    Args:
        probes: See `Part.probes`.
        pki: Who we are for https, and who may answer.
    """
    for url in probes:
        try:
            problem = _ask(url, pki)
        except (OSError, http.client.HTTPException) as error:
            problem = str(error) or type(error).__name__
        if problem:
            return f"{url}: {problem}"
    return None


def _ask(url: str, pki: Pki) -> str | None:
    parts = urlsplit(url)
    host, port = str(parts.hostname), int(parts.port or 0)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=_PROBE_SECONDS, context=_tls(pki))
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_PROBE_SECONDS)
    try:
        connection.request("GET", parts.path, headers={"Host": PROBE_HOST})
        answer = connection.getresponse()
        body = answer.read(2_000).decode(errors="replace").strip()
    finally:
        connection.close()
    return None if answer.status == 200 else f"{answer.status} {body}".strip()


def _tls(pki: Pki) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki.authority))
    admin = pki.pair("admin")
    context.load_cert_chain(admin.certificate, admin.key)
    return context
