"""API keys for Temporal's own authorizer: signed tokens, and a server that tells how to check them."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

_KEY_ID = "tests"
_VALID_SECONDS = 3600


@dataclass(frozen=True)
class Tokens:
    """Whoever may sign.

    Attributes:
        url: Where the server finds the public key.
    """

    key: ec.EllipticCurvePrivateKey
    url: str

    def sign(self, *permissions: str) -> str:
        """A token for `namespace:role`s; roles are read, write and admin."""
        now = int(time.time())
        claims = {"sub": "tests", "permissions": permissions, "iat": now, "exp": now + _VALID_SECONDS}
        signed = ".".join(
            _encoded(json.dumps(part).encode()) for part in ({"alg": "ES256", "kid": _KEY_ID}, claims)
        )
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    @property
    def server(self) -> dict[str, Any]:
        """The server's `global.authorization`."""
        return {
            "jwtKeyProvider": {"keySourceURIs": [self.url], "refreshInterval": "1h"},
            "permissionsClaimName": "permissions",
            "authorizer": "default",
            "claimMapper": "default",
        }


@contextmanager
def signer() -> Iterator[Tokens]:
    """Serve a new key's public half on loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    public = {
        "kty": "EC",
        "crv": "P-256",
        "kid": _KEY_ID,
        "x": _encoded(numbers.x.to_bytes(32, "big")),
        "y": _encoded(numbers.y.to_bytes(32, "big")),
    }
    body = json.dumps({"keys": [public]}).encode()

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """In silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Tokens(key, f"http://127.0.0.1:{server.server_address[1]}/keys")
        server.shutdown()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
