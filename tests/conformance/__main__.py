"""Each requirement with the tests that serve it and what came of them: `make conformance`.

    python -m tests.conformance [--json] [--only R8,R13] [-n PROCESSES]

Runs exactly the tests that are marked `@pytest.mark.serves("R8")`, in pytest's own way. Ends with 1
when one of them failed, with 2 when they could not be run. With `--json` standard output is one
object, {"R1": {"status": "passed", "tests": [...], "reason": ""}, ...}, and a status is one of
passed, failed, not served.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.conformance.requirements import REQUIREMENTS
from tests.conformance.verdict import FAILED, PASSED, Verdict, name_of, verdicts

ROOT = Path(__file__).resolve().parents[2]
COLOURS = {PASSED: "green", FAILED: "bold red"}


def main() -> int:
    args = _arguments()
    with tempfile.TemporaryDirectory(prefix="cordon-conformance-") as folder:
        file = Path(folder) / "results.json"
        ended = _run(file, args.processes)
        if ended not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not file.exists():
            print("the tests could not be run; what pytest said stands above", file=sys.stderr)
            return 2
        results = json.loads(file.read_text())
    found = {number: each for number, each in verdicts(results).items() if number in args.only}
    if args.json:
        print(json.dumps({number: each.as_json() for number, each in found.items()}, indent=2))
    else:
        _print(found, results)
    lost = [each["test"] for each in results if each["outcome"] == FAILED and not each["serves"]]
    for test in lost:
        print(f"{test} ended before it could say what it serves", file=sys.stderr)
    return 2 if lost else int(any(each.status == FAILED for each in found.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object, no table")
    parser.add_argument(
        "--only",
        metavar="NUMBERS",
        type=lambda text: text.split(","),
        default=list(REQUIREMENTS),
        help="these requirements: R8,R13",
    )
    parser.add_argument("-n", dest="processes", default="2", help="pytest processes at once")
    return parser.parse_args()


def _run(file: Path, processes: str) -> int:
    """Runs the tests and returns pytest's exit code; what it says goes to standard error."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-m", "serves", "-n", processes),
        *("--dist", "loadfile", "-p", "tests.conformance.marks", "--conformance", str(file)),
    ]
    return subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False).returncode


def _print(found: dict[str, Verdict], results: Sequence[dict[str, Any]]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for number, verdict in found.items():
        colour = COLOURS.get(verdict.status, "yellow")
        title = f"{number:<4}{REQUIREMENTS[number]}"
        console.print(f"[{colour}]{verdict.status:<11}[/] {title}")
        for test in verdict.tests:
            console.print(f"{'':16}{_outcomes(test, results):<11} {test}", style="dim")
        if verdict.reason:
            console.print(f"{'':16}{verdict.reason}")
    count = sum(each.status == PASSED for each in found.values())
    console.print(f"{count} of {len(found)} requirements are served by tests that passed")


def _outcomes(test: str, results: Sequence[dict[str, Any]]) -> str:
    """What came of a test, in a word; with its number where it is parametrised."""
    outcomes = [each["outcome"] for each in results if name_of(each) == test]
    worst = next((each for each in (FAILED, "skipped") if each in outcomes), PASSED)
    return worst if len(outcomes) == 1 else f"{worst} ×{len(outcomes)}"


if __name__ == "__main__":
    sys.exit(main())
