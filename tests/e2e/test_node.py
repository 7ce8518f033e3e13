"""The node is a real one: pods run, talk to each other by name, are watched and refused as in any cluster."""

import json
import socket
import subprocess

from goosejobs_local import processes
from support.pods import PATIENCE, Kubectl, apply, pod, run, wait
from support.rig import Rig

SERVE = """
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die;
while (my $client = $server->accept) { print $client "served\\n"; close $client }
"""
READY = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
RECIPE = {"version": "1.0.0", "title": "t", "description": "d", "prompt": "stub: answer hello from a pod"}


def service(name: str) -> dict[str, object]:
    """A service for the pods of its own name."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def begin_server(kubectl: Kubectl, namespace: str, image: str) -> None:
    """A pod and a service `echo` that say `served` to everybody who connects."""
    apply(kubectl, namespace, pod("echo", image, "perl", "-e", SERVE, readinessProbe=READY), service("echo"))
    wait(kubectl, namespace, "echo", "condition=Ready")


def patiently(command: str) -> str:
    """Try to connect until it succeeds: DNS may know a service before the proxy, and then nobody answers.

    What bash says of that is no part of the log.
    """
    return f"until timeout 5 bash -c '{command}'; do sleep 0.1; done 2>/dev/null"


def test_a_pod_runs_to_its_end_and_its_log_can_be_read(
    kubectl: Kubectl, namespace: str, goose_image: str
) -> None:
    assert run(kubectl, namespace, pod("hello", goose_image, "echo", "hello")) == "hello\n"


def test_the_name_of_the_api_server_resolves_and_it_answers(
    kubectl: Kubectl, namespace: str, goose_image: str
) -> None:
    connect = patiently("exec 3<>/dev/tcp/kubernetes.default/443")
    script = f"getent hosts kubernetes.default && {connect}; echo open"
    log = run(kubectl, namespace, pod("dns", goose_image, "bash", "-c", script))
    address = kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}").stdout
    assert log.split() == [address, "kubernetes.default.svc.cluster.local", "open"]


def test_the_stub_model_and_temporal_answer_at_the_addresses_that_they_have_outside(
    kubectl: Kubectl, namespace: str, goose_image: str, node: Rig
) -> None:
    model = node.model_address.removeprefix("http://").replace(":", "/")
    temporal = node.temporal_address.replace(":", "/")
    script = f"exec 3<>/dev/tcp/{model} && exec 4<>/dev/tcp/{temporal} && echo open"
    assert run(kubectl, namespace, pod("reach", goose_image, "bash", "-c", script)) == "open\n"


def test_pods_find_each_other_by_the_name_of_a_service(
    kubectl: Kubectl, namespace: str, goose_image: str
) -> None:
    begin_server(kubectl, namespace, goose_image)
    script = f"for n in 1 2 3; do {patiently('exec 3<>/dev/tcp/echo/80 && cat <&3')}; done"
    assert run(kubectl, namespace, pod("caller", goose_image, "bash", "-c", script)) == "served\n" * 3


def test_a_command_runs_in_a_pod_and_a_port_of_a_pod_is_forwarded(
    kubectl: Kubectl, namespace: str, goose_image: str, node: Rig
) -> None:
    begin_server(kubectl, namespace, goose_image)
    assert kubectl("-n", namespace, "exec", "echo", "--", "id", "-u").stdout == "1000\n"
    argv = node.platform.kubectl("-n", namespace, "port-forward", "pod/echo", ":8080", "--address=127.0.0.1")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout
            port = int(forward.stdout.readline().split()[2].rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=90) as connection:
                assert connection.makefile().readline() == "served\n"
        finally:
            forward.kill()


def test_goose_runs_a_recipe_from_an_annotation(
    kubectl: Kubectl, namespace: str, goose_image: str, node: Rig
) -> None:
    env = {
        "GOOSE_PROVIDER": "openai", "GOOSE_MODEL": "stub", "OPENAI_HOST": node.model_address,
        "OPENAI_API_KEY": "not-a-key", "HOME": "/tmp", "GOOSE_PATH_ROOT": "/tmp/goose",
        "GOOSE_DISABLE_KEYRING": "1",
    }  # fmt: skip
    manifest = pod(
        "goose", goose_image,
        "goose", "run", "--recipe", "/run/goosejob/recipe.yaml", "--no-session", "-q",
        "--output-format", "stream-json",
        env=[{"name": name, "value": value} for name, value in env.items()],
        volumeMounts=[
            {"name": "recipe", "mountPath": "/run/goosejob/recipe.yaml", "subPath": "recipe.yaml"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    )  # fmt: skip
    manifest["metadata"]["annotations"] = {"recipe": json.dumps(RECIPE)}
    item = {"path": "recipe.yaml", "fieldRef": {"fieldPath": "metadata.annotations['recipe']"}}
    manifest["spec"]["automountServiceAccountToken"] = False
    manifest["spec"]["volumes"] = [
        {"name": "recipe", "downwardAPI": {"items": [item]}},
        {"name": "tmp", "emptyDir": {}},
    ]
    lines = [json.loads(line) for line in run(kubectl, namespace, manifest).splitlines()]
    said = [part["text"] for line in lines if "message" in line for part in line["message"]["content"]]
    assert "".join(said) == "hello from a pod"
    assert lines[-1]["type"] == "complete"


def test_a_privileged_pod_is_refused_where_pods_must_be_restricted(
    kubectl: Kubectl, namespace: str, goose_image: str
) -> None:
    manifest = pod("king", goose_image, "true", securityContext={"privileged": True})

    def create(*options: str) -> subprocess.CompletedProcess[str]:
        argv = ("-n", namespace, "create", "-f", "-", *options)
        return kubectl(*argv, input=json.dumps(manifest), check=False)

    # The API server reads the namespace's label from a cache, which hears of it after whoever wrote it.
    assert processes.wait_until(lambda: create("--dry-run=server").returncode == 1, 90)
    answer = create()
    assert answer.returncode == 1
    assert 'violates PodSecurity "restricted:latest": privileged' in answer.stderr


def test_a_container_that_takes_more_memory_than_its_limit_is_killed(
    kubectl: Kubectl, namespace: str, goose_image: str
) -> None:
    limits = {"limits": {"memory": "32Mi"}}
    eat = "my $all = ''; $all .= 'x' x 1048576 while 1"
    apply(kubectl, namespace, pod("eater", goose_image, "perl", "-e", eat, resources=limits))
    wait(kubectl, namespace, "eater", "jsonpath={.status.phase}=Failed")
    path = "jsonpath={.status.containerStatuses[0].state.terminated.reason}"
    assert kubectl("-n", namespace, "get", "pod", "eater", "-o", path).stdout == "OOMKilled"


def test_a_finished_job_goes_when_its_time_is_over(
    kubectl: Kubectl, namespace: str, goose_image: str
) -> None:
    template = pod("job", goose_image, "true")
    spec = {
        "ttlSecondsAfterFinished": 0,
        "template": {"metadata": template["metadata"], "spec": template["spec"]},
    }
    kubectl(
        "-n", namespace, "create", "-f", "-",
        input=json.dumps(
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": spec}
        ),
    )  # fmt: skip
    kubectl("-n", namespace, "wait", "job/job", "--for=delete", PATIENCE)
    assert kubectl("-n", namespace, "get", "pods").stdout == ""
