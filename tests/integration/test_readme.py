"""The quick start works as written: its shell blocks are run in order, a terminal each."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.site import free_port

README = Path(__file__).resolve().parents[2] / "README.md"
WAIT_S_MAX = 60


def quick_start() -> dict[str, str]:
    """The shell blocks of the quick start by the heading they stand under, in order."""
    section = README.read_text().split("\n## Quick start\n")[1].split("\n## ")[0]
    blocks: dict[str, str] = {}
    for part in ("### Server\n" + section).split("### ")[1:]:
        heading = part.splitlines()[0]
        found = re.findall(r"^```sh\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
        assert len(found) == 1, f"one block under {heading}"
        blocks[heading] = found[0]
    return blocks


def terminal(block: str, folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """A shell that runs a block, with the programs of this environment on its path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CORDON_")}
    with log.open("wb") as output:
        return subprocess.Popen(
            ["bash", "-euc", block],
            cwd=folder,
            env=environment | {"PATH": path, "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def run(block: str, folder: Path, log: Path) -> str:
    """What a block printed that ends by itself; fails unless all of it succeeded."""
    shell = terminal(block, folder, log)
    code = shell.wait(WAIT_S_MAX)
    assert code == 0, log.read_text()
    return log.read_text()


@contextmanager
def running(block: str, folder: Path, log: Path, sign: str) -> Iterator[None]:
    """A block that goes on until Ctrl-C, once its output shows a sign; ended on leaving."""
    shell = terminal(block, folder, log)
    try:
        wait_for(sign, log, shell)
        yield
    finally:
        os.killpg(shell.pid, signal.SIGINT)
        shell.wait(WAIT_S_MAX)


def wait_for(sign: str, log: Path, shell: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while sign not in (text := log.read_text()):
        assert time.monotonic() < deadline, text
        assert shell is None or shell.poll() is None, text
        time.sleep(0.05)


@pytest.mark.slow
def test_the_quick_start_works_as_written(tmp_path: Path) -> None:
    blocks = quick_start()
    # The one change: another server may have the usual port while the tests run.
    port = free_port()
    server = blocks["Server"].replace(" --site ", f" --port {port} --site ", 1)
    administrator = blocks["Administrator"].replace("localhost:7443", f"localhost:{port}")
    logs = {heading: tmp_path / f"{heading}.log" for heading in blocks}

    with running(server, tmp_path, logs["Server"], "server.serving"):
        run(administrator, tmp_path, logs["Administrator"])
        run(blocks["Officers"], tmp_path, logs["Officers"])
        with running(blocks["Control room"], tmp_path, logs["Control room"], ""):
            run(blocks["Camera"], tmp_path, logs["Camera"])
            wait_for("A-17", logs["Control room"])
        run(blocks["And then"], tmp_path, logs["And then"])

    assert list(tmp_path.glob("matches/*probe.jpg"))
