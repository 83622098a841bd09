from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cordon_server.identity.permissions import PERMISSIONS
from cordon_server.identity.role_table import role_table

README = Path(__file__).resolve().parents[3] / "README.md"


def test_the_readme_shows_the_permission_table_as_it_is() -> None:
    section = README.read_text().split("\n## Who may do what\n")[1].split("\n## ")[0]

    shown = [line for line in section.splitlines() if line.startswith("|")]

    assert "\n".join(shown) == role_table(), (
        "put there what this prints: python -m cordon_server.identity.role_table"
    )


def test_every_method_is_in_the_table_once() -> None:
    names = [
        (row.split("|")[1].split(":")[0].strip(), method.strip())
        for row in role_table().splitlines()[2:]
        for method in row.split("|")[1].split(":")[1].split(",")
    ]

    assert len(names) == len(set(names))
    assert set(names) == {
        (path.split("/")[1].rsplit(".", 1)[1], path.split("/")[2]) for path in PERMISSIONS
    }


def test_the_table_prints_itself() -> None:
    command = [sys.executable, "-m", "cordon_server.identity.role_table"]

    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert printed.stdout == role_table() + "\n"
