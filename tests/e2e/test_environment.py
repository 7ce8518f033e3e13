"""The variables of Process mode are those that a real kubelet gives to a pod."""

import base64
from typing import Any

from goosejobs.model.execution import Execution
from goosejobs_worker.environment import Absence, Kind, Source, resolve, sources
from support import pods
from support.objects import Kubectl

SETTINGS = {"A": "from the map", "BOTH": "map", "log.level-x": "debug", "1st": "digit", "REF": "$(A)"}
MAIL = {
    "word": b"geese",
    "BOTH": b"secret",
    "BYTES": b"\x01 \xc3\xa4",
    "LINES": b"a\nb\n",
    "EMPTY": b"",
}


def key(kind: str, name: str, wanted: str, **more: Any) -> dict[str, Any]:
    return {"valueFrom": {f"{kind}KeyRef": {"name": name, "key": wanted, **more}}}


EXECUTION: dict[str, Any] = {
    "envFrom": [
        {"configMapRef": {"name": "settings"}},
        {"secretRef": {"name": "mail"}},
        {"prefix": "P_", "configMapRef": {"name": "settings"}},
        {"prefix": "G_", "secretRef": {"name": "gone", "optional": True}},
    ],
    "env": [
        {"name": "NOTHING"},
        {"name": "EARLY", "value": "$(LATE)$(A)"},
        {"name": "LATE", "value": "$(EARLY) $$(A) $$$(A) $(NOBODY) $(A $A ${A} $() $($(A)) $"},
        {"name": "A", "value": "own $(A) 🪿"},
        {"name": "AGAIN", "value": "$(A)"},
        {"name": "FROM_SECRET", "value": "<$(word)>"},
        {"name": "KEY", **key("secret", "mail", "BOTH")},
        {"name": "NOT_EXPANDED", **key("configMap", "settings", "REF")},
        {"name": "word", **key("secret", "mail", "no-such-key", optional=True)},
        {"name": "MISSING", **key("secret", "gone", "x", optional=True)},
        {"name": "TWICE", "value": "$(KEY)$(KEY)"},
    ],
}


def test_a_pod_has_the_same_variables(kubectl: Kubectl, namespace: str, goose_image: str) -> None:
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": SETTINGS}
    encoded = {name: base64.b64encode(value).decode() for name, value in MAIL.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mail"}, "data": encoded}
    pods.apply(kubectl, namespace, config_map, secret)
    pod = pods.pod("shows", goose_image, "bash", "-c", "env -0 | base64 -w0", **EXECUTION)
    shown = base64.b64decode(pods.run(kubectl, namespace, pod)).decode("utf-8", "surrogateescape")
    seen = dict(entry.split("=", 1) for entry in shown.split("\0") if entry)

    given = Execution.model_validate(EXECUTION)
    there = {
        Source(Kind.CONFIG_MAP, "settings"): SETTINGS,
        Source(Kind.SECRET, "mail"): {k: v.decode("utf-8", "surrogateescape") for k, v in MAIL.items()},
    }
    found = {source: there.get(source, Absence.NOT_FOUND) for source in sources(given.env, given.env_from)}
    ours = resolve(namespace, given.env, given.env_from, found).variables
    assert {name: seen.get(name) for name in ours} == ours
    assert {"MISSING", "G_x"} & (set(seen) | set(ours)) == set()
    assert len(ours) == 2 * len(SETTINGS) + len(MAIL) - 1 + 8  # A and BOTH come twice, word and A once more
