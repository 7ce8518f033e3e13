"""The GooseJobs that the benches apply. Pure."""

import json
from typing import Any

from goosejobs.model import names

PARAMETER = "number"


def goosejob(name: str, number: int, schedule: str) -> dict[str, Any]:
    """A GooseJob whose recipe has a parameter and gives the agent no tools.

    Args:
        name: Its name, which is also in the prompt.
        number: The parameter's value.
        schedule: When it runs.
    """
    parameter = {"key": PARAMETER, "input_type": "number", "requirement": "required", "description": "Any"}
    recipe = {
        "version": "1.0.0",
        "title": name,
        "description": "Answers at once",
        "prompt": f"stub: answer {name} {{{{ {PARAMETER} }}}}",
        "extensions": [],
        "parameters": [parameter],
    }
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name},
        "spec": {
            "schedule": schedule,
            "execution": {"mode": "Process"},
            "recipe": {"inline": recipe},
            "parameters": [{"name": PARAMETER, "value": str(number)}],
        },
    }


def manifest(*objects: dict[str, Any]) -> str:
    """What `kubectl apply -f -` reads."""
    return "\n---\n".join(map(json.dumps, objects))
