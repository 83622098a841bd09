"""Mutants of what decides who may call, and what may be done: `python -m tests.mutation`
[--only tokens,checks] [--list].

Each condition of these modules is made never true and always true in turn, each operand of an
`and` or `or` is taken out, each bound moved by its edge, each `raise` left out. The module's unit
tests run against every such mutant, in a process of its own that imports it in the module's place;
no file is touched. Prints the table of mutants; ends with 1 when a mutant passes all the tests.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGE = "cordon_server"
SERVER = ROOT / "server" / PACKAGE
UNIT = "tests/unit/server/test_{}.py"
TESTS = {
    "identity.tokens": ("tokens", "admission"),
    "identity.sessions": ("people", "admission", "users"),
    "identity.permissions": ("permissions", "role_table"),
    "identity.scopes": ("scopes", "admission"),
    "identity.admission": ("admission", "permissions", "tokens", "scopes"),
    "identity.people": ("people", "attempts", "admission", "identity_servicer"),
    "identity.attempts": ("attempts",),
    "identity.keys": ("tokens",),
    "identity.peers": ("peers",),
    "identity.users": ("users", "identity_servicer"),
    "authority.checks": ("authority_checks", "deployments"),
    "authority.steps": ("deployments", "authority_checks", "recognising"),
    "authority.moves": ("recognising", "deployments"),
    "authority.clock": ("kept_clock",),
    "authority.watchlist_rules": ("watchlist_rules", "watchlist_changes", "volunteers"),
    "authority.watchlist_approval": ("watchlist_second_person",),
    "authority.ceiling": ("ceiling",),
    "authority.policy": ("policy",),
    "matches.fusion": ("fusion",),
    "matches.review": ("review", "places", "seeds", "match_servicer"),
    "matches.suppression": ("suppression",),
}
"""Module of cordon_server to the unit tests that answer for it."""
RUN_S_MAX = 120.0

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "identity.people",
        "if user.locked_out_until is not None and clock() < user.locked_out_until:",
        "without clock() < user.locked_out_until",
    ): "spares memory; attempts that are past do not count",
    (
        "identity.people",
        "if user.locked_out_until is not None and clock() < user.locked_out_until:",
        "< to <=",
    ): "likewise",
    (
        "identity.people",
        "if user is None or not is_right:",
        "without user is None",
    ): "nothing is right where nothing is kept; for the type checker",
    ("identity.people", "if user is not None:", "always"): "finds nobody to write to",
    ("identity.people", "if until is None:", "never"): "spares a write of what is there",
    ("identity.keys", "assert KEY_PERIOD > TOKEN_LIFE_MAX", "> to >="): "the two are far apart",
    (
        "identity.keys",
        "if not self._is_due(self._records, self._clock()):",
        "never",
    ): "spares a write; _rotated asks again",
    (
        "authority.checks",
        'reason="WINDOW_NOT_OPEN" if now < record.start_time else "WINDOW_OVER",',
        "< to <=",
    ): "at its start a window is open, and nothing is refused",
    (
        "matches.suppression",
        "return likeness >= SAME_FACE_MIN and likeness > score",
        ">= to >",
    ): "no 32-bit number is the limit",
    (
        "authority.ceiling",
        "return self.log_evidence(false_alerts, faces) >= -math.log1p(-self.confidence)",
        ">= to >",
    ): "no sum of logarithms is the limit",
    (
        "authority.ceiling",
        "while (edge := self.faces_proving(count)) < faces:",
        "< to <=",
    ): "a stretch of no faces changes nothing",
    (
        "authority.ceiling",
        "if self.chance_within(middle, rate=rate) < probability:",
        "< to <=",
    ): "no chance that is reckoned is the probability asked for",
    ("authority.ceiling", "if edge >= 0:", ">= to >"): "no alert proves anything among no faces",
    ("authority.clock", "if wall > run:", "> to >="): "the same time either way",
}
"""Module, line and change to why nobody could tell such a mutant from the module."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one thing changed."""

    module: str
    line: int
    words: str
    """The line that was changed."""
    change: str
    source: str

    @property
    def excuse(self) -> str:
        return EQUIVALENT.get((self.module, self.words, self.change), "")


def mutants(module: str) -> Iterator[Mutant]:
    """Every mutant of a module."""
    source = SERVER.joinpath(*module.split(".")).with_suffix(".py").read_text()
    tree = ast.parse(source)
    lines = source.splitlines()
    count = sum(1 for _ in ast.walk(tree))
    for index in range(count):
        for number in range(_changes(list(ast.walk(tree))[index])):
            changed = copy.deepcopy(tree)
            node = list(ast.walk(changed))[index]
            placed: Any = node.target if isinstance(node, ast.comprehension) else node
            line = placed.lineno
            change = _change(changed, node, number)
            yield Mutant(module, line, lines[line - 1].strip(), change, ast.unparse(changed))


EDGES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}


