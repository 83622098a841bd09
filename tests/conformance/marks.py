"""A plugin for pytest that runs what is marked as serving a requirement and keeps what came of it.

    python -m pytest -m serves -p tests.conformance.marks --conformance FILE

With `-n` it works in every process: what a test serves travels with its reports.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest

SERVES, CAN_FAIL = "serves", "can_fail"
RESULTS = pytest.StashKey["Results"]()
JUDGING = ("assert_", "check_", "fail", "raises")
"""How functions are called that judge what a test has found."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance", type=Path, help="where to write what came of each test")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        results = Results(config.getoption("--conformance"))
        config.stash[RESULTS] = results
        config.pluginmanager.register(results)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        numbers = [each for mark in item.iter_markers(SERVES) for each in mark.args]
        item.user_properties.append((SERVES, numbers))
        item.user_properties.append((CAN_FAIL, can_fail(item)))


def can_fail(item: pytest.Item) -> bool:
    """Whether the test judges anything, and failing it would be noticed."""
    function = getattr(item, "function", None)
    if function is None or item.get_closest_marker("xfail"):  # expected to fail, it shows nothing
        return False
    return judges(textwrap.dedent(inspect.getsource(function)))


def judges(source: str) -> bool:
    """Whether something in a function's source can tell right from wrong."""
    return any(
        isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and _is_judge(node.func))
        for node in ast.walk(ast.parse(source))
    )


def _is_judge(called: ast.expr) -> bool:
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name.startswith(JUDGING)


class Results:
    """What came of each test: a list of {test, serves, can_fail, outcome, why}."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._found: dict[str, dict[str, Any]] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:  # nobody knows which tests these would have been
            found = self._of(report.nodeid, {})
            found["outcome"], found["why"] = "failed", "collect"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = self._of(report.nodeid, dict(report.user_properties))
        if report.failed:
            found["outcome"] = "failed"
            found["why"] = report.when or ""
        elif report.skipped and found["outcome"] == "passed":
            found["outcome"] = "skipped"
            found["why"] = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""

    def _of(self, nodeid: str, said: dict[str, Any]) -> dict[str, Any]:
        return self._found.setdefault(
            nodeid,
            {
                "test": nodeid,
                SERVES: said.get(SERVES, []),
                CAN_FAIL: said.get(CAN_FAIL, False),
                "outcome": "passed",
                "why": "",
            },
        )

    def pytest_sessionfinish(self) -> None:
        if self._file is not None:
            self._file.write_text(json.dumps(list(self._found.values())))
