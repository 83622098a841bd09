"""The whole command line as its user sees it: walked in this process, run in fresh ones."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from cordon_client.errors import ClientError
from cordon_client.lazy import LazyGroup, load
from cordon_client.main import Commands, app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("numpy", "cv2", "onnxruntime", "cordon_server", "av", "grpc")


def cordon(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from cordon_client.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "80", **environment},
    )


def loaded_by(*args: str) -> set[str]:
    """The top-level modules that a command line loads."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(m for m in sys.modules)),"
        " file=sys.stderr))\n"
        "from cordon_client.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


def tree(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command and group from here down, lazily loaded ones too."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        if isinstance(command, LazyGroup) and name in command.table:
            try:
                child = load(name, command.table[name])
            except ClientError:
                continue  # An extra that is not installed.
        yield from tree(child, f"{path} {name}")


TREE = dict(tree(typer.main.get_command(app), "cordon"))


@pytest.mark.parametrize("path", TREE)
def test_every_command_has_a_help_with_an_example(path: str) -> None:
    help_text = f"{TREE[path].help or ''}\n{TREE[path].epilog or ''}"

    assert help_text.strip(), f"{path} has no help"
    example = rf"Examples?:[\s\S]*\s{re.escape(path)}\b"
    assert re.search(example, help_text), f"the help of `{path}` shows no example of it"


@pytest.mark.parametrize("path", TREE)
def test_the_examples_of_a_help_are_commands_that_are_taken(path: str) -> None:
    help_text = (TREE[path].help or "").partition("Example")[2].replace("\\\n", " ")

    for line in re.findall(r"^\s*(cordon .*)$", help_text, re.M):
        words = shlex.split(line)
        depth = max(n for n in range(1, len(words) + 1) if " ".join(words[:n]) in TREE)
        command, given = TREE[" ".join(words[:depth])], words[depth:]
        if given != ["--help"]:
            command.make_context(line, given).close()


def test_every_command_that_a_text_names_is_there() -> None:
    texts = [ROOT / "README.md", *ROOT.glob("certs/*.md"), *ROOT.glob("deploy/**/*.*")]
    for folder in ("server", "clients"):
        texts += (path for path in ROOT.glob(f"{folder}/**/*.py"))
    named = {
        words
        for path in texts
        for words in re.findall(r"(?<![\w./-])cordon(?: [a-z][a-z-]*)+", path.read_text())
    }

    for words in sorted(named):
        at, path = TREE["cordon"], "cordon"
        for word in words.split()[1:]:
            if f"{path} {word}" not in TREE:
                assert path == "cordon" or not hasattr(at, "commands"), f"{words}: no {word}"
                break
            path = f"{path} {word}"
            at = TREE[path]


@pytest.mark.parametrize("path", TREE)
def test_every_option_has_a_help(path: str) -> None:
    without = [p.name for p in TREE[path].params if not getattr(p, "help", None)]

    assert without == [], f"{path}: {without}"


ASKED = {
    "camera": "CAMERA",
    "deployment": "DEPLOYMENT",
    "hold": "HOLD",
    "machine": "ROLE/NAME",
    "match": "DEPLOYMENT/MATCH",
    "ref": "REF",
    "user": "USER",
}
"""What a command asks for, to how its help calls it."""


def test_the_same_thing_is_asked_for_alike_by_every_command() -> None:
    said = {
        (param.name.removesuffix("s"), param.metavar)
        for path, command in TREE.items()
        if path.split()[1:2] not in (["camera"], ["server"])
        for param in command.params
    }

    assert {(name, metavar) for name, metavar in said if name in ASKED} == set(ASKED.items())
    assert ("name", "NAME") not in said


@pytest.mark.parametrize(
    "args",
    [
        ("control", "adjudicate", "market", "7", "true", "--because", "features-agree"),
        ("control", "show", "7"),
        ("control", "claim", "market"),
        ("control", "receipt", "market/north/7"),
        ("control", "outcome", "market", "7", "lost"),
        ("admin", "hold", "place", "case-1", "7", "--reason", "complaint"),
    ],
    ids=" ".join,
)
def test_a_match_that_is_named_otherwise_is_told_how(args: tuple[str, ...]) -> None:
    done = cordon(*args)

    assert done.returncode == 2
    assert "does not name a match" in done.stderr
    assert "DEPLOYMENT/MATCH, as market/7" in done.stderr


@pytest.mark.parametrize(
    "args",
    [("token", "desk"), ("token", "control", "desk"), ("issue", "desk", "--out", "x")],
    ids=" ".join,
)
def test_a_machine_that_is_named_otherwise_is_told_how(args: tuple[str, ...]) -> None:
    done = cordon("admin", "cert", *args)

    assert done.returncode == 2
    assert "ROLE/NAME, as camera/north-gate" in done.stderr


def test_help_names_every_command_with_a_line() -> None:
    done = cordon("--help")

    assert done.returncode == 0
    for name, row in Commands.table.items():
        assert re.search(rf"^\s+{name}\s+{re.escape(row.help)}$", done.stdout, re.M)


@pytest.mark.parametrize("args", [("--help",), ("admin", "--help")], ids=" ".join)
def test_help_loads_nothing_heavy(args: tuple[str, ...]) -> None:
    started = time.perf_counter()
    cordon(*args)
    print(f"cordon {' '.join(args)}: {time.perf_counter() - started:.3f} s")

    assert loaded_by(*args).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "args", [("admin", "watchlist", "import", "--help"), ("watch", "--help")], ids=" ".join
)
def test_thin_clients_load_no_models(args: tuple[str, ...]) -> None:
    assert loaded_by(*args).isdisjoint(set(HEAVY) - {"grpc"})


def test_the_version_is_the_distributions() -> None:
    done = cordon("--version")

    assert re.fullmatch(r"cordon \d+\.\d+\.\d+\S*\n", done.stdout)


def test_completion_offers_the_commands_without_loading_them() -> None:
    words = {"_CORDON_COMPLETE": "complete_bash", "COMP_WORDS": "cordon ", "COMP_CWORD": "1"}

    done = cordon(**words)

    assert set(done.stdout.split()) == set(Commands.table)


def test_completion_reaches_through_the_lazy_table() -> None:
    words = {
        "_CORDON_COMPLETE": "complete_bash",
        "COMP_WORDS": "cordon admin camera ",
        "COMP_CWORD": "3",
    }

    done = cordon(**words)

    assert set(done.stdout.split()) == {"add", "list", "show", "revoke"}


def test_the_completion_script_can_be_shown() -> None:
    done = cordon("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")

    assert "_CORDON_COMPLETE=complete_bash" in done.stdout


def test_a_mistyped_command_is_a_usage_error_with_a_suggestion() -> None:
    done = cordon("amdin")

    assert done.returncode == 2
    assert "Did you mean 'admin'" in done.stderr


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cordon_camera.cli", None)

    with pytest.raises(ClientError) as missing:
        load("camera", Commands.table["camera"])

    assert missing.value.hint == "pip install 'cordon[camera]'"


def test_without_an_identity_the_error_says_where_one_comes_from(tmp_path: Any) -> None:
    done = cordon("admin", "camera", "list", XDG_CONFIG_HOME=str(tmp_path))

    assert done.returncode == 4
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "hint: cordon admin camera list --identity DIR" in done.stderr
