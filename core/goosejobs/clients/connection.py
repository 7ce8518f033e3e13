"""How to reach Temporal, as the SDK's environment configuration says, and what its core's errors mean.

The core tells what went wrong in the words of its own libraries (`InvalidCertificate(UnknownIssuer)`). People
get a sentence that names the variable to look at. No value of a variable is quoted but the address.
"""

import re
from collections.abc import Callable
from typing import Final

from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.service import TLSConfig

from goosejobs.clients.errors import Rejected

_CERTIFICATE: Final = "TEMPORAL_TLS_CLIENT_CERT_PATH"
_KEY: Final = "TEMPORAL_TLS_CLIENT_KEY_PATH"
_AUTHORITY: Final = "TEMPORAL_TLS_SERVER_CA_CERT_PATH"
_NAME: Final = "TEMPORAL_TLS_SERVER_NAME"

_NEEDED: Final = f"it asks for a client certificate, set {_CERTIFICATE} and {_KEY}"
_UNTRUSTED: Final = (
    f"it does not trust the certificate of {_CERTIFICATE}, use one that is valid and signed by the authority "
    "that it is set up with"
)

Tls = bool | TLSConfig | None


def load() -> ClientConnectConfig:
    """Read the environment, and the files that it names.

    Raises:
        Rejected: It makes no sense.
    """
    try:
        settings = ClientConfig.load_client_connect_config()
    except (ValueError, RuntimeError, OSError) as error:
        raise Rejected(f"Temporal: bad client configuration: {_unquoted(error)}") from error
    address = settings.setdefault("target_host", "localhost:7233")
    if "://" in address or not re.search(r":\d+\Z", address):
        raise Rejected(f"TEMPORAL_ADDRESS: write host:port, such as temporal.example.com:7233, not {address}")
    tls = settings.get("tls")
    if isinstance(tls, TLSConfig) and bool(tls.client_cert) != bool(tls.client_private_key):
        raise Rejected(f"Temporal: set both {_CERTIFICATE} and {_KEY}, or neither")
    return settings


def _unquoted(error: Exception) -> str:
    """What is wrong, without the line of a TOML file that the error shows: it may hold the API key."""
    if isinstance(error, OSError):
        return f"cannot read {error.filename}: {error.strerror}"
    return " ".join(line.strip() for line in str(error).splitlines() if "|" not in line)


def explained(message: str, tls: Tls) -> str:
    """An error of the SDK's core as a sentence.

    Args:
        message: What the core said.
        tls: How we were to speak to the server.
    """
    for pattern, meaning in _MEANINGS:
        found = re.search(pattern, message)
        if found:
            return meaning(found, tls)
    return _STATUS.sub(r"\2", message)


def _ended(_: re.Match[str], tls: Tls) -> str:
    """A server that turns us away may do so without a word, or the word may be lost with the connection."""
    if not tls:
        return "it ended the connection: if it asks for TLS, set TEMPORAL_TLS=true"
    if isinstance(tls, TLSConfig) and tls.client_cert:
        return f"it ended the connection: if {_UNTRUSTED}"
    return f"it ended the connection: if {_NEEDED}"


def _other_name(found: re.Match[str], _: Tls) -> str:
    names = ", ".join(re.findall(r'"\w+\(\\"(.+?)\\"\)"', found["presented"])) or "no name"
    expected = re.sub(r'^\w+\((?:"(.+)"|.*\[([\d, ]+)\].*)\)$', _plain, found["expected"])
    return f"its certificate is for {names}, not for {expected}: set {_NAME} to a name that it is for"


def _plain(found: re.Match[str]) -> str:
    return found[1] or found[2].replace(", ", ".")


def _say(sentence: str) -> Callable[[re.Match[str], Tls], str]:
    return lambda _found, _tls: sentence


_STATUS: Final = re.compile(r'Status \{ code: (\w+), message: "((?:[^"\\]|\\.)*)".*\}', re.DOTALL)
"""What a server answered, as the core shows it."""


def _refused(found: re.Match[str], _: Tls) -> str:
    return f"{found[2].rstrip('.')}: is TEMPORAL_API_KEY, or the client certificate, one that may do this?"


_MEANINGS: Final[tuple[tuple[str, Callable[[re.Match[str], Tls], str]], ...]] = (
    (
        r"InvalidCertificate\((UnknownIssuer|BadSignature)\)",
        _say(
            "its certificate is not signed by an authority that we trust: set "
            f"{_AUTHORITY} to the certificate of the authority that signed it"
        ),
    ),
    (
        r"NotValidForName(?:Context \{ expected: (?P<expected>.+?), presented: \[(?P<presented>.*?)\] \})",
        _other_name,
    ),
    (r"InvalidCertificate\(Expired", _say("its certificate has expired")),
    (r"InvalidCertificate\(NotValidYet", _say("its certificate is not valid yet")),
    (r"received fatal alert: CertificateRequired", _say(_NEEDED)),
    (r"received fatal alert: (UnknownCA|BadCertificate|Certificate\w+|AccessDenied)", _say(_UNTRUSTED)),
    (r"InvalidContentType|InvalidMessage", _say("it does not speak TLS: set TEMPORAL_TLS=false")),
    (r"PrivateKeyParseError", _say(f"the file of {_KEY} holds no private key in PEM")),
    (
        r"CertificateParseError",
        _say(f"the file of {_CERTIFICATE} or {_AUTHORITY} holds no certificate in PEM"),
    ),
    (
        r"InconsistentKeys",
        _say(f"the certificate of {_CERTIFICATE} and the key of {_KEY} do not belong together"),
    ),
    (_STATUS.pattern.replace(r"(\w+)", "(PermissionDenied|Unauthenticated)", 1), _refused),
    (r"dns error", _say("no such host is known")),
    (r"kind: ConnectionRefused", _say("nothing listens there")),
    (
        r"BrokenPipe|ConnectionReset|UnexpectedEof|connection closed|tls handshake eof|received fatal alert",
        _ended,
    ),
)
