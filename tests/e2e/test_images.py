"""Our images: built from the Dockerfiles, small, with nothing in them that is not needed, and they run."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goosejobs_local import baseimage, imagebuild, sides
from goosejobs_local.imagebuild import CHECKOUT, GOOSE, OPERATOR, WORKER, WORKER_SLIM, Image
from support import rig as rigs
from support.archives import Archive
from support.objects import Kubectl, ended, goosejob
from support.pods import PATIENCE, wait_for_account
from support.rig import Rig

pytestmark = pytest.mark.timeout(1200)  # the first time, everything in them is fetched

OURS = {"operator": OPERATOR, "worker": WORKER, "worker-slim": WORKER_SLIM, "goose": GOOSE}
PYTHON = {"operator": OPERATOR, "worker": WORKER, "worker-slim": WORKER_SLIM}
MEGABYTES = {"operator": 334, "worker": 662, "worker-slim": 332, "goose": 464}
"""A tenth more than they were when this was written, unpacked; the base is 83 of it, goose 301."""
DATA = "var/lib/goosejobs"
RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@pytest.fixture(scope="session")
def archive() -> Callable[[str], Archive]:
    """Gives an image by its name; all are built at once, of the same sources."""
    if reason := rigs.no_node():
        pytest.skip(reason)
    built = imagebuild.build(OURS.values())
    archives = {name: Archive(built[image]) for name, image in OURS.items()}
    return archives.__getitem__


Build = Callable[[str], Archive]


@pytest.mark.parametrize("name", OURS)
def test_an_image_runs_as_a_numbered_user_and_without_a_shell(archive: Build, name: str) -> None:
    config = archive(name).config["config"]
    assert config["User"] == ("1000:1000" if name == "goose" else "65532:65532")
    program = "goose" if name == "goose" else f"goosejobs-{OURS[name].name}"
    assert config["Entrypoint"] == [program]
    assert not config.get("Cmd")
    assert not config.get("Healthcheck")


@pytest.mark.parametrize("name", PYTHON)
def test_an_image_says_what_it_is(archive: Build, name: str) -> None:
    labels = archive(name).config["config"]["Labels"]
    title = labels["org.opencontainers.image.title"]
    assert title == f"goosejobs-{OURS[name].name}"
    assert OURS[name].reference.split(":")[1].startswith(labels["org.opencontainers.image.version"])
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.mark.parametrize("name", OURS)
def test_an_image_does_not_grow(archive: Build, name: str) -> None:
    megabytes = archive(name).size / 1_000_000
    print(f"{name}: {megabytes:.0f} MB")
    assert megabytes < MEGABYTES[name]


@pytest.mark.parametrize(("name", "extra"), [("operator", ["--extra=operator"]), ("worker-slim", [])])
def test_an_image_holds_the_locked_packages_and_no_others(
    archive: Build, name: str, extra: list[str]
) -> None:
    argv = [str(CHECKOUT / "deploy/local/uv"), "export", "-q", "--frozen", "--no-dev", "--no-hashes", *extra]
    argv += ["--no-emit-project", "--no-annotate", "--no-header"]
    export = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    wanted = {
        _normal(match[1]) + "-" + match[2]
        for line in export.splitlines()
        if (match := re.match(r"([\w.-]+)==(\S+)(?: ;.*)?$", line)) and _applies(line)
    }
    there = {
        match[1]
        for path in archive(name).files
        if (match := re.fullmatch(r"opt/goosejobs/lib/python3\.\d+/site-packages/([^/]+)\.dist-info", path))
    }
    found = {_normal(one.rpartition("-")[0]) + "-" + one.rpartition("-")[2] for one in there}
    ours = {one for one in found if one.startswith("goosejobs-")}
    assert len(ours) == 1
    assert found - ours == wanted


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _applies(line: str) -> bool:
    return "win32" not in line and "emscripten" not in line


FORBIDDEN = re.compile(
    r"(^|/)(\.git|\.venv|tests?/e2e|conftest\.py|pytest|mypy|ruff|hypothesis|node_modules|\.cache|\.netrc|\.npmrc)(/|$)"
    r"|(^|/)s?bin/(pip\d?|uvx?|npm|node|gcc|cc|g\+\+|cargo|go|git)$"
    r"|(^|/)(site|dist)-packages/(pip|uv|setuptools|wheel|hatchling)(/|$)"
    r"|^(src|fetch|root/.+|locked\.txt|run/secrets)(/|$)"
    r"|^var/(lib/apt/lists|cache/apt)/.*Packages"
    r"|goosejobs_local"
)


@pytest.mark.parametrize("name", OURS)
def test_nothing_of_how_it_was_built_is_left_in_an_image(archive: Build, name: str) -> None:
    skeleton = {"root/.bashrc", "root/.profile"}
    found = [path for path in archive(name).files if FORBIDDEN.search(path) and path not in skeleton]
    assert found == []


def test_each_side_holds_its_own_code_only(archive: Build) -> None:
    def parts(name: str) -> set[str]:
        pattern = re.compile(r"opt/goosejobs/lib/python3\.\d+/site-packages/(goosejobs\w*)/")
        return {match[1] for path in archive(name).files if (match := pattern.match(path))}

    assert parts("operator") == {"goosejobs", "goosejobs_operator"}
    assert parts("worker-slim") == parts("worker") == {"goosejobs", "goosejobs_worker"}
    assert parts("goose") == set()


def test_goose_is_where_it_is_needed_and_nowhere_else(archive: Build) -> None:
    having = {name for name in OURS if "usr/local/bin/goose" in archive(name).files}
    assert having == {"worker", "goose"}


@pytest.mark.parametrize("name", OURS)
def test_its_user_can_change_nothing_in_an_image_but_its_data_folder(archive: Build, name: str) -> None:
    writable = {
        path
        for path, info in archive(name).files.items()
        if not info.issym()
        and not info.isdev()
        and (info.uid == 65532 or info.gid == 65532 or info.mode & 0o002)
    }
    sticky = {"tmp", "var/tmp", "run/lock"}
    data = {DATA} if name.startswith("worker") else set()
    assert writable - sticky == data


@pytest.mark.parametrize("name", OURS)
def test_no_program_in_an_image_makes_its_user_somebody_else(archive: Build, name: str) -> None:
    assert [path for path, info in archive(name).files.items() if info.isfile() and info.mode & 0o6000] == []


@pytest.mark.parametrize("name", OURS)
def test_no_secret_of_the_build_is_in_an_image(archive: Build, name: str) -> None:
    config = json.dumps(archive(name).config)
    assert "secret" not in config
    assert not re.search(r"INDEX|REGISTRY|https?://", config)
    # The machine's own roots of TLS were seen by the build alone.
    roots = "etc/ssl/certs/ca-certificates.crt"
    assert archive(name).contents(roots) == [_member(baseimage.base_layer(), f"./{roots}")]


def _member(tar: Path, name: str) -> bytes:
    return subprocess.run(["tar", "-xOf", str(tar), name], capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def node_with_images(own_node: Rig, archive: Build) -> Rig:
    """A node that has them all, and nobody else's operator."""
    for name in OURS:
        own_node.import_image(archive(name).path)
    return own_node


