"""`spec.execution.env` and `envFrom` in Process mode: the variables that a kubelet would give to a pod.

The rules are the kubelet's (makeEnvironmentVariables in pkg/kubelet/kubelet_pods.go, Kubernetes 1.35): env
wins over envFrom, a later source of envFrom over an earlier one, `$(NAME)` in a value stands for a variable
of envFrom or one further up in env, `$$` for a dollar sign, and each key of a source becomes a variable. In
Job mode the kubelet itself does this, and no worker reads a Secret.
"""

import asyncio
import base64
import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final

from goosejobs.clients.errors import Forbidden, NotFound, Unavailable
from goosejobs.clients.kube import Kube, object_path
from goosejobs.model.execution import EnvFrom, EnvVar, KeyReference, SourceReference

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 60.0
"""How long an attempt waits for an API server that does not answer."""
_PAUSE_SECONDS: Final = 1.0
_LONGEST: Final = 128 * 1024
"""Bytes of NAME=value that Linux takes, with the zero at its end (MAX_ARG_STRLEN)."""

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAME = re.compile(r"[ -<>-~]+")  # printable ASCII without `=`, as IsRelaxedEnvVarName has it


class Kind(StrEnum):
    """What variables can come from."""

    SECRET = "Secret"  # noqa: S105 -- the kind's name
    CONFIG_MAP = "ConfigMap"

    @property
    def plural(self) -> str:
        """As in paths and in RBAC."""
        return f"{self.lower()}s"

    @property
    def setting(self) -> str:
        """Where the pool's owner lists the names that workers may read."""
        return "process.secrets" if self is Kind.SECRET else "process.configMaps"


@dataclass(frozen=True, slots=True)
class Source:
    """A Secret or ConfigMap of the GooseJob's namespace."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Absence(Enum):
    """Why a source has no data for us."""

    NOT_FOUND = "not found"
    FORBIDDEN = "forbidden"


Found = Mapping[Source, Mapping[str, str] | Absence]
"""The data of each source; bytes that are not UTF-8 as surrogates."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables for goose.

    Attributes:
        variables: By name.
        secrets: The values among them, or in them, that came from Secrets.
    """

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


class ConfigNotFound(Exception):
    """The environment cannot be made; str() says which field names what, and what to do."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))


def sources(env: Sequence[EnvVar], env_from: Sequence[EnvFrom]) -> list[Source]:
    """What has to be read, each once."""
    wanted = [source for entry in env_from for source, _ in _whole(entry)]
    wanted += [source for variable in env for source, _, _ in _keys(variable)]
    return list(dict.fromkeys(wanted))


async def read(kube: Kube, namespace: str, wanted: Sequence[Source]) -> Found:
    """Read sources by their names; an API server that is away is waited for.

    Raises:
        Unavailable: It was away for too long.
        ClientError: It refused for another reason than RBAC.
    """
    give_up = time.monotonic() + PATIENCE_SECONDS
    found: dict[Source, Mapping[str, str] | Absence] = {}
    for source in wanted:
        while source not in found:
            try:
                found[source] = await _read(kube, namespace, source)
            except Unavailable as error:
                pause = error.retry_after or _PAUSE_SECONDS
                if time.monotonic() + pause > give_up:
                    raise
                logger.info("waiting for the API server", extra={"error": str(error)})
                await asyncio.sleep(pause)
    return found


def resolve(namespace: str, env: Sequence[EnvVar], env_from: Sequence[EnvFrom], found: Found) -> Environment:
    """Put the variables together. Pure.

    Args:
        namespace: The GooseJob's, for messages.
        env: `spec.execution.env`.
        env_from: `spec.execution.envFrom`.
        found: All that `sources` names.

    Raises:
        ConfigNotFound: With all problems.
    """
    resolver = _Resolver(namespace, found)
    for index, entry in enumerate(env_from):
        resolver.add_all(f"spec.execution.envFrom[{index}]", entry)
    for index, variable in enumerate(env):
        resolver.add(f"spec.execution.env[{index}]", variable)
    if resolver.problems:
        raise ConfigNotFound(resolver.problems)
    return Environment(resolver.variables, frozenset(resolver.secrets))


