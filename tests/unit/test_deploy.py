"""The systemd units say what systemd understands, and shut the services in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy").glob("*.service"))
EXPOSURE_MAX = 2.0
"""Of 10, as `systemd-analyze security` counts; an unprotected service has 9.2."""

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed here"
)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def installed(unit: Path, folder: Path) -> Path:
    """The unit as it would lie on a machine where its program is there."""
    copy = folder / unit.name.replace("@.", "@north.")
    copy.write_text(unit.read_text().replace("/opt/cordon/bin/cordon", "/bin/sh"))
    return copy


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_has_no_mistake_that_systemd_sees(unit: Path, tmp_path: Path) -> None:
    verified = analyze("verify", "--man=no", installed(unit, tmp_path))

    assert verified.returncode == 0, verified.stderr
    assert unit.stem.rstrip("@") not in verified.stderr


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_leaves_little_exposed(unit: Path, tmp_path: Path) -> None:
    threshold = f"--threshold={round(EXPOSURE_MAX * 10)}"

    judged = analyze("security", "--offline=true", threshold, installed(unit, tmp_path))

    assert judged.returncode == 0, judged.stdout[-500:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_no_service_leaves_faces_in_a_core_file_or_in_swap(unit: Path) -> None:
    settings = unit.read_text().splitlines()

    assert "LimitCORE=0" in settings
    assert "MemorySwapMax=0" in settings
