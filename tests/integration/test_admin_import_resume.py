"""An import that outlives its server."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.data import shared_data

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.site import Site

pytestmark = pytest.mark.slow

SUBJECTS = 60
KILLS_AFTER_ROWS = (5, 20, 40)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """The first picture of so many people, a folder each."""
    people = sorted(shared_data("lfw", "deepfunneled").iterdir())[:SUBJECTS]
    for person in people:
        picture = min(person.glob("*.jpg"))
        (tmp_path / "photos" / person.name).mkdir(parents=True)
        (tmp_path / "photos" / person.name / picture.name).write_bytes(picture.read_bytes())
    return tmp_path / "photos"


def test_an_import_survives_a_server_that_is_killed(own_site: Site, photos: Path) -> None:
    site = own_site
    deployment = site.add_deployment(site.add_camera()[0])
    run = ("admin", "watchlist", "import", deployment, str(photos), "--category", "wanted")
    options = ("-o", "jsonl", "--give-up-after", "120")

    reports = []
    with site.spawn(*run, *options, identity=site.officer) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            reports.append(json.loads(line))
            if len(reports) in KILLS_AFTER_ROWS:
                site.stop(signal.SIGKILL)
                site.start()
        talk = process.stderr.read()
        code = process.wait(timeout=60)

    assert code in (0, 3), talk
    assert sorted(report["row"] for report in reports) == list(range(1, SUBJECTS + 1))
    assert "Trying again" in talk
    enrolled = {r["external_ref"] for r in reports if r["outcome"] != "rejected"}
    entries = site.cordon_json("admin", "watchlist", "list", deployment)
    assert {entry["external_ref"] for entry in entries} == enrolled
    assert {entry["reference_count"] for entry in entries} == {1}
    assert len(enrolled) > SUBJECTS / 2


def test_an_import_gives_up_when_told_to_and_can_be_run_again(own_site: Site, photos: Path) -> None:
    site = own_site
    deployment = site.add_deployment(site.add_camera()[0])
    run = ("admin", "watchlist", "import", deployment, str(photos), "--category", "wanted")

    site.stop(signal.SIGKILL)
    gone = site.cordon(*run, "--give-up-after", "1", code=8)
    site.start()
    with site.spawn(*run, identity=site.officer) as process:
        process.communicate(timeout=120)

    assert f"{SUBJECTS} rows are not answered" in gone.stderr
    assert "hint: cordon admin watchlist import" in gone.stderr
    assert process.returncode in (0, 3)
