"""Every state of a GooseJob's life, as a watch sees it: kstatus never lies, and nothing on record goes back."""

from collections.abc import Callable
from typing import Any

import pytest

from support.kstatus import kstatus
from support.lifecycle_rules import violations
from support.lifecycle_states import computed, said, status_of
from support.lifecycle_watch import Recording
from support.objects import Kubectl, apply, goosejob
from support.rig import Handle, Rig

Start = Callable[..., Handle]
Object = dict[str, Any]


@pytest.mark.usefixtures("operator", "worker")
def test_a_run_on_schedule(platform: Rig, kubectl: Kubectl, namespace: str) -> None:
    with Recording(platform, namespace, "a") as seen:
        apply(kubectl, namespace, goosejob("a", schedule="@every 2s"))
        seen.wait(lambda o: status_of(o)["counts"]["succeeded"] >= 3)
        kubectl("delete", "-n", namespace, "gj", "a", "--timeout=60s")
    assert violations(seen.events, leaves=()) == []
    for obj in seen.objects:
        assert computed(obj) == kstatus(obj)
