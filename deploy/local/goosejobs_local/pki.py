"""Where the certificates and keys of a control plane lie."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Pki:
    """All key material of one control plane, below one directory that only its owner can read."""

    directory: Path

    def pair(self, name: str) -> Pair:
        """The files of a certificate: `ca`, `server`, `service-accounts` or a client's name."""
        return Pair(self.directory / f"{name}.crt", self.directory / f"{name}.key")

    @property
    def authority(self) -> Path:
        """The certificate that signed all others."""
        return self.pair("ca").certificate
