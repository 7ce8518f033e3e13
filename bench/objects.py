"""The objects that the benches apply. Pure."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from goosejobs.model import names

PARAMETER = "number"
_JOB_FIELDS = (
    "activeDeadlineSeconds",
    "backoffLimit",
    "completions",
    "parallelism",
    "podReplacementPolicy",
    "template",
)
_PROCESS: Mapping[str, Any] = {"mode": "Process"}


def goosejob(
    name: str, number: int, schedule: str, execution: Mapping[str, Any] = _PROCESS, does: str = "answer"
) -> dict[str, Any]:
    """A GooseJob whose recipe has a parameter and gives the agent no tools.

    Args:
        name: Its name, which is also in the prompt.
        number: The parameter's value.
        schedule: When it runs; empty: once.
        execution: How it runs.
        does: What the stub model does about the name and the number.
    """
    parameter = {"key": PARAMETER, "input_type": "number", "requirement": "required", "description": "Any"}
    recipe = {
        "version": "1.0.0",
        "title": name,
        "description": "Answers at once",
        "prompt": f"stub: {does} {name} {{{{ {PARAMETER} }}}}",
        "extensions": [],
        "parameters": [parameter],
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name},
        "spec": {
            **({"schedule": schedule} if schedule else {"runOnce": True}),
            "execution": dict(execution),
            "recipe": {"inline": recipe},
            "parameters": [{"name": PARAMETER, "value": str(number)}],
        },
    }


def cronjob(name: str, schedule: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """A plain CronJob whose Jobs are as one that was made for a GooseJob.

    Args:
        name: Its name, which takes the place of the GooseJob's in its pods.
        schedule: When it runs.
        job: The GooseJob's Job, as the API server has it.
    """
    original: str = job["metadata"]["labels"][names.GOOSEJOB_LABEL]
    spec = {field: copy.deepcopy(job["spec"][field]) for field in _JOB_FIELDS}
    metadata = spec["template"]["metadata"]
    recipe = metadata["annotations"][names.RECIPE_ANNOTATION].replace(original, name)
    # Without our labels, so that no worker takes it for its own.
    metadata.update(labels={"bench": name}, annotations={names.RECIPE_ANNOTATION: recipe})
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name},
        "spec": {"schedule": schedule, "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": spec}},
    }


def manifest(*objects: dict[str, Any]) -> str:
    """What `kubectl apply -f -` reads."""
    return "\n---\n".join(map(json.dumps, objects))