def _changes(node: ast.AST) -> int:
    """How many ways there are to change a node."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return 0
        case ast.If() | ast.IfExp() | ast.While():
            return 2
        case ast.comprehension():
            return len(node.ifs)
        case ast.BoolOp():
            return len(node.values)
        case ast.Compare():
            return sum(type(each) in EDGES for each in node.ops)
        case ast.Raise():
            return 1
    return 0


def _change(tree: ast.AST, node: ast.AST, number: int) -> str:
    """Makes the change in place; what it is."""
    match node:
        case ast.If() | ast.IfExp() | ast.While():
            node.test = ast.Constant(value=bool(number))
            return "always" if number else "never"
        case ast.comprehension():
            del node.ifs[number]
            return "unfiltered"
        case ast.BoolOp():
            dropped = node.values[number]
            node.values[number] = ast.Constant(value=isinstance(node.op, ast.And))
            return f"without {ast.unparse(dropped)}"
        case ast.Compare():
            place = [i for i, each in enumerate(node.ops) if type(each) in EDGES][number]
            before, node.ops[place] = node.ops[place], EDGES[type(node.ops[place])]()
            return f"{_sign(before)} to {_sign(node.ops[place])}"
        case ast.Raise():
            _Replacing(node, ast.Pass()).visit(tree)
            return "not raised"
    raise AssertionError(node)


def _sign(comparison: ast.cmpop) -> str:
    return {"Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">="}[type(comparison).__name__]


class _Replacing(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return ast.copy_location(self._new, node) if node is self._old else self.generic_visit(node)


class InItsPlace(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a mutant where its module is asked for."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = f"{PACKAGE}.{mutant.module}"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._mutant.source, f"mutant of {self._name}", "exec"), module.__dict__)


def outcomes(asked: Sequence[tuple[str, Mutant | None]], jobs: int) -> Iterator[bool]:
    """Whether the tests of a module fail with a mutant, or with the module itself, in this order;
    so many at once. One that hangs fails."""
    fork = multiprocessing.get_context("fork")
    running: list[tuple[BaseProcess, float]] = []
    child: BaseProcess
    waiting = list(asked)
    while waiting or running:
        while waiting and len(running) < jobs:
            child = fork.Process(target=_test, args=waiting.pop(0))
            child.start()
            running.append((child, time.monotonic() + RUN_S_MAX))
        child, until_s = running.pop(0)
        child.join(max(until_s - time.monotonic(), 0.0))
        if child.is_alive():
            child.kill()
            child.join()
        yield child.exitcode != 0


def _test(module: str, mutant: Mutant | None) -> None:
    """In a process of its own; ends with pytest's exit status."""
    import pytest

    if mutant is not None:
        sys.meta_path.insert(0, InItsPlace(mutant))
    folder = tempfile.mkdtemp(prefix="cordon-mutant-", dir=_quick_folder())
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    files = [UNIT.format(name) for name in TESTS[module]]
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}/pytest"]
    # What was imported before cannot have its assertions rewritten, and has none.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    status = pytest.main([*options, *files], plugins=[_Quickly()])
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(int(status))


class _Quickly:
    """A plugin: of a failure hypothesis is to find one, not the smallest."""

    def pytest_collection(self) -> None:
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile(
            "mutation", phases=phases, derandomize=True, deadline=None, database=None
        )
        settings.load_profile("mutation")


def _quick_folder() -> str | None:
    """Where a synced write costs nothing, if the machine has such a place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _preload() -> None:
    """Imports what every run does and no mutant is of: once, here, rather than in each."""
    for name in (
        *("argon2", "grpc.aio", "jwt", "lmdb", "numpy", "structlog", "zxcvbn"),
        *("hypothesis.strategies", "pytest_asyncio.plugin"),
        *("cordon.v1.identity_pb2_grpc", "cordon_server.authority.records"),
    ):
        importlib.import_module(name)
    assert not {f"{PACKAGE}.{module}" for module in TESTS} & set(sys.modules)


def _modules(text: str) -> list[str]:
    """Modules named with or without their room, or every one of a room."""
    asked = set(text.split(","))
    known = {name for module in TESTS for name in (module, *module.split("."))}
    if unknown := asked - known:
        raise argparse.ArgumentTypeError(f"no such module: {', '.join(sorted(unknown))}")
    return [module for module in TESTS if asked & {module, *module.split(".")}]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", type=_modules, default=list(TESTS))
    parser.add_argument("--list", action="store_true", help="the mutants, without running them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    os.chdir(ROOT)
    every = [mutant for module in args.only for mutant in mutants(module)]
    if args.list:
        print("\n".join(_row(mutant, "") for mutant in every))
        return 0
    began_s = time.monotonic()
    _preload()
    failed_untouched = list(outcomes([(each, None) for each in args.only], args.jobs))
    if broken := [m for m, failed in zip(args.only, failed_untouched, strict=True) if failed]:
        print(f"the tests of {', '.join(broken)} fail without a mutant", file=sys.stderr)
        return 2
    different = [mutant for mutant in every if not mutant.excuse]
    passed = 0
    for mutant, failed in zip(
        different, outcomes([(each.module, each) for each in different], args.jobs), strict=True
    ):
        passed += not failed
        print(_row(mutant, "caught" if failed else "PASSED"), flush=True)
    for mutant in every:
        if mutant.excuse:
            print(_row(mutant, "same"), f"({mutant.excuse})")
    print(
        f"{len(every)} mutants: {len(different) - passed} caught, {passed} passed, "
        f"{len(every) - len(different)} no different; {time.monotonic() - began_s:.0f} s"
    )
    return 1 if passed else 0


def _row(mutant: Mutant, result: str) -> str:
    where = f"{mutant.module}:{mutant.line}"
    return f"{where:<34} {result:<8} {mutant.change:<44} | {mutant.words}"


if __name__ == "__main__":
    sys.exit(main())
