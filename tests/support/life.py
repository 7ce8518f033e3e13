"""A GooseJob that a test acts on through kubectl, with every state that it was in."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from support import argocd
from support.kstatus import kstatus
from support.lifecycle_rules import violations
from support.lifecycle_states import computed, status_of
from support.lifecycle_watch import Recording
from support.objects import Object, apply, get, goosejob
from support.rig import Rig


class Life:
    """A GooseJob `a`, acted on through kubectl, and every state it was in."""

    def __init__(self, platform: Rig, namespace: str, seen: Recording) -> None:
        self.kubectl, self.namespace, self.seen = platform.kubectl, namespace, seen
        self._mark = self._generation = 0

    @property
    def phases(self) -> list[str]:
        """The phases it went through, without repeats in a row."""
        found: list[str] = []
        for obj in self.seen.objects:
            phase = status_of(obj).get("phase")
            if phase and found[-1:] != [phase]:
                found.append(phase)
        return found

    def from_now(self) -> None:
        """Wait for what is so from now on."""
        self._mark = len(self.seen.events)

    def apply(self, prompt: str = "stub: answer hello", **spec: Any) -> None:
        """kubectl apply, of an inline recipe with this prompt."""
        self.from_now()
        apply(self.kubectl, self.namespace, goosejob("a", prompt, **spec))
        self._note_generation()

    def patch(self, **spec: Any) -> None:
        """kubectl patch, of the spec."""
        self.from_now()
        self.kubectl(
            "patch", "-n", self.namespace, "gj", "a", "--type=merge", "-p", json.dumps({"spec": spec})
        )
        self._note_generation()

    def ask(self, annotation: str, token: str) -> None:
        """kubectl annotate."""
        self.kubectl("annotate", "-n", self.namespace, "gj", "a", "--overwrite", f"{annotation}={token}")

    def delete(self) -> None:
        """kubectl delete, until it is gone."""
        self.kubectl("delete", "-n", self.namespace, "gj", "a", "--timeout=180s")
        self.seen.catch_up()

    def wait(self, is_so: Callable[[Object], Any]) -> Object:
        """Until something is so in a state since the last edit (`from_now`).

        What was written while the edit was on its way is of the spec before it, and does not count.
        """
        return self.seen.wait(
            lambda o: o["metadata"]["generation"] >= self._generation and is_so(o), after=self._mark
        )

    def current(self) -> Object:
        """Until kstatus says so."""
        return self.wait(lambda o: computed(o) == "Current")

    def counts(self, **numbers: int) -> Object:
        """Until as many are counted."""
        return self.wait(lambda o: numbers.items() <= status_of(o)["counts"].items())

    def _note_generation(self) -> None:
        found = get(self.kubectl, self.namespace, "a")
        self._generation = found["metadata"]["generation"]


@contextmanager
def living(platform: Rig, namespace: str, leaves: tuple[str, ...] = ()) -> Iterator[Life]:
    """A life; in the end all its states are held to the rules, and to what Flux and Argo CD make of them.

    Args:
        platform: Where it lives.
        namespace: Likewise.
        leaves: As for `violations`: the reasons for which it may stop being Current.
    """
    with Recording(platform, namespace, "a") as seen:
        yield Life(platform, namespace, seen)
    assert violations(seen.events, leaves=leaves) == []
    for obj in {json.dumps(_judged(obj), sort_keys=True): obj for obj in seen.objects}.values():
        assert computed(obj) == kstatus(obj)
        if kstatus(obj) != "Terminating":  # Argo CD knows by itself what is being deleted
            assert argocd.AS_KSTATUS[argocd.health(obj)[0]] == kstatus(obj)


def _judged(obj: Object) -> Object:
    """The part of it by which kstatus judges."""
    meta = {key: obj["metadata"].get(key) for key in ("generation", "deletionTimestamp")}
    words = [(c["type"], c["status"]) for c in status_of(obj).get("conditions") or ()]
    return {**meta, "observed": status_of(obj).get("observedGeneration"), "words": words}
