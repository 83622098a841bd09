"""From what came of the tests to what each requirement can claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.conformance.requirements import NOT_SERVED, REQUIREMENTS

PASSED, FAILED, UNSERVED = "passed", "failed", "not served"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a requirement can claim."""

    status: str
    tests: tuple[str, ...]
    """Those that serve it, without what they are parametrised by."""
    reason: str
    """Why it is not passed; of what passed, what was left out."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def verdicts(results: Sequence[dict[str, Any]]) -> dict[str, Verdict]:
    """The verdict on each requirement, by the results of `marks.Results`."""
    return {
        number: _verdict(number, [each for each in results if number in each["serves"]])
        for number in REQUIREMENTS
    }


def _verdict(number: str, serving: list[dict[str, Any]]) -> Verdict:
    tests = tuple(dict.fromkeys(name_of(each) for each in serving))
    failed = [each for each in serving if each["outcome"] == FAILED]
    if failed:
        return Verdict(FAILED, tests, f"failed: {_names(failed)}")
    if any(each["can_fail"] and each["outcome"] == PASSED for each in serving):
        skipped = [each for each in serving if each["outcome"] == "skipped"]
        return Verdict(PASSED, tests, f"skipped: {_names(skipped)}" if skipped else "")
    return Verdict(UNSERVED, tests, _why_not(number, serving))


def _why_not(number: str, serving: list[dict[str, Any]]) -> str:
    if not serving:
        return NOT_SERVED.get(number, "no test serves it")
    skipped = [each for each in serving if each["outcome"] == "skipped"]
    if skipped:
        return "; ".join(dict.fromkeys(f"{name_of(each)}: {each['why']}" for each in skipped))
    return f"judge nothing and cannot fail: {_names(serving)}"


def name_of(result: dict[str, Any]) -> str:
    """The test's name without what it is parametrised by."""
    return str(result["test"]).partition("[")[0]


def _names(results: list[dict[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(name_of(each) for each in results))
