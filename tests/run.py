"""`make test`: all tiers, one after the other, and a table of what came of them.

The binaries that the later tiers need are fetched or built while the unit tests run. Exit code 0 only if no
test failed and none was skipped: a skipped test says nothing, and all that one could need is at hand here;
but where no node can run (who is not root cannot have one), the tier that needs one may be skipped.
"""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from goosejobs_local import sandbox

TESTS = Path(__file__).parent
TIERS: dict[str, Sequence[str]] = {
    "unit": ("-n", "2"),
    "integration": ("-n", "2", "--dist", "loadgroup"),
    # They freeze and kill, and measure time: nothing runs beside them.
    "faults": ("-n", "0"),
    # All share one node.
    "e2e": ("-n", "0"),
}
NEED_NODE = ("e2e",)


@dataclass
class Result:
    """What came of a tier.

    Attributes:
        code: pytest's exit code.
        seconds: How long it took.
        passed: How many tests passed.
        failed: How many failed or could not be set up.
        skipped: Test and reason.
        may_skip: Whether skipped tests are none that should have run here.
    """

    code: int
    seconds: float
    may_skip: bool = False
    passed: int = 0
    failed: int = 0
    skipped: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether it shows what it should."""
        if self.code != 0 or self.failed:
            return False
        return self.may_skip or (not self.skipped and self.passed > 0)


def main(wanted: Sequence[str]) -> int:
    """Run tiers, all unless some are named; returns the exit code."""
    unknown = set(wanted) - set(TIERS)
    if unknown:
        print(f"there is no tier {', '.join(sorted(unknown))}; there is: {', '.join(TIERS)}", file=sys.stderr)
        return 2
    tiers = [tier for tier in TIERS if not wanted or tier in wanted]
    binaries = Binaries() if tiers != ["unit"] else None
    results: dict[str, Result] = {}
    for tier in tiers:
        if tier != "unit" and binaries and not binaries.ready():
            print("the binaries could not be had (see above): what needs them is not run", flush=True)
            results |= {left: Result(code=1, seconds=0, failed=1) for left in tiers if left not in results}
            break
        print(f"\n=== {tier} ===", flush=True)
        results[tier] = run(tier)
    report(results)
    return 0 if all(result.good for result in results.values()) else 1


class Binaries:
    """Gets all binaries into the cache, in the background."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "goosejobs_local", "build", "--all"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._printer = threading.Thread(target=self._print)
        self._printer.start()

    def ready(self) -> bool:
        """Wait for them; says whether all are there."""
        if self._process.poll() is None:
            print("waiting for the binaries", flush=True)
        self._printer.join()
        return self._process.wait() == 0

    def _print(self) -> None:
        for line in self._process.stdout or ():
            print(f"[binaries] {line}", end="", flush=True)


def run(tier: str) -> Result:
    """Run one tier."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "result.xml"
        argv = [sys.executable, "-m", "pytest", "-q", *TIERS[tier], f"--junit-xml={xml}", str(TESTS / tier)]
        code = subprocess.run(argv, cwd=TESTS.parent, check=False).returncode
        result = Result(
            code, time.monotonic() - began, may_skip=tier in NEED_NODE and bool(sandbox.refused())
        )
        if xml.exists():
            count(result, ElementTree.parse(xml).getroot())  # noqa: S314 -- pytest wrote it just now
    return result


def count(result: Result, root: ElementTree.Element) -> None:
    """Add up what pytest wrote down."""
    for case in root.iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            result.failed += 1
        elif skipped is not None:
            result.skipped.append(f"{case.get('classname')}.{case.get('name')}: {skipped.get('message')}")
        else:
            result.passed += 1


def report(results: dict[str, Result]) -> None:
    """Print the table; the last line is for machines."""
    print(f"\n{'TIER':<14}{'PASSED':>8}{'FAILED':>8}{'SKIPPED':>9}{'SECONDS':>9}  ")
    for tier, result in results.items():
        word = "" if result.good else f"  not good (pytest ended with code {result.code})"
        numbers = f"{result.passed:>8}{result.failed:>8}{len(result.skipped):>9}{result.seconds:>9.0f}"
        print(f"{tier:<14}{numbers}{word}")
    for tier, result in results.items():
        for line in result.skipped:
            print(f"skipped in {tier}{'' if result.may_skip else ', which counts as a failure'}: {line}")
    passed = sum(result.passed for result in results.values())
    failed = sum(
        result.failed + (0 if result.may_skip else len(result.skipped)) for result in results.values()
    )
    print(f"{passed} passed, {failed} failed", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
