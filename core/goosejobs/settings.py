"""Settings that the operator and the workers share, from GOOSEJOBS_* environment variables.

Temporal's own settings (TEMPORAL_ADDRESS, TLS, API key, ...) are read by its SDK: see clients/temporal.py.
"""

import socket
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


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
        description="host:port of /healthz and /metrics.",
    )
    identity: str = Field(
        default_factory=socket.gethostname, min_length=1, max_length=253, description="This replica's name."
    )
    log_format: Literal["json", "text"] = Field(
        default="json", description="A JSON object or a text per line."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

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
                f"GOOSEJOBS_{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}"
                for problem in error.errors(include_input=False)
            ]
            raise InvalidSettings("\n".join(lines)) from error

    @property
    def health_host_port(self) -> tuple[str, int]:
        """The health address, taken apart."""
        host, _, port = self.health_address.rpartition(":")
        return host.strip("[]"), int(port)

    def serves(self, namespace: str) -> bool:
        """Whether GooseJobs of this namespace are ours."""
        return not self.namespaces or namespace in self.namespaces
