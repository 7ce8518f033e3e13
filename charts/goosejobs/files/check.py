"""What `helm test` runs in a pod: is one of the replicas behind a headless Service doing its work?

Arguments: host:port of the Service; what /readyz of one has to say; a metric of that one that has to be 1.
"""

import re
import socket
import sys
import time
import urllib.error
import urllib.request

SECONDS = 60


def ask(address: str, path: str) -> str:
    """What a replica answers; the state in words also where it is not ready."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def well(address: str, says: str, metric: str) -> bool:
    """Whether a replica is as it should be; prints what it said."""
    try:
        state = ask(address, "/readyz").strip()
        print(f"{address} says: {state}", flush=True)
        if says not in state:
            return False
        if metric and not re.search(rf"^{metric} 1(\.0)?$", ask(address, "/metrics"), re.MULTILINE):
            print(f"{address}: its metric {metric} is not 1", flush=True)
            return False
    except OSError as error:
        print(f"{address}: {error}", flush=True)
        return False
    return True


def replicas(host: str, port: str) -> list[str]:
    """The addresses of those that are ready."""
    try:
        found = sorted({entry[4][0] for entry in socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP)})
    except OSError as error:
        print(f"{host}: {error}: no replica is ready, or DNS does not answer", flush=True)
        return []
    return [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in found]


def main(service: str, says: str, metric: str = "") -> int:
    """Try for a while."""
    host, _, port = service.rpartition(":")
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        answers = [well(address, says, metric) for address in replicas(host, port)]
        if any(answers):
            return 0
        time.sleep(2)
    print(f"none was well within {SECONDS} s", flush=True)
    return 1


sys.exit(main(*sys.argv[1:]))
