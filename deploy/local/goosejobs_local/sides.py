"""Our own two sides, operator and worker, and the stub model, as processes of the platform."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from goosejobs_local import node, temporal
from goosejobs_local.parts import Part

STUB_MODEL = "stub"
PROVIDER_SECRET = "goose-provider"  # noqa: S105 -- a name
"""The Secret, in a GooseJob's own namespace, with what its model provider wants to see."""


def model(port: int, host: str = "127.0.0.1") -> Part:
    """The stub model server."""
    return Part(
        name="model",
        argv=(sys.executable, "-m", "goosejobs_local.modelstub", "--host", host, "--port", str(port)),
        probes=(f"http://{host}:{port}/v1/models",),
        address=f"http://{host}:{port}",
    )


def stub_provider(address: str) -> dict[str, str]:
    """The environment that makes goose ask the stub model."""
    return {
        "GOOSE_PROVIDER": "openai",
        "GOOSE_MODEL": STUB_MODEL,
        "OPENAI_HOST": address,
        "OPENAI_API_KEY": "not-a-key",
    }


def operator(port: int, connection: Mapping[str, str], **env: str) -> Part:
    """The operator.

    Args:
        port: Of /healthz, /readyz and /metrics.
        connection: See `connection`.
        env: Further environment variables.
    """
    return Part(
        name="operator",
        argv=(sys.executable, "-m", "goosejobs_operator"),
        env={**connection, "GOOSEJOBS_HEALTH_ADDRESS": f"127.0.0.1:{port}", **env},
        inherit=True,
        probes=(f"http://127.0.0.1:{port}/healthz",),
        after=("crds", "temporal"),
        address=f"127.0.0.1:{port}",
    )


def worker(
    port: int, connection: Mapping[str, str], *, goose: Path, data: Path, recipes: Path, **env: str
) -> Part:
    """A worker in Process mode.

    Args:
        port: Of /healthz, /readyz and /metrics.
        connection: See `connection`.
        goose: The program.
        data: Where gooses work; see `goosejobs_worker.settings`.
        recipes: The pool's recipe folder.
        env: Further environment variables.
    """
    return Part(
        name="worker",
        argv=(sys.executable, "-m", "goosejobs_worker"),
        env={
            **connection,
            "GOOSEJOBS_HEALTH_ADDRESS": f"127.0.0.1:{port}",
            "GOOSEJOBS_MODE": "Process",
            "GOOSEJOBS_NAMESPACES": "*",
            "GOOSEJOBS_GOOSE": str(goose),
            "GOOSEJOBS_DATA_DIR": str(data),
            "GOOSEJOBS_RECIPE_DIR": str(recipes),
            **env,
        },
        inherit=True,
        probes=(f"http://127.0.0.1:{port}/readyz",),
        after=("crds", "temporal"),
        address=f"127.0.0.1:{port}",
    )


def job_worker(
    port: int, connection: Mapping[str, str], *, template: Path, recipes: Path, **env: str
) -> Part:
    """A worker in Job mode.

    Args:
        port: Of /healthz, /readyz and /metrics.
        connection: See `connection`.
        template: What all its pods have in common.
        recipes: The pool's recipe folder.
        env: Further environment variables.
    """
    return Part(
        name="worker",
        argv=(sys.executable, "-m", "goosejobs_worker"),
        env={
            **connection,
            "GOOSEJOBS_HEALTH_ADDRESS": f"127.0.0.1:{port}",
            "GOOSEJOBS_MODE": "Job",
            "GOOSEJOBS_NAMESPACES": "*",
            "GOOSEJOBS_POOL_TEMPLATE": str(template),
            "GOOSEJOBS_RECIPE_DIR": str(recipes),
            **env,
        },
        inherit=True,
        probes=(f"http://127.0.0.1:{port}/readyz",),
        after=("crds", "temporal", "node-ready", node.GOOSE_IMAGE_STEP),
        stamp=template.read_text(),
        address=f"127.0.0.1:{port}",
    )


def job_template(image: str, provider: Mapping[str, str]) -> str:
    """The file with what all pods of a worker in Job mode have in common.

    Args:
        image: With goose in it; empty for goose's own.
        provider: Environment variables that name the model provider; no secrets.
    """
    template = {
        "env": [{"name": name, "value": value} for name, value in provider.items()],
        "envFrom": [{"secretRef": {"name": PROVIDER_SECRET, "optional": True}}],
        "job": {"image": image} if image else {},
    }
    return yaml.safe_dump(template, sort_keys=False)


def connection(kubeconfig: Path, temporal_address: str) -> dict[str, str]:
    """The environment that leads a side to this platform, and to none that the caller's environment names."""
    return {
        "KUBECONFIG": str(kubeconfig),
        "TEMPORAL_ADDRESS": temporal_address,
        "TEMPORAL_NAMESPACE": temporal.NAMESPACE,
        "TEMPORAL_API_KEY": "",
        "TEMPORAL_TLS": "false",
        "TEMPORAL_PROFILE": "",
        "TEMPORAL_CONFIG_FILE": os.devnull,
    }


def reachable(program: Path, directory: Path) -> Path:
    """A path of a program that goose's own user can reach.

    A worker that is root runs goose as a user of its own, which may not enter root's home and cache.

    Args:
        program: The program.
        directory: A directory that everybody may enter; gets a link to the program, or a copy, if need be.
    """
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in program.resolve().parents):
        return program
    target = directory / program.name
    if not target.exists():
        directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        part = directory / f".{program.name}.{os.getpid()}"
        try:
            part.hardlink_to(program.resolve())
        except OSError:  # another file system
            shutil.copy2(program, part)
        part.replace(target)
    return target
