"""Certificates: one authority for all, each for what it is used for, and none made twice."""

import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from goosejobs_local import certificates
from goosejobs_local.pki import Pki

CLIENTS = {"admin": "system:masters", "service-accounts": None}


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    pki = Pki(tmp_path / "pki")
    certificates.create(pki, CLIENTS, {"server": ("localhost", "127.0.0.1")})
    return pki


def read(pki: Pki, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pki.pair(name).certificate.read_bytes())


def test_all_are_signed_by_one_authority(pki: Pki) -> None:
    for name in ("admin", "service-accounts", "server"):
        read(pki, name).verify_directly_issued_by(read(pki, "ca"))


def test_a_server_has_its_names_and_addresses(pki: Pki) -> None:
    names = read(pki, "server").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]


def test_a_client_has_its_group_and_cannot_serve(pki: Pki) -> None:
    admin = read(pki, "admin")
    [group] = admin.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert group.value == "system:masters"
    usage = admin.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_what_is_there_stays_and_what_is_missing_is_added_by_the_same_authority(pki: Pki) -> None:
    before = read(pki, "admin")
    certificates.create(
        pki, {**CLIENTS, "system:node:n": "system:nodes"}, {"server": ("localhost",), "node": ("10.0.0.2",)}
    )
    assert read(pki, "admin") == before
    read(pki, "system:node:n").verify_directly_issued_by(read(pki, "ca"))
    read(pki, "node").verify_directly_issued_by(read(pki, "ca"))


def test_keys_are_for_their_owner_alone(pki: Pki) -> None:
    assert {path.stat().st_mode & 0o077 for path in pki.directory.glob("*.key")} == {0}
