"""Attempts for tests, as the workflow asks an executor for them."""

from datetime import UTC, datetime
from typing import Any

from goosejobs.model.execution import EnvFrom, EnvVar, JobTemplate
from goosejobs.model.run import AttemptRequest, GooseJobRef, RecipeSnapshot, RunInfo, RunRequest, Trigger
from goosejobs.model.spec import Model


def attempt(
    *,
    number: int = 1,
    name: str = "weekly-report",
    namespace: str = "team-a",
    uid: str = "6f1b1b66-0000-4000-8000-000000000001",
    env: list[dict[str, Any]] | None = None,
    env_from: list[dict[str, Any]] | None = None,
    job: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    deadline: int = 7200,
) -> AttemptRequest:
    """An attempt of a scheduled run; env, envFrom, job and model as in the GooseJob's YAML."""
    ref = GooseJobRef(namespace=namespace, name=name, uid=uid)
    run = RunInfo(
        goosejob=ref,
        id="20261121-114000",
        workflow_id=f"goosejob/{namespace}/{name}/{uid}-2026-11-21T11:40:00Z",
        trigger=Trigger.SCHEDULE,
        start_time=datetime(2026, 11, 21, 11, 40, tzinfo=UTC),
    )
    request = RunRequest(
        goosejob=ref,
        generation=1,
        recipe=RecipeSnapshot(text="{}", digest="sha256:0", source="spec.recipe.inline"),
        env=[EnvVar.model_validate(variable) for variable in env or []],
        env_from=[EnvFrom.model_validate(source) for source in env_from or []],
        job=None if job is None else JobTemplate.model_validate(job),
        model=Model.model_validate(model or {}),
        active_deadline_seconds=deadline,
    )
    return AttemptRequest(run=run, request=request, attempt=number)
