"""How long people wait: for `goosejobs up`, for the first result, for `make check`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import yaml

from bench.ground import grounds, private_home
from bench.rows import NotMeasured, Row, median
from goosejobs_local import local, platform, sides
from goosejobs_local.resolve import Resolver
from goosejobs_local.state import load

UP_AIM_SECONDS = 15.0
AGAIN_AIM_SECONDS = 1.0
HELLO_AIM_SECONDS = 5.0
CHECK_AIM_SECONDS = 30.0
_ROOT = Path(__file__).parents[1]
_HELLO = local.EXAMPLES / "hello.yaml"
_SUCCEEDED = "jsonpath={.status.lastRun.outcome}=Succeeded"
_LAST_WORDS = 20
_CALLER = ("GOOSE_", "GOOSEJOBS_HOME", "OPENAI_")


def run(rounds: int) -> list[Row]:
    """Measure, with everything that has to be built or fetched in the cache.

    Args:
        rounds: How often the platform is brought up.

    Raises:
        NotMeasured: A command failed.
    """
    Resolver().resolve(local.BINARIES)
    seen: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, seconds in {**_servers(), **_platform()}.items():
            seen.setdefault(name, []).append(seconds)
    took = {name: median(values) for name, values in seen.items()}
    return _rows(took, rounds)


def check() -> list[Row]:
    """Measure `make check`, which has to pass.

    Raises:
        NotMeasured: It did not.
    """
    took = _command(["make", "--no-print-directory", "check"])
    return [Row("check", "make check", took, "s", CHECK_AIM_SECONDS)]


def _rows(took: Mapping[str, float], rounds: int) -> list[Row]:
    of = f"median of {rounds}"
    return [
        Row("up", f"goosejobs up, warm, {of}", took["up"], "s", UP_AIM_SECONDS,
            "Kubernetes and Temporal alone", took["servers"]),
        Row("up", f"goosejobs up again, {of}", took["again"], "s", AGAIN_AIM_SECONDS,
            "goosejobs --help", took["help"]),
        Row("up", f"apply to the end of hello, {of}", took["hello"], "s", HELLO_AIM_SECONDS,
            "goose run of the same recipe", took["goose"]),
        Row("up", f"goosejobs down, {of}", took["down"], "s"),
    ]  # fmt: skip


def _servers() -> dict[str, float]:
    """Kubernetes and Temporal without anything of ours but the CRDs."""
    with grounds() as ground:
        began = time.monotonic()
        ground.up_with()
        return {"servers": time.monotonic() - began}


def _platform() -> dict[str, float]:
    """A platform's whole life, as commands."""
    with private_home() as home:
        environment = _environment(home)

        def goosejobs(*arguments: str) -> float:
            return _command([sys.executable, "-m", "goosejobs_local", *arguments], environment)

        took = {"up": goosejobs("up"), "again": goosejobs("up"), "help": goosejobs("--help")}
        took["hello"] = _hello(home)
        took["goose"] = _goose(home)
        took["down"] = goosejobs("down")
    return took


def _environment(home: Path) -> dict[str, str]:
    """The caller's, but for a model provider that goose would ask instead of the stub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CALLER)}
    return {**kept, "GOOSEJOBS_HOME": str(home)}


def _hello(home: Path) -> float:
    """Seconds from apply to the recorded end of the example's run."""
    kubectl = [str(Resolver().resolve(["kubectl"])["kubectl"].path), f"--kubeconfig={home / 'kubeconfig'}"]
    wait = [*kubectl, "wait", "goosejob/hello", f"--for={_SUCCEEDED}", "--timeout=60s"]
    return _command([*kubectl, "apply", "-f", str(_HELLO)]) + _command(wait)


def _goose(home: Path) -> float:
    """Seconds of the same run by goose alone."""
    place = home / "bench"
    place.mkdir()
    recipe = place / "recipe.yaml"
    recipe.write_text(json.dumps(yaml.safe_load(_HELLO.read_text())["spec"]["recipe"]["inline"]))
    model = sides.stub_provider(load(home / platform.STATE).parts["model"].address)
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(place),
        "GOOSE_PATH_ROOT": str(place / "goose"),
        "GOOSE_DISABLE_KEYRING": "1",
        "GOOSE_DISABLE_SESSION_NAMING": "true",
        "GOOSE_TELEMETRY_ENABLED": "false",
        **model,
    }
    goose = Resolver().resolve(["goose"])["goose"].path
    return _command(
        [str(goose), "run", f"--recipe={recipe}", "--quiet", "--output-format=stream-json"], environment
    )


def _command(argv: list[str], environment: Mapping[str, str] | None = None) -> float:
    """Seconds that a command took.

    Raises:
        NotMeasured: It failed.
    """
    began = time.monotonic()
    done = subprocess.run(argv, env=environment, cwd=_ROOT, capture_output=True, text=True, check=False)
    took = time.monotonic() - began
    if done.returncode:
        words = (done.stdout + done.stderr).strip().splitlines()[-_LAST_WORDS:]
        what = f"{Path(argv[0]).name} {argv[1]} ended with code {done.returncode}"
        raise NotMeasured("\n".join([f"{what}:", *words]))
    return took
