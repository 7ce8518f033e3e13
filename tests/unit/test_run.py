"""What `make test` calls good."""

from xml.etree import ElementTree

import pytest

import run
from run import Result

REPORT = """
<testsuites><testsuite>
  <testcase classname="a" name="passes"/>
  <testcase classname="a" name="fails"><failure/></testcase>
  <testcase classname="a" name="cannot_begin"><error/></testcase>
  <testcase classname="a" name="skips"><skipped message="a node needs root"/></testcase>
</testsuite></testsuites>
"""


def test_a_report_is_counted() -> None:
    result = Result(code=1, seconds=1)
    run.count(result, ElementTree.fromstring(REPORT))  # noqa: S314 -- it is ours
    assert (result.passed, result.failed, result.skipped) == (1, 2, ["a.skips: a node needs root"])


@pytest.mark.parametrize(
    ("result", "good"),
    [
        (Result(0, 1, passed=1), True),
        (Result(0, 1), False),
        (Result(1, 1, passed=1), False),
        (Result(0, 1, passed=1, failed=1), False),
        (Result(0, 1, passed=1, skipped=["a: why"]), False),
        (Result(0, 1, passed=0, skipped=["a: why"], may_skip=True), True),
        (Result(1, 1, passed=0, failed=1, skipped=["a: why"], may_skip=True), False),
    ],
)
def test_a_tier_is_good_if_it_shows_what_it_should(result: Result, good: bool) -> None:
    assert result.good is good


def test_every_folder_of_tests_is_a_tier() -> None:
    folders = {path.parent for path in run.TESTS.glob("*/**/test_*.py")}
    assert {path.relative_to(run.TESTS).parts[0] for path in folders} == set(run.TIERS)


def test_what_may_be_skipped_without_root_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    run.report({"e2e": Result(0, 1, skipped=["a: a node needs root"], may_skip=True)})
    out = capsys.readouterr().out.splitlines()
    assert out[-2:] == ["skipped in e2e: a: a node needs root", "0 passed, 0 failed"]
