"""What is released is what was tested: a wheel built from the sources alone is complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("protos", "server", "clients")
FILES = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "NOTICE")
PACKAGES = ("server", "client", "camera", "control", "admin", "demo")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content, built where nothing was generated before."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        ignored = shutil.ignore_patterns("*_pb2*", "__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=120)
    (wheel,) = source.glob("dist/*.whl")
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.slow
def test_the_wheel_holds_the_contract_its_code_and_its_types(unpacked: Path) -> None:
    for proto in sorted((ROOT / "protos/cordon/v1").glob("*.proto")):
        for ending in (".proto", "_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi"):
            assert (unpacked / "cordon/v1" / f"{proto.stem}{ending}").is_file()
    for package in ("cordon/v1", *(f"cordon_{name}" for name in PACKAGES)):
        assert (unpacked / package / "py.typed").is_file()


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_its_packages_and_nothing_else(unpacked: Path) -> None:
    folders = {"cordon", *(f"cordon_{name}" for name in PACKAGES)}
    (about,) = unpacked.glob("*.dist-info")

    for name in PACKAGES:
        package = next(
            path / f"cordon_{name}"
            for path in map(ROOT.joinpath, SOURCES)
            if (path / f"cordon_{name}").is_dir()
        )
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert (unpacked / path.relative_to(package.parent)).is_file()
    assert {path.name for path in unpacked.iterdir()} == folders | {about.name}
    assert {path.name for path in about.glob("licenses/*")} == {"LICENSE", "NOTICE"}


@pytest.mark.slow
def test_the_command_line_runs_from_the_wheel(unpacked: Path) -> None:
    program = "import cordon_client.main as m; print(m.__file__); m.main()"

    told = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith(str(unpacked))
    assert "Commands:" in told.stdout
