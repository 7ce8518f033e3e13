"""What `make generate` writes is as it would write it now."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from goosejobs_operator.settings import OperatorSettings
from goosejobs_worker.executors.kubernetes.template import DEFAULT_IMAGE
from goosejobs_worker.settings import WorkerSettings

ROOT = Path(__file__).parents[3]
CHARTS = ("goosejobs-crds", "goosejobs", "goosejobs-worker")


def chart_yaml(chart: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "charts" / chart / "Chart.yaml").read_text())
    return found


def test_the_generated_files_of_the_charts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "charts.generate", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("chart", CHARTS)
def test_a_chart_has_the_version_of_the_distribution(chart: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart_yaml(chart)["appVersion"] == project["version"]
    for image in yaml.safe_load(chart_yaml(chart)["annotations"].get("artifacthub.io/images", "[]")):
        if "/goosejobs/" in image["image"]:
            assert image["image"].removesuffix("-slim").endswith(f":{project['version']}")


@pytest.mark.parametrize("chart", CHARTS)
def test_what_artifact_hub_reads_of_a_chart_is_yaml_in_its_own_words(chart: str) -> None:
    annotations = chart_yaml(chart)["annotations"]
    for name, text in annotations.items():
        if "\n" in text:
            assert isinstance(yaml.safe_load(text), list), name
    kinds = {one["kind"] for one in yaml.safe_load(annotations["artifacthub.io/changes"])}
    assert kinds <= {"added", "changed", "deprecated", "removed", "fixed", "security"}
    assert annotations["artifacthub.io/category"] == "ai-machine-learning"


def test_the_worker_chart_names_the_goose_that_runs_by_default() -> None:
    images = yaml.safe_load(chart_yaml("goosejobs-worker")["annotations"]["artifacthub.io/images"])
    assert DEFAULT_IMAGE in {image["image"] for image in images}


@pytest.mark.parametrize("chart", CHARTS)
def test_every_value_is_in_the_schema_and_every_property_of_the_schema_has_a_default(chart: str) -> None:
    folder = ROOT / "charts" / chart
    values = yaml.safe_load((folder / "values.yaml").read_text())
    schema = json.loads((folder / "values.schema.json").read_text())
    compare("", values, schema)


def compare(path: str, values: dict[str, Any], schema: dict[str, Any]) -> None:
    properties = {name: one for name, one in schema["properties"].items() if name != "global"}
    if path == ".resources":
        return
    assert set(values) == set(properties), path
    for name, one in properties.items():
        if "properties" in one:
            compare(f"{path}.{name}", values[name], one)


def test_the_schema_knows_the_bounds_of_the_settings() -> None:
    for settings, chart in ((OperatorSettings, "goosejobs"), (WorkerSettings, "goosejobs-worker")):
        ours = json.loads((ROOT / "charts" / chart / "values.schema.json").read_text())["properties"]
        theirs = settings.model_json_schema()["properties"]
        both = {re.sub("_(.)", lambda m: m[1].upper(), name): one for name, one in theirs.items()}
        shared = [name for name in both if name in ours and name != "namespaces"]
        assert len(shared) >= 4
        for name in shared:
            for bound in ("minimum", "maximum"):
                if bound in both[name]:
                    assert ours[name][bound] == both[name][bound], f"{chart} {name} {bound}"
