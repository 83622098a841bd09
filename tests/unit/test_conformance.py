"""What a requirement can claim by the tests that are marked as serving it, and the marks."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.marks import Results, judges
from tests.conformance.requirements import NOT_SERVED, REQUIREMENTS
from tests.conformance.verdict import FAILED, PASSED, UNSERVED, verdicts

TESTS = Path(__file__).resolve().parents[1]


def result(test: str = "t.py::test[1]", outcome: str = PASSED, **changed: Any) -> dict[str, Any]:
    made = {"test": test, "serves": ["R8"], "can_fail": True, "outcome": outcome, "why": ""}
    return made | changed


@pytest.mark.parametrize(
    ("results", "status", "reason"),
    [
        ([], UNSERVED, "no test serves it"),
        ([result()], PASSED, ""),
        ([result(), result("t.py::test[2]")], PASSED, ""),
        ([result(), result("t.py::test[2]", FAILED)], FAILED, "failed: t.py::test"),
        ([result(can_fail=False)], UNSERVED, "judge nothing and cannot fail: t.py::test"),
        ([result(outcome="skipped", why="no data")], UNSERVED, "t.py::test: no data"),
        ([result(), result("t.py::other", "skipped")], PASSED, "skipped: t.py::other"),
        ([result(serves=["R7"])], UNSERVED, "no test serves it"),
    ],
)
def test_a_requirement_claims_what_its_tests_show(
    results: list[dict[str, Any]], status: str, reason: str
) -> None:
    verdict = verdicts(results)["R8"]

    assert (verdict.status, verdict.reason) == (status, reason)
    assert verdict.tests == (
        ()
        if status == UNSERVED and not reason.startswith(("t", "j"))
        else tuple(dict.fromkeys(r["test"].partition("[")[0] for r in results))
    )


def test_every_requirement_has_a_verdict_whether_it_is_served_or_not() -> None:
    found = verdicts([])

    assert list(found) == [f"R{number}" for number in range(1, 33)] == list(REQUIREMENTS)
    assert {verdict.status for verdict in found.values()} == {UNSERVED}
    assert all(verdict.reason for verdict in found.values())
    assert set(NOT_SERVED) <= set(REQUIREMENTS)


@pytest.mark.parametrize(
    ("source", "can_fail"),
    [
        ("def test():\n    assert x", True),
        ("def test():\n    with pytest.raises(E):\n        pass", True),
        ("async def test():\n    check_cells(await cells())", True),
        ("def test():\n    run()", False),
        ("def test():\n    pass", False),
    ],
)
def test_a_test_that_judges_nothing_cannot_fail(source: str, can_fail: bool) -> None:
    assert judges(source) == can_fail


def test_what_cannot_be_collected_is_known_to_have_failed(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json")

    results.pytest_collectreport(pytest.CollectReport("t.py", "failed", "no such module", []))
    results.pytest_collectreport(pytest.CollectReport("u.py", "passed", None, []))
    results.pytest_sessionfinish()

    (found,) = json.loads((tmp_path / "results.json").read_text())
    assert (found["test"], found["outcome"], found["serves"]) == ("t.py", FAILED, [])


def marks() -> Iterator[tuple[str, ast.Call]]:
    """Every mark of a requirement in the tests."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.serves":
                yield str(path.relative_to(TESTS)), node


def test_every_mark_names_requirements_that_there_are() -> None:
    found = list(marks())
    named = [
        (path, each.value)
        for path, mark in found
        for each in mark.args
        if isinstance(each, ast.Constant)
    ]

    assert found
    assert all(mark.args and not mark.keywords for _, mark in found)
    assert [(path, number) for path, number in named if number not in REQUIREMENTS] == []
