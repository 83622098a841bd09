"""What stays when a deployment is gone, and the proof that nothing else does, by the commands."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.bench.mosaic import crowd_in_order
from tests.data import shared_data
from tests.helpers.frame_stream import Stream, armed
from tests.helpers.rpc import channel_of
from tests.helpers.site import Site

PEOPLE = 6


@pytest.fixture
def portrait() -> bytes:
    return shared_data("lfw", "deepfunneled", "Alek_Wek", "Alek_Wek_0001.jpg").read_bytes()


@pytest.fixture
def volunteers(tmp_path: Path) -> Path:
    """Pictures of people whom no other test enrols."""
    folder = tmp_path / "volunteers"
    folder.mkdir()
    for person in crowd_in_order()[-PEOPLE:]:
        shutil.copy(person, folder)
    return folder


@pytest.mark.slow
@pytest.mark.serves("R1", "R2")
def test_forgetting_is_proven_by_a_signed_note(site: Site, volunteers: Path) -> None:
    note = site.folder / "proof.note"

    done = site.cordon(
        "admin", "prove-forgetting", str(volunteers), "--note", str(note), identity=site.approver
    )

    findings = json.loads(done.stdout)
    assert findings["is_forgotten"] is True
    assert (findings["listed"], findings["strangers"]) == (PEOPLE // 2, PEOPLE - PEOPLE // 2)
    assert findings["faces_seen"] >= PEOPLE
    assert findings["matches"] >= findings["listed"]
    assert findings["pieces"] > 100 * PEOPLE
    for search in (findings["while_armed"], findings["after_end"]):
        assert search["bytes_read"] > 10_000
        assert not search["found"]
    backup = findings["backup"]
    assert backup["values_opened_before"] == backup["values"] >= 2 * findings["listed"]
    assert backup["values_opened"] == 0
    assert _is_signed(note.read_text(), (site.folder / "certs" / "audit.vkey").read_text())
    assert not list((site.folder / "data").rglob("proof-*"))


@pytest.mark.slow
@pytest.mark.serves("R1", "R2")
def test_what_was_left_behind_spoils_the_proof(site: Site, volunteers: Path) -> None:
    left = site.folder / "data" / "left-behind"
    left.write_bytes(b"before" + min(volunteers.iterdir()).read_bytes()[2_000:4_000])
    try:
        prove = ("admin", "prove-forgetting", str(volunteers))
        done = site.cordon(*prove, identity=site.approver, code=1)
    finally:
        left.unlink()

    findings = json.loads(done.stdout)
    assert findings["is_forgotten"] is False
    for search in ("while_armed", "after_end"):
        assert findings[search]["found"].keys() == {"jpeg"}
    assert not findings["backup"]["searched"]["found"]
    assert "should not be there" in done.stderr


@pytest.mark.slow
def test_a_proof_takes_pictures_of_one_face_each_and_two_of_them(
    site: Site, volunteers: Path
) -> None:
    first, *others = sorted(volunteers.iterdir())
    first.write_bytes(b"no picture")
    trial = ("admin", "prove-forgetting", str(volunteers), "--dry-run")
    assert "cannot be read" in site.cordon(*trial, identity=site.approver, code=1).stderr
    for other in others:
        other.unlink()

    assert "1 JPEG pictures" in site.cordon(*trial, identity=site.approver, code=2).stderr


@pytest.mark.slow
@pytest.mark.serves("R3", "R4")
async def test_a_match_is_held_and_a_listing_told_when_the_deployment_is_gone(
    site: Site, portrait: bytes
) -> None:
    camera, identity = site.add_camera()
    deployment = armed(site, camera)
    async with channel_of(identity) as channel:
        stream = Stream(channel)
        await stream.hello()
        assert (await stream.frame(portrait)).matches == 1
    hold, held = f"case-{deployment}", f"{deployment}/1"
    reason = ("--reason", "complaint 2026-14")
    place = ("admin", "hold", "place", hold, held, *reason)
    officer, was = site.approver, ("admin", "deployment", "was-listed", deployment)
    site.cordon(*place, "--dry-run", identity=officer)
    site.cordon(*place, identity=officer)
    site.cordon(*place, identity=officer, code=7)
    site.cordon(*place[:3], "other", f"{deployment}/99", *reason, identity=officer, code=6)

    site.cordon("admin", "deployment", "end", deployment, "--confirm", deployment)

    told = site.cordon_json(*was, "listed", identity=officer)
    assert (told["was_listed"], told["category"]) == (True, "wanted")
    assert told["erase_time"]
    assert told["answer_until"] > told["end_time"]
    assert site.cordon_json(*was, "nobody", identity=officer)["was_listed"] is False
    pictures = site.folder / "held"
    show = ("admin", "hold", "show", hold, "--pictures", str(pictures))
    shown = site.cordon_json(*show, identity=officer)
    assert (shown["reason"], shown["record"]["match"]["entry_id"]) == (
        "complaint 2026-14",
        "listed",
    )
    assert shown["pictures"] == len(list(pictures.iterdir())) > 0
    listed = site.cordon_json("admin", "hold", "list", identity=officer)
    assert hold in {each["name"] for each in listed}
    lift = ("admin", "hold", "lift", hold, "--reason", "settled", "--confirm", hold)
    site.cordon("admin", "step-up", identity=officer)
    site.cordon(*lift, identity=officer)
    assert "not here any more" in site.cordon(*show, identity=officer, code=6).stderr


def _is_signed(note: str, vkey: str) -> bool:
    """Whether a note is signed by the key, by the rules of https://c2sp.org/signed-note."""
    text, _, line = note.rpartition("\n\n")
    signature = base64.b64decode(line.split()[-1])
    key = base64.b64decode(vkey.strip().split("+", 2)[2])
    Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], f"{text}\n".encode())
    return True
