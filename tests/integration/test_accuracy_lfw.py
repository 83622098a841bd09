"""Identification on real faces through the whole path: admin CLI, camera CLI, match stream."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from cordon_server.authority.forecast import Basis, Crowd, forecast
from cordon_server.authority.impostors import non_mated
from cordon_server.domain import Template
from cordon_server.gallery import Gallery, Reference
from cordon_server.recognition.decide import STILLS_RULE, passes
from cordon_server.sessions.forecasting import comparisons
from tests.bench.accuracy import (
    Draw,
    Identification,
    Offline,
    draw_lfw,
    offline_identification,
    shipped_models,
)
from tests.data import shared_data
from tests.helpers.site import Site

SUBJECTS, STRANGERS, SEED = 200, 500, 7


@pytest.fixture(scope="module")
def draw() -> Draw:
    return draw_lfw(shared_data("lfw", "deepfunneled"), SEED, SUBJECTS, STRANGERS)


@pytest.fixture(scope="module")
def faces() -> Offline:
    """Keeps what it made of each picture."""
    return Offline(shipped_models())


@pytest.mark.slow
@pytest.mark.serves("R12", "R20")
def test_lfw_through_the_server_is_as_good_as_offline_and_good_enough(
    site: Site, tmp_path: Path, draw: Draw, faces: Offline
) -> None:
    camera, identity = site.add_camera("lfw")
    deployment = site.add_deployment(camera)
    refused = _import(site, deployment, draw, tmp_path)
    site.arm(deployment)
    pictures = _stream(site, identity, draw, tmp_path)
    matches = _follow(site, deployment)

    offline = offline_identification(faces, draw)

    assert refused == offline.refused.keys()
    assert SUBJECTS - len(refused) >= 0.9 * SUBJECTS
    _compare_scores(offline, pictures, matches)
    tpir, fpir = _rates(draw, refused, pictures, matches)
    threshold = float(str(matches[0]["threshold"]))
    assert (tpir, fpir) == (offline.tpir(threshold), offline.fpir(threshold))
    print(
        f"\nLFW, {SUBJECTS - len(refused)} listed: TPIR {tpir:.4f} FPIR {fpir:.4f} at {threshold}"
    )
    assert tpir >= 0.95
    assert fpir <= 0.01
    _check_report(site, deployment, tmp_path, frames=len(pictures), alerts=len(matches))


@pytest.mark.slow
@pytest.mark.serves("R17")
@pytest.mark.parametrize("threshold", [0.38, 0.42, 0.465])
def test_as_many_strangers_are_matched_as_the_list_lets_expect(
    draw: Draw, faces: Offline, threshold: float
) -> None:
    pack = shipped_models().pack
    gallery = Gallery(model_id=pack.model_id, dimension=pack.dimension, threshold=threshold)
    enrolled = {name: faces.enrol(picture) for name, picture in draw.enrolled.items()}
    gallery.add(
        Reference(name, "1", Template(vector, pack.model_id))
        for name, vector in enrolled.items()
        if not isinstance(vector, tuple)
    )
    probes = [probe.vector for picture in draw.strangers for probe in faces.probe(picture)]

    told = forecast(
        non_mated(gallery.rows, threshold=threshold, margin_min=STILLS_RULE.margin_min),
        comparisons(pack.impostors),
        subjects=len(gallery),
        references=len(gallery),
        has_cohort=False,
        threshold=threshold,
        fpir_max=0.01,
        crowd=Crowd(faces_per_hour=len(probes), hours=1, operators=1),
    )

    matched = sum(passes(each, STILLS_RULE) for each in gallery.search(np.stack(probes)))
    print(
        f"\nat {threshold}: forecast FPIR {told.fpir.expected:.4f} ({told.fpir.low:.4f} to "
        f"{told.fpir.high:.4f}), measured {matched / len(probes):.4f}; false matches "
        f"{told.in_all.expected:.1f} ({told.in_all.low:g} to {told.in_all.high:g}), {matched}"
    )
    assert told.basis is Basis.LIST
    assert told.in_all.low <= matched <= told.in_all.high


def _check_report(site: Site, deployment: str, folder: Path, *, frames: int, alerts: int) -> None:
    """What the report of the deployment says is what was done."""
    record = folder / "record.jsonl"
    site.cordon("admin", "deployment", "end", deployment, "--confirm", deployment)
    site.cordon("admin", "audit", "export", str(record))
    command = ("admin", "deployment", "report", deployment, "--export", str(record))
    report = site.cordon_json(*command, "--out", str(folder / "report"))
    assert report["faces"]["frames"] == frames
    assert frames * 0.99 <= report["faces"]["seen"] == report["faces"]["detections"]
    assert report["faces"]["searched"] == report["faces"]["detections_by_fate"]["searched"]
    assert report["alerts"]["raised"] == report["alerts"]["unresolved"] == alerts
    assert report["list"]["by_category"] == {"wanted": report["list"]["entries"]}
    assert [each["state"] for each in report["life"]][-2:] == ["ended", "erased"]


def _import(site: Site, deployment: str, draw: Draw, folder: Path) -> set[str]:
    """Enrols the first pictures; who was refused."""
    listing = folder / "list.csv"
    rows = [f"{name},{picture},wanted" for name, picture in draw.enrolled.items()]
    listing.write_text("\n".join(["external_ref,image,category", *rows]))
    command = ("admin", "watchlist", "import", deployment, str(listing), "-o", "json")
    done = site.cordon(*command, code=3)
    rejected = [row for row in json.loads(done.stdout) if row["outcome"] == "rejected"]
    assert all(row["reasons"] for row in rejected)
    return {row["external_ref"] for row in rejected}


def _stream(site: Site, identity: Path, draw: Draw, folder: Path) -> list[Path]:
    """Sends every probe and stranger once; the pictures in the order of their frames."""
    pictures = [*(picture for _, picture in draw.mated), *draw.strangers]
    probes = folder / "probes"
    probes.mkdir()
    for number, picture in enumerate(pictures):
        os.symlink(picture, probes / f"{number:05}.jpg")
    done = site.cordon("camera", "run", "--folder", str(probes), "--json", identity=identity)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["processed"] == len(pictures)
    return pictures


def _follow(site: Site, deployment: str) -> list[dict[str, object]]:
    """The whole match stream."""
    shown = site.cordon_json("admin", "deployment", "show", deployment)
    command = ("watch", deployment, "--json", "--exit-after", str(shown["match_count"]))
    done = site.cordon(*command, identity=site.identity("control", "lfw-desk"))
    return [json.loads(line) for line in done.stdout.splitlines()]


def _best(pictures: list[Path], matches: list[dict[str, object]]) -> dict[Path, tuple[float, str]]:
    """The best match of each picture: score and subject."""
    best: dict[Path, tuple[float, str]] = {}
    for match in matches:
        picture = pictures[int(str(match["frame_sequence"])) - 1]
        found = (float(str(match["score"])), str(match["entry_id"]))
        best[picture] = max(found, best.get(picture, (-1.0, "")))
    return best


def _compare_scores(
    offline: Identification, pictures: list[Path], matches: list[dict[str, object]]
) -> None:
    best, threshold = _best(pictures, matches), float(str(matches[0]["threshold"]))
    for expected in offline.scores:
        subject = expected.matched(threshold)
        if subject is None:
            assert expected.picture not in best
            continue
        score = max(each.score for each in expected.candidates if each.entry_id == subject)
        found, matched = best[expected.picture]
        assert matched == subject
        assert found == pytest.approx(score, abs=1e-3)


def _rates(
    draw: Draw, refused: set[str], pictures: list[Path], matches: list[dict[str, object]]
) -> tuple[float, float]:
    best = _best(pictures, matches)
    mated = [(name, picture) for name, picture in draw.mated if name not in refused]
    hits = sum(best.get(picture, (-1.0, ""))[1] == name for name, picture in mated)
    alarms = sum(picture in best for picture in draw.strangers)
    return hits / len(mated), alarms / len(draw.strangers)
