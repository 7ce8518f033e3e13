"""The alerts ask for metrics and words that there are, and each leads to its place in on-call.md."""

import re
from pathlib import Path
from typing import Any, TypeVar

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from goosejobs.model.reasons import Outcome, Reason
from goosejobs.model.status import Phase
from goosejobs_operator import metrics as operator_metrics
from goosejobs_worker import metrics as worker_metrics

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/on-call.md").read_text()
[GROUP] = yaml.safe_load((ROOT / "charts/goosejobs/files/alerts.yaml").read_text())["groups"]
RULES: list[dict[str, Any]] = GROUP["rules"]
SAMPLES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
"""What Prometheus sees of each kind of metric, after its name."""
LABELS = {
    f"{told.name}{suffix}": {*metric._labelnames, "job", "le"}
    for module in (operator_metrics, worker_metrics)
    for metric in vars(module).values()
    if isinstance(metric, MetricWrapperBase)
    for told in metric.describe()
    for suffix in SAMPLES[told.type]
}
WORDS = {
    "reason": {*Reason},
    "outcome": {*Outcome},
    "phase": {*Phase},
    "result": {"ok"},
    "fate": {"failed", "dropped"},
    "error": {"Forbidden", "Rejected"},
}
T = TypeVar("T", bound=promql_parser.Expr)
each = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def parse(rule: dict[str, Any]) -> promql_parser.Expr:
    """What an alert asks; fails where Prometheus would not take it."""
    return promql_parser.parse(rule["expr"])


def below(expr: promql_parser.Expr, kind: type[T]) -> list[T]:
    """All of a kind that it is made of, itself too."""
    found: list[promql_parser.Expr] = []
    promql_parser.walk(expr, found.append)
    return [one for one in found if isinstance(one, kind)]


@each
def test_an_alert_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    asked = below(parse(rule), promql_parser.VectorSelector)
    assert asked
    for selector in asked:
        assert selector.name in LABELS
        for matcher in selector.matchers.matchers:
            assert matcher.name in LABELS[selector.name]
            assert set(matcher.value.split("|")) <= WORDS[matcher.name]


@each
def test_an_alert_is_told_apart_by_labels_that_there_are(rule: dict[str, Any]) -> None:
    for aggregate in below(parse(rule), promql_parser.AggregateExpr):
        assert aggregate.modifier is not None
        assert aggregate.modifier.type == promql_parser.AggModifierType.By
        for selector in below(aggregate, promql_parser.VectorSelector):
            assert set(aggregate.modifier.labels) <= LABELS[str(selector.name)]


@pytest.mark.parametrize("reason", sorted(set(re.findall(r'reason="(\w+)"', str(RULES)))))
def test_the_first_failure_of_a_kind_is_an_increase(reason: str) -> None:
    labels = {"outcome": "Failed", "reason": reason}
    assert REGISTRY.get_sample_value("goosejobs_worker_attempts_total", labels) is not None


@each
def test_an_alert_says_what_it_is_and_leads_to_its_place(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    titles = re.findall(r"^#+ (.*)$", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_alert_is_explained_with_its_severity_and_no_other() -> None:
    rows = re.findall(r"^\| `(GooseJobs\w+)` \| (\w+) \| .+ \| .+ \|$", PAGE, re.MULTILINE)
    assert rows == [(rule["alert"], rule["labels"]["severity"]) for rule in RULES]


def test_the_metrics_that_the_page_names_are_there() -> None:
    named = set(re.findall(r"`(goosejobs_\w+)", PAGE))
    assert len(named) >= 8
    assert named <= set(LABELS)
