"""Settings that the operator and the workers share, from GOOSEJOBS_* environment variables.

Temporal's own settings (TEMPORAL_ADDRESS, TLS, API key, ...) are read by its SDK: see clients/temporal.py.
"""

import socket
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, InstanceOf, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from goosejobs.clients.codec import Keyring


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _read_keys(value: object) -> object:
    return Keyring.read(Path(value)) if isinstance(value, str) else value


def _parse_keys(value: object) -> object:
    return Keyring.parse(value) if isinstance(value, str) else value


CommaList = Annotated[list[str], NoDecode, BeforeValidator(_split)]
"""Several values in one variable, separated by commas."""


_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def pod_namespace() -> str:
    """The namespace of the pod we run in; `default` outside a cluster."""
    return _POD_NAMESPACE.read_text(encoding="utf-8").strip() if _POD_NAMESPACE.exists() else "default"


class InvalidSettings(Exception):
    """A setting is wrong; str() has a line for each, with the variable's name."""


class Settings(BaseSettings):
    """What both sides can be told."""

    model_config = SettingsConfigDict(env_prefix="GOOSEJOBS_", env_ignore_empty=True)

    namespaces: CommaList = Field(
        default_factory=list, description="Namespaces to serve, separated by commas; empty: all."
    )
    health_address: str = Field(
        default="0.0.0.0:8080",
        pattern=r"^.+:\d{1,5}$",
        description="host:port of /healthz, /readyz and /metrics.",
    )
    identity: str = Field(
        default_factory=socket.gethostname, min_length=1, max_length=253, description="This replica's name."
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="A JSON object or a text per line."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    codec_key_file: Annotated[InstanceOf[Keyring], NoDecode, BeforeValidator(_read_keys)] = Field(
        default=Keyring(),
        description="A file with the keys that encrypt what Temporal keeps: in base64, one a line. The first "
        "one encrypts, all decrypt. Read at the start.",
    )
    codec_key: Annotated[InstanceOf[Keyring], NoDecode, BeforeValidator(_parse_keys)] = Field(
        default=Keyring(),
        description="The same by value instead of the file; several keys are separated by commas.",
    )

    @field_validator("codec_key")
    @classmethod
    def _one_keyring(cls, value: Keyring, info: ValidationInfo) -> Keyring:
        if value.keys and info.data.get("codec_key_file", value).keys:
            raise ValueError("set either this or GOOSEJOBS_CODEC_KEY_FILE")
        return value

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises:
            InvalidSettings: With a line per wrong variable.
        """
        try:
            return cls()
        except ValidationError as error:
            lines = [
                f"GOOSEJOBS_{'_'.join(map(str, problem['loc'])).upper()}: "
                f"{problem['msg'].removeprefix('Value error, ')}"
                for problem in error.errors(include_input=False)
                if problem["type"] != "default_factory_not_called"  # because of another line's problem
            ]
            raise InvalidSettings("\n".join(lines)) from error

    @property
    def keyring(self) -> Keyring:
        """The keys that encrypt what Temporal keeps; empty: it is not encrypted."""
        return self.codec_key_file if self.codec_key_file.keys else self.codec_key

    @property
    def health_host_port(self) -> tuple[str, int]:
        """The health address, taken apart."""
        host, _, port = self.health_address.rpartition(":")
        return host.strip("[]"), int(port)

    def serves(self, namespace: str) -> bool:
        """Whether GooseJobs of this namespace are ours."""
        return not self.namespaces or namespace in self.namespaces
