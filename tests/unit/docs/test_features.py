"""docs/features.md has all that others have and all our fields, and each row has its tests, or a reason."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor import Descriptor
from kubernetes.client.models.v1_cron_job_spec import V1CronJobSpec
from kubernetes.client.models.v1_cron_job_status import V1CronJobStatus
from kubernetes.client.models.v1_job_spec import V1JobSpec
from kubernetes.client.models.v1_job_status import V1JobStatus
from temporalio.api.enums.v1 import ScheduleOverlapPolicy
from temporalio.api.schedule.v1 import (
    ScheduleInfo,
    SchedulePatch,
    SchedulePolicies,
    ScheduleSpec,
    ScheduleState,
)

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/features.md").read_text()
CRD = yaml.safe_load((ROOT / "crds/goosejobs.yaml").read_text())
OBJECT = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
NAMED = {path.replace("[]", "") for path in re.findall(r"`((?:spec|status)\.[\w.\[\]]+)(?:: .*?)?`", PAGE)}
"""Fields of ours that the page names."""
WHOLE = {"inline", "configMapKeyRef", "resources", "lastRun", "run", "kill", "resume"}
"""Fields that count as one feature, whatever they hold."""
ARGO = {
    *(
        "schedules",
        "timezone",
        "suspend",
        "concurrencyPolicy",
        "startingDeadlineSeconds",
        "stopStrategy",
        "when",
    ),
    *("successfulJobsHistoryLimit", "failedJobsHistoryLimit", "workflowSpec", "workflowMetadata"),
    *("active", "lastScheduledTime", "phase", "succeeded", "failed", "conditions"),
}
"""CronWorkflowSpec and CronWorkflowStatus of Argo Workflows 3.7."""
ACTIONS = {
    *("create", "update", "delete", "pause", "unpause", "list", "status"),
    *("run_now", "inspect_job", "kill_job", "mark_completed"),
}
JOB_STATUS = {
    *("id", "cron", "recipe_path", "last_run", "next_run", "currently_running", "paused", "created_at"),
    *("execution_mode", "last_manual_run"),
}
"""What goose's removed service could do, and what it told of a job."""

Object = dict[str, Any]
Row = tuple[str, str, str]


def sections() -> dict[str, list[Row]]:
    """The rows of each section's table."""
    found = {}
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL):
        rows = [line.strip("|\n ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
        found[title] = [(row[0], row[1], row[2]) for row in rows[1:]]
    return found


SECTIONS = sections()
ROWS = [(section, row) for section, rows in SECTIONS.items() for row in rows]


def words(section: str) -> set[str]:
    """What stands in code in the first column."""
    first = " ".join(row[0] for row in SECTIONS[section])
    return set(re.findall(r"`([\w.]+)`", first))


@pytest.mark.parametrize(
    ("section", "row"), ROWS, ids=lambda value: value[0] if isinstance(value, tuple) else value
)
def test_a_row_names_its_tests_or_says_why_there_is_none(section: str, row: Row) -> None:
    theirs, ours, shown = row
    assert theirs, section
    test = r"\[`test_\w+`\]\(\.\./tests/[^)]+\.py\)"  # whether it is there: test_links.py
    if not re.fullmatch(rf"{test}(, {test})*", shown):
        assert shown == "—"
        assert re.match(r"\*\*None\*\*.*: .{20,}", ours), ours


def test_every_field_of_a_cronjob_and_of_a_job_has_a_row() -> None:
    def fields(*models: Any) -> set[str]:
        return {name for model in models for name in model.attribute_map.values()}

    assert fields(V1CronJobSpec, V1CronJobStatus) <= words("A CronJob")
    assert fields(V1JobSpec, V1JobStatus) <= words("A Kubernetes Job")


def test_every_field_of_temporals_schedules_has_a_row() -> None:
    parts: list[Descriptor] = [
        part.DESCRIPTOR
        for part in (ScheduleSpec, SchedulePolicies, ScheduleState, SchedulePatch, ScheduleInfo)
    ]
    fields = {field.name for part in parts for field in part.fields}
    policies = {name.removeprefix("SCHEDULE_OVERLAP_POLICY_") for name, _ in ScheduleOverlapPolicy.items()}
    assert fields | policies - {"UNSPECIFIED"} <= words("A schedule of Temporal")


def test_every_field_of_a_cronworkflow_has_a_row() -> None:
    assert words("A CronWorkflow of Argo") >= ARGO


def test_every_action_and_field_of_gooses_removed_service_has_a_row() -> None:
    assert words("goose's removed temporal-service") >= ACTIONS | JOB_STATUS


def leaves(path: str, schema: Object) -> Iterator[str]:
    """The fields that have no fields of their own, or only such as are no features."""
    for name, part in schema.get("properties", {}).items():
        if "properties" in part and name not in WHOLE:
            yield from leaves(f"{path}.{name}", part)
        else:
            yield f"{path}.{name}"


def test_every_field_of_ours_is_named() -> None:
    assert [
        path for part in ("spec", "status") for path in leaves(part, OBJECT[part]) if path not in NAMED
    ] == []


def test_what_is_named_is_a_field() -> None:
    for path in NAMED:
        schema: Object = {"properties": OBJECT}
        for name in path.split("."):
            schema = schema.get("items", schema)["properties"]
            assert name in schema, path
            schema = schema[name]