def container(image: Image, *arguments: str, **more: Any) -> dict[str, Any]:
    """One that a restricted namespace lets in, with nothing to write to but what is mounted."""
    env = [{"name": name, "value": value} for name, value in more.pop("env", {}).items()]
    return {
        "name": "main",
        "image": image.reference,
        "imagePullPolicy": "Never",
        "args": list(arguments),
        "env": env,
        "securityContext": RESTRICTED,
        **more,
    }


def pod_spec(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": list(containers),
        **more,
    }


def ended_pod(kubectl: Kubectl, name: str, spec: dict[str, Any]) -> tuple[int, str]:
    """Run a pod to its end in a restricted namespace; its exit code and its log."""
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    wait_for_account(kubectl, name)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}
    kubectl("-n", name, "apply", "-f", "-", input=json.dumps(pod))
    done = "--for=jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    kubectl("-n", name, "wait", "pod/one", done, PATIENCE)
    log = kubectl("-n", name, "logs", "one").stdout
    status = json.loads(kubectl("-n", name, "get", "pod", "one", "-o", "json").stdout)["status"]
    return status["containerStatuses"][0]["state"]["terminated"]["exitCode"], log


def run(kubectl: Kubectl, name: str, image: Image, *arguments: str, **more: Any) -> tuple[int, str]:
    return ended_pod(kubectl, name, pod_spec(container(image, *arguments, **more), restartPolicy="Never"))


@pytest.mark.parametrize("image", [OPERATOR, WORKER_SLIM], ids=["operator", "worker"])
def test_help_tells_the_variables(node_with_images: Rig, image: Image) -> None:
    code, log = run(node_with_images.kubectl, f"help-{image.name}", image, "--help")
    assert code == 0
    assert log.startswith(f"goosejobs-{image.name}: ")
    assert "GOOSEJOBS_LOG_LEVEL" in log


@pytest.mark.parametrize("image", [OPERATOR, WORKER_SLIM], ids=["operator", "worker"])
def test_a_wrong_setting_is_a_sentence(node_with_images: Rig, image: Image) -> None:
    wrong = {"GOOSEJOBS_LOG_LEVEL": "LOUD"}
    code, log = run(node_with_images.kubectl, f"wrong-{image.name}", image, env=wrong)
    assert code in {1, 2}
    assert "GOOSEJOBS_LOG_LEVEL" in log
    assert "Traceback" not in log


def test_goose_runs_in_the_worker_s_image_as_its_user(node_with_images: Rig) -> None:
    code, log = run(node_with_images.kubectl, "goose-version", WORKER, command=["goose", "--version"])
    assert code == 0
    assert log.split()[-1] == GOOSE.reference.rpartition(":")[2]