class _Resolver:
    """Takes one entry after the other, as the kubelet does."""

    def __init__(self, namespace: str, found: Found) -> None:
        self.namespace = namespace
        self.found = found
        self.variables: dict[str, str] = {}
        self.secrets: set[str] = set()
        self.problems: list[str] = []

    def add_all(self, path: str, entry: EnvFrom) -> None:
        for source, reference in _whole(entry):
            where = f"{path}.{'secretRef' if source.kind is Kind.SECRET else 'configMapRef'}"
            data = self._data(f"{where}.name", source, optional=reference.optional)
            for key, value in (data or {}).items():
                self._set(where, entry.prefix + key, value, f"key {key} of {source}")
            if source.kind is Kind.SECRET:
                self.secrets.update((data or {}).values())

    def add(self, path: str, variable: EnvVar) -> None:
        if variable.value or variable.value_from is None:
            value = _REFERENCE.sub(self._expanded, variable.value or "")
            self._set(f"{path}.value", variable.name, value, "the value")
        for source, field_name, reference in _keys(variable):
            where = f"{path}.valueFrom.{field_name}"
            data = self._data(f"{where}.name", source, optional=reference.optional)
            if data is None:
                continue
            if reference.key in data:
                self._set(where, variable.name, data[reference.key], f"key {reference.key} of {source}")
                if source.kind is Kind.SECRET:
                    self.secrets.add(data[reference.key])
            elif not reference.optional:
                self.problems.append(self._no_key(where, source, reference.key, data))

    def _data(self, where: str, source: Source, *, optional: bool) -> Mapping[str, str] | None:
        data = self.found[source]
        if data is Absence.FORBIDDEN:
            self.problems.append(
                f"{where}: the worker may not read {source} in namespace {self.namespace}: name it in the "
                f"pool's {source.kind.setting}, or allow the worker to get it"
            )
        elif data is Absence.NOT_FOUND and not optional:
            self.problems.append(
                f"{where}: there is no {source} in namespace {self.namespace}: create it, or set "
                "optional: true"
            )
        return None if isinstance(data, Absence) else data

    def _no_key(self, where: str, source: Source, key: str, data: Mapping[str, str]) -> str:
        other = "name another one"
        if source.kind is Kind.CONFIG_MAP:  # who reads a status need not know what is in a Secret
            other = f"name one of those it has ({', '.join(sorted(data)[:10]) or 'none'})"
        return (
            f"{where}.key: {source} in namespace {self.namespace} has no key {key}: add it, {other}, or set "
            "optional: true"
        )

    def _set(self, where: str, name: str, value: str, what: str) -> None:
        """Enter a variable, unless no pod could have it: for the sake of execve, or of the kubelet's gRPC."""
        problem = ""
        if not _NAME.fullmatch(name):
            problem = f"{name!r} cannot be a variable's name: use printable ASCII without '='"
        elif "\0" in value:
            problem = f"{what} holds a zero byte, which no variable can: take it out"
        elif _SURROGATE.search(value):
            problem = f"{what} is not UTF-8, which a variable has to be: mount it as a file in a pod instead"
        elif len(name) + len(value.encode()) + 2 > _LONGEST:
            problem = f"{what} is longer than a variable can be (128 KiB): make it shorter"
        if problem:
            self.problems.append(f"{where}: {problem}")
        else:
            self.variables[name] = value

    def _expanded(self, reference: re.Match[str]) -> str:
        if reference[0] == "$$":
            return "$"
        return self.variables.get(reference[1], reference[0])


def _whole(entry: EnvFrom) -> Iterator[tuple[Source, SourceReference]]:
    if entry.secret_ref is not None:
        yield Source(Kind.SECRET, entry.secret_ref.name), entry.secret_ref
    elif entry.config_map_ref is not None:
        yield Source(Kind.CONFIG_MAP, entry.config_map_ref.name), entry.config_map_ref


def _keys(variable: EnvVar) -> Iterator[tuple[Source, str, KeyReference]]:
    given = variable.value_from
    if given is None or variable.value:
        return
    if given.secret_key_ref is not None:
        yield Source(Kind.SECRET, given.secret_key_ref.name), "secretKeyRef", given.secret_key_ref
    elif given.config_map_key_ref is not None:
        yield (
            Source(Kind.CONFIG_MAP, given.config_map_key_ref.name),
            "configMapKeyRef",
            given.config_map_key_ref,
        )


async def _read(kube: Kube, namespace: str, source: Source) -> Mapping[str, str] | Absence:
    what = f"read {source.kind} {namespace}/{source.name}"
    try:
        path = object_path("/api/v1", source.kind.plural, namespace, source.name)
        found = await kube.request(what, "GET", path)
    except NotFound:
        return Absence.NOT_FOUND
    except Forbidden:
        return Absence.FORBIDDEN
    data: Mapping[str, str] = found.get("data") or {}
    if source.kind is Kind.CONFIG_MAP:
        return data
    return {key: _text(value) for key, value in data.items()}


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode("utf-8", "surrogateescape")
