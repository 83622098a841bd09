"""A full disk refuses what comes and keeps what was acknowledged."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data import shared_data
from tests.helpers.site import Site

SMALL, LARGE = "size=2m", "size=64m"


@pytest.fixture
def small_disk(own_site: Site) -> Iterator[Site]:
    """A site whose deployments lie on a file system of two megabytes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    folder = own_site.folder / "data" / "deployments"
    own_site.stop()
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL, "tmpfs", str(folder)], check=True)
    try:
        own_site.start()
        yield own_site
    finally:
        if own_site.process is not None:
            own_site.stop()
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_said_and_what_was_acknowledged_is_still_there(
    small_disk: Site, tmp_path: Path
) -> None:
    deployment = small_disk.add_deployment(small_disk.add_camera()[0])
    people = sorted(p for p in shared_data("lfw", "deepfunneled").iterdir() if p.is_dir())
    rows = [f"{p.name},{min(p.glob('*.jpg'))},wanted" for p in people[:200]]
    listing = tmp_path / "list.csv"
    listing.write_text("\n".join(["external_ref,image,category", *rows]))
    command = ("admin", "watchlist", "import", deployment, str(listing), "-o", "jsonl")

    done = small_disk.cordon(*command, "--give-up-after", "5", code=1)

    reports = [json.loads(line) for line in done.stdout.splitlines()]
    acknowledged = {r["external_ref"] for r in reports if r["outcome"] == "accepted"}
    assert 0 < len(acknowledged) < 200
    assert "no room left" in done.stderr
    assert _listed(small_disk, deployment) >= acknowledged

    folder = small_disk.folder / "data" / "deployments"
    subprocess.run(["mount", "-o", f"remount,{LARGE}", str(folder)], check=True)
    small_disk.cordon(*command, code=3)
    assert len(_listed(small_disk, deployment)) > len(acknowledged)


def _listed(site: Site, deployment: str) -> set[str]:
    listed = site.cordon_json("admin", "watchlist", "list", deployment)
    return {entry["external_ref"] for entry in listed}
