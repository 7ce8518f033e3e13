"""Makes the certificates and keys of a control plane that trusts nobody else on its machine."""

import datetime
import ipaddress
from collections.abc import Mapping, Sequence
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from goosejobs_local.pki import Pair, Pki

_VALID_DAYS = 3650


def create(pki: Pki, clients: Mapping[str, str | None], servers: Mapping[str, Sequence[str]]) -> None:
    """Write what is missing.

    Args:
        pki: Where to.
        clients: Common name to organisation (Kubernetes reads them as user and group).
        servers: Common name to the names and addresses under which it serves.
    """
    pki.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = not pki.authority.exists()
    authority, authority_key = _new_authority() if new else _authority(pki)
    for name in (*clients, *servers):
        if new or not pki.pair(name).certificate.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            signer = (authority, authority_key)
            certificate = _certificate(name, clients.get(name), key, signer, servers.get(name, ()))
            _write(pki.pair(name), certificate, key)
    if new:  # the last: without it, all is made anew
        _write(pki.pair("ca"), authority, authority_key)


def _new_authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    return _certificate("goosejobs-local", None, key, None, ()), key


def _authority(pki: Pki) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    pair = pki.pair("ca")
    key = serialization.load_pem_private_key(pair.key.read_bytes(), password=None)
    certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    return certificate, cast(ec.EllipticCurvePrivateKey, key)


def _certificate(
    name: str,
    organisation: str | None,
    key: ec.EllipticCurvePrivateKey,
    signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None,
    serves: Sequence[str],
) -> x509.Certificate:
    """A certificate for clients and servers alike; its own authority when there is no signer."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    subject = x509.Name(attributes)
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer[0].subject if signer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    if signer:
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if serves:
            # etcd's own gateway calls etcd with the server's certificate, so it keeps the client usage too.
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(_names(serves), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(signer[1] if signer else key, hashes.SHA256())


def _names(serves: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_name(name) for name in serves])


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _write(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """SEC 1 keys, since Kubernetes reads no other EC keys for service accounts."""
    pair.key.touch(mode=0o600)
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