def deployment(namespace: str, account: str, spec: dict[str, Any]) -> str:
    labels = {"app": account}
    spec = {**spec, "serviceAccountName": account, "terminationGracePeriodSeconds": 20}
    return json.dumps(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": account, "namespace": namespace},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
    )


def available(rig: Rig, namespace: str, name: str) -> None:
    """Wait until a Deployment's pods are ready; else say what they said."""
    wanted = [f"deployment/{name}", "--for=condition=Available", PATIENCE]
    waited = rig.kubectl("-n", namespace, "wait", *wanted, check=False)
    if waited.returncode:
        logs = rig.kubectl("-n", namespace, "logs", f"deployment/{name}", "--tail=20", check=False)
        pods = rig.kubectl("-n", namespace, "describe", "pods", check=False)
        pytest.fail(f"{name}: {waited.stderr}{logs.stdout}{logs.stderr}{pods.stdout}")


def serving(rig: Rig, image: Image, env: dict[str, str], mounts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A pod of an operator or a worker, ready when it says so; `mounts` are sources of volumes by path."""
    volumes = [{"name": f"volume-{number}", **source} for number, source in enumerate(mounts.values())]
    main = container(
        image,
        env={"TEMPORAL_ADDRESS": rig.temporal_address, **env},
        readinessProbe={"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1},
        volumeMounts=[
            {"name": volume["name"], "mountPath": path} for volume, path in zip(volumes, mounts, strict=True)
        ],
    )
    return pod_spec(main, volumes=volumes)


OPERATING = ("goosejobs-system", "goosejobs-operator")
JOBS = ("default", "goosejobs-worker-job")
PROCESSES = ("default", "goosejobs-worker-process")


@pytest.fixture(scope="module")
def installed(node_with_images: Rig) -> Rig:
    """Operator and a pool of each mode as Deployments, under the accounts of deploy/rbac.yaml."""
    rig = node_with_images
    empty: dict[str, Any] = {"emptyDir": {}}
    provider = sides.stub_provider(rig.model_address)
    template = {
        "env": [{"name": name, "value": value} for name, value in provider.items()],
        "job": {"image": GOOSE.reference, "imagePullPolicy": "Never"},
    }
    rig.kubectl("apply", "-f", str(CHECKOUT / "deploy/rbac.yaml"))
    text = f"--from-literal=template.yaml={json.dumps(template)}"
    rig.kubectl("-n", "default", "create", "configmap", "pool", text)
    in_jobs = {"GOOSEJOBS_POOL": "jobs", "GOOSEJOBS_POOL_TEMPLATE": "/etc/goosejobs/template.yaml"}
    in_processes = {"GOOSEJOBS_POOL": "processes", "GOOSEJOBS_MODE": "Process", **provider}
    pods = {
        OPERATING: serving(rig, OPERATOR, {}, {"/tmp": empty}),
        JOBS: serving(
            rig, WORKER_SLIM, in_jobs, {"/tmp": empty, "/etc/goosejobs": {"configMap": {"name": "pool"}}}
        ),
        PROCESSES: serving(rig, WORKER, in_processes, {"/tmp": empty, f"/{DATA}": empty}),
    }
    for (namespace, name), spec in pods.items():
        rig.kubectl("apply", "-f", "-", input=deployment(namespace, name, spec))
    for namespace, name in pods:
        available(rig, namespace, name)
    return rig


@pytest.mark.parametrize(("mode", "pool"), [("Job", "jobs"), ("Process", "processes")])
async def test_a_recipe_runs_by_operator_and_worker_of_the_images(
    installed: Rig, eventually: Callable[..., Any], mode: str, pool: str
) -> None:
    job = goosejob(f"in-{pool}", "stub: answer hello", execution={"mode": mode, "pool": pool})
    installed.kubectl("-n", "default", "apply", "-f", "-", input=json.dumps(job))
    found = await ended(installed.kubectl, eventually, "default", f"in-{pool}")
    assert (found["outcome"], found["result"]) == ("Succeeded", "hello"), found
    assert found["tokens"]["total"] > 0


@pytest.mark.parametrize(
    ("namespace", "name"), [OPERATING, JOBS, PROCESSES], ids=["operator", "worker-slim", "worker"]
)
async def test_sigterm_to_the_first_process_ends_it_well(
    installed: Rig, eventually: Callable[..., Any], namespace: str, name: str
) -> None:
    def status() -> dict[str, Any]:
        pods = installed.kubectl("-n", namespace, "get", "pods", "-l", f"app={name}", "-o", "json").stdout
        found: dict[str, Any] = json.loads(pods)["items"][0]["status"]["containerStatuses"][0]
        return found

    assert status()["restartCount"] == 0
    kill = "import os, signal; os.kill(1, signal.SIGTERM)"
    # It may end before the program that killed it has, which then ends with it.
    told = installed.kubectl(
        "-n", namespace, "exec", f"deployment/{name}", "--", "python3", "-c", kill, check=False
    )
    ending = await eventually(lambda: status()["lastState"]["terminated"], message=told.stderr)
    assert (ending["exitCode"], ending["reason"]) == (0, "Completed")
