"""What people are told when Temporal cannot be reached. The core's own words were heard from real servers."""

import os
from pathlib import Path

import pytest
from temporalio.service import TLSConfig

from goosejobs.clients import connection
from goosejobs.clients.connection import Tls, explained
from goosejobs.clients.errors import Rejected

AUTHORITY = TLSConfig(server_root_ca_cert=b"x")
MUTUAL = TLSConfig(server_root_ca_cert=b"x", client_cert=b"x", client_private_key=b"x")
CALL = (
    "Failed client connect: `get_system_info` call error after connection: Status { code: Unknown, message: "
)
ALERT = (
    CALL
    + '"transport error", source: Some(tonic::transport::Error(Transport, hyper::Error(Io, Custom { kind: '
    'InvalidData, error: "received fatal alert: %s" }))) }'
)
CLOSED = (
    CALL
    + '"transport error", source: Some(tonic::transport::Error(Transport, hyper::Error(Io, Custom { kind: '
    'BrokenPipe, error: "stream closed because of a broken pipe" }))) }'
)
SERVER = "Failed client connect: Server connection error: tonic::transport::Error(Transport, %s)"
REFUSED = SERVER % "ConnectError(Custom { kind: InvalidData, error: InvalidCertificate(%s) })"
NAME = 'NotValidForNameContext { expected: %s, presented: ["DnsName(\\"temporal.test\\")"] }'


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", os.devnull)


@pytest.mark.parametrize(
    ("message", "tls", "says"),
    [
        (CLOSED, None, "set TEMPORAL_TLS=true"),
        (CLOSED, False, "set TEMPORAL_TLS=true"),
        (CLOSED, True, "set TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH"),
        (CLOSED, AUTHORITY, "set TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH"),
        (CLOSED, MUTUAL, "if it does not trust the certificate of TEMPORAL_TLS_CLIENT_CERT_PATH"),
        (
            ALERT % "CertificateRequired",
            AUTHORITY,
            "it asks for a client certificate, set TEMPORAL_TLS_CLIENT",
        ),
        (ALERT % "UnknownCA", MUTUAL, "it does not trust the certificate of TEMPORAL_TLS_CLIENT_CERT_PATH"),
        (ALERT % "CertificateExpired", MUTUAL, "it does not trust the certificate of TEMPORAL_TLS_CLIENT"),
        (ALERT % "DecodeError", MUTUAL, "it ended the connection"),
        (REFUSED % "UnknownIssuer", True, "set TEMPORAL_TLS_SERVER_CA_CERT_PATH"),
        (REFUSED % "BadSignature", AUTHORITY, "set TEMPORAL_TLS_SERVER_CA_CERT_PATH"),
        (REFUSED % "Expired", AUTHORITY, "its certificate has expired"),
        (
            REFUSED % (NAME % 'DnsName("other.test")'),
            MUTUAL,
            "its certificate is for temporal.test, not for other.test: set TEMPORAL_TLS_SERVER_NAME",
        ),
        (
            REFUSED % (NAME % "IpAddress(V4(Ipv4Addr([127, 0, 0, 1])))"),
            MUTUAL,
            "its certificate is for temporal.test, not for 127.0.0.1: set TEMPORAL_TLS_SERVER_NAME",
        ),
        (SERVER % "PrivateKeyParseError", MUTUAL, "TEMPORAL_TLS_CLIENT_KEY_PATH holds no private key in PEM"),
        (SERVER % "InconsistentKeys(KeyMismatch)", MUTUAL, "do not belong together"),
        (
            SERVER % "ConnectError(Custom { kind: InvalidData, error: InvalidMessage(InvalidContentType) })",
            True,
            "it does not speak TLS: set TEMPORAL_TLS=false",
        ),
        (
            SERVER % 'ConnectError(ConnectError("tcp connect error", 127.0.0.1:1, Os { code: 111, kind: '
            'ConnectionRefused, message: "Connection refused" }))',
            None,
            "nothing listens there",
        ),
        (
            SERVER % 'ConnectError(ConnectError("dns error", Custom { kind: U }))',
            None,
            "no such host is known",
        ),
    ],
)
def test_the_cores_words_become_a_sentence_that_names_the_variable(message: str, tls: Tls, says: str) -> None:
    said = explained(message, tls)
    assert says in said
    assert "{" not in said


REFUSAL = (
    CALL.replace("Unknown", "PermissionDenied")
    + '"Request unauthorized.", details: b"\\x08\\x07\\x12", source: None }'
)


def test_a_key_that_is_refused_is_named_by_its_variable() -> None:
    said = explained(REFUSAL, True)
    assert said.startswith("Request unauthorized: is TEMPORAL_API_KEY")
    assert "{" not in said


def test_of_what_a_server_answers_only_its_message_is_told() -> None:
    answer = REFUSAL.replace("PermissionDenied", "NotFound").replace(
        "Request unauthorized", 'no \\"x\\" here'
    )
    assert explained(answer, True).endswith('error after connection: no \\"x\\" here.')


def test_words_that_we_do_not_know_are_left_as_they_are() -> None:
    assert explained("Namespace x is not found.", None) == "Namespace x is not found."


@pytest.mark.parametrize("address", ["https://temporal.test:7233", "temporal.test", "temporal.test:"])
def test_an_address_that_is_none_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", address)
    with pytest.raises(Rejected, match="TEMPORAL_ADDRESS: write host:port"):
        connection.load()


def test_without_an_address_it_is_the_one_that_temporal_has_by_default() -> None:
    assert connection.load()["target_host"] == "localhost:7233"


@pytest.mark.parametrize("name", ["TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_KEY_PATH"])
def test_a_certificate_without_its_key_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half").write_text("x")
    monkeypatch.setenv(name, str(tmp_path / "half"))
    with pytest.raises(Rejected, match="set both TEMPORAL_TLS_CLIENT_CERT_PATH and"):
        connection.load()


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_TLS_SERVER_CA_CERT_PATH", "/no/ca.crt")
    with pytest.raises(Rejected, match=r"cannot read /no/ca\.crt: No such file"):
        connection.load()


def test_a_configuration_file_that_is_no_good_is_not_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.default]\napi_key = "hush" hush\n')
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(file))
    with pytest.raises(Rejected, match="bad client configuration") as raised:
        connection.load()
    assert "hush" not in str(raised.value)
