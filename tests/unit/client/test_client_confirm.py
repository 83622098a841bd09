"""Typing an object's name, at a real terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

CODE = """
from cordon_client.cli import confirm
from cordon_client.errors import ClientError, print_error
try:
    confirm("north-gate", None, "It will be gone.")
    print("gone on")
except ClientError as error:
    print_error(error)
    raise SystemExit(error.exit_code)
"""


@pytest.mark.parametrize(
    ("typed", "code", "out"), [("north-gate\n", 0, "gone on\n"), ("north\n", 2, ""), ("y\n", 2, "")]
)
def test_only_the_objects_name_goes_on(typed: str, code: int, out: str) -> None:
    terminal, stdin = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", CODE],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(stdin)
        os.write(terminal, typed.encode())
        stdout, stderr = process.communicate(timeout=30)
    os.close(terminal)

    assert (process.returncode, stdout) == (code, out)
    assert "cannot be undone" in stderr
    assert "Type north-gate to go on" in stderr
