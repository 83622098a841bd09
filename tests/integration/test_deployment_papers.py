"""What is forecast, signed and told the public, by commands on a running server."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from pypdf import PdfReader

from cordon_admin import verifier
from tests.data import shared_data
from tests.helpers import arming
from tests.helpers.site import ON_NOTICES, Site

pytestmark = pytest.mark.slow


@pytest.mark.serves("R15", "R17", "R19")
def test_a_forecast_is_signed_and_a_notice_made_of_what_was_authorised(
    site: Site, tmp_path: Path
) -> None:
    camera, _ = site.add_camera()
    deployment = site.add_deployment(camera)
    picture = sorted(shared_data("lfw", "deepfunneled").glob("*/*_0001.jpg"))[0]
    enrol = ("admin", "watchlist", "enrol", deployment, "s-1", str(picture), "--category", "wanted")
    site.cordon(*enrol)
    crowd = ("--faces-per-hour", "1200", "--operators", "2")
    forecast = ("admin", "deployment", "forecast", deployment, *crowd)
    notice = ("admin", "deployment", "notice", deployment, "--out", str(tmp_path))

    told = site.cordon_json(*forecast)
    lower = site.cordon_json(*forecast, "--threshold", "0.3")
    early = site.cordon(*notice, code=7)
    site.cordon("admin", "deployment", "submit", deployment, *crowd)
    signed = arming.authorise(site.approver, deployment)
    site.cordon(*notice)

    assert (told["subjects"], told["basis"]) == (1, "model")
    assert told["fpir_low"] < told["fpir"] < told["fpir_high"] < lower["fpir_high"]
    assert "not authorised" in early.stderr
    assert json.loads(signed.submission.forecast)["false_matches"] == told["false_matches"]
    made = json.loads((tmp_path / f"{deployment}-notice.json").read_text("utf-8"))
    assert {name: made[name] for name in ON_NOTICES} == ON_NOTICES
    assert made["authority_digest"] == signed.authority.digest.hex()
    for name in ("sign-a3", "sign-a4", "leaflet"):
        pdf = PdfReader(io.BytesIO((tmp_path / f"{deployment}-{name}.pdf").read_bytes()))
        assert "a test bench" in pdf.pages[0].extract_text()
    site.cordon("admin", "deployment", "end", deployment, "--confirm", deployment)


@pytest.mark.serves("R12", "R20", "R30")
def test_a_report_fetches_the_record_and_tells_what_recognised(
    own_site: Site, tmp_path: Path
) -> None:
    site, out = own_site, tmp_path / "reports"
    camera, identity = site.add_camera()
    deployment = site.add_deployment(camera)
    picture = sorted(shared_data("lfw", "deepfunneled").glob("*/*_0001.jpg"))[0]
    (tmp_path / "seen").mkdir()
    shutil.copy(picture, tmp_path / "seen")
    enrol = ("admin", "watchlist", "enrol", deployment, "s-1", str(picture), "--category", "wanted")
    site.cordon(*enrol)
    site.arm(deployment)
    site.cordon("camera", "run", "--folder", str(tmp_path / "seen"), identity=identity)
    key = ("--key", str(site.folder / "certs" / "audit.vkey"))
    report = ("admin", "deployment", "report", deployment, "--out", str(out), *key)

    done = site.cordon(*report, "-o", "json")
    again = site.cordon(*report, code=7)
    refused = site.cordon(*report[:-3], str(tmp_path / "other"), identity=site.officer, code=5)

    record, told = out / f"{deployment}-record.jsonl", json.loads(done.stdout)
    assert str(record) in done.stderr
    assert f"--export {record}" in again.stderr
    assert not list((tmp_path / "other").iterdir()), refused.stderr
    verdict = verifier.verify_file(record)
    assert verdict.is_whole
    assert verifier.report_verdict(told, record, verdict) == []
    assert told["faces"]["seen"] == 1, "what was shown a moment ago counts"
    (made,) = told["made_of"]
    folder = site.folder / "data" / "components"
    listed = json.loads((folder / f"{made['components']}.json").read_bytes())
    assert {made["detector"]["sha256"], made["embedder"]["sha256"]} == {
        each["sha256"] for each in listed if each["kind"] == "model"
    }
