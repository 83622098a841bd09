"""A camera's machine from its one-time token on: it enrols, and renews while it streams."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Event

import pytest
import skimage.data
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from PIL import Image

from cordon_camera.sources.picture import Picture, jpeg_picture
from cordon_client.dates import renewal_wait, validity_of
from cordon_client.identity import load_identity
from tests.helpers import people, pictures
from tests.helpers.camera_run import Camera, file_of, until
from tests.helpers.site import Site, free_port

pytestmark = pytest.mark.slow  # Each runs commands as processes.

RENEWALS = 5
SHORTEST = timedelta(minutes=1)
"""Certificates of less are issued to nobody."""
HURRY = 12
"""So many times sooner than at two thirds of its life does the test's camera renew: every few
seconds."""


def enrol(site: Site, token: str, folder: Path, code: int = 0, *options: str) -> str:
    at = ("--enrol-at", f"localhost:{site.enrolment_port}", "--out", str(folder))
    done = site.cordon("camera", "enrol", token, site.address, *at, *options, code=code)
    return done.stderr


def new_token(site: Site, camera: str) -> str:
    token = site.cordon("admin", "cert", "token", f"camera/{camera}", "-o", "name")
    return token.stdout.strip()


def test_a_camera_enrols_with_the_token_that_its_registration_printed(
    site: Site, tmp_path: Path
) -> None:
    name = site.new_name("gate")
    added = site.cordon_json("admin", "camera", "add", name)

    enrol(site, added["enrolment"]["name"], tmp_path / "camera")

    folder = tmp_path / "camera"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    identity = load_identity(folder)
    assert identity.spiffe_id == f"spiffe://test.example/camera/{name}"
    assert identity.server == site.address
    start, end = validity_of(identity.certificate_pem)
    assert end - start <= timedelta(hours=24, minutes=2)
    assert site.cordon("doctor", identity=folder).stdout.count("ok ") == 9


def test_a_token_is_good_once_and_a_newer_one_voids_it(site: Site, tmp_path: Path) -> None:
    name, _ = site.add_camera()
    void, token = new_token(site, name), new_token(site, name)

    voided = enrol(site, void, tmp_path / "void", 4)
    enrol(site, token, tmp_path / "first")
    spent = enrol(site, token, tmp_path / "second", 4)

    assert "this token" in voided
    assert "was used at" in spent
    assert "hint: cordon admin cert token" in spent
    assert not (tmp_path / "void").exists()
    assert not (tmp_path / "second").exists()


def test_a_token_goes_to_nobody_but_the_server_that_it_names(site: Site, tmp_path: Path) -> None:
    name, _ = site.add_camera()
    token = new_token(site, name)
    flipped = "A" if token[10] != "A" else "B"  # In the fingerprint.

    stranger = enrol(site, token[:10] + flipped + token[11:], tmp_path / "camera", 4)
    cut = enrol(site, token[:-4], tmp_path / "camera", 2)
    nobody = ("--enrol-at", f"localhost:{free_port()}", "--out", str(tmp_path / "camera"))
    gone = site.cordon("camera", "enrol", token, site.address, *nobody, code=8).stderr
    enrol(site, token, tmp_path / "camera")

    assert "is not the server that the token is for" in stranger
    assert "copy it whole" in cut
    assert "No server answers at localhost:" in gone


def test_a_folder_that_holds_something_or_is_open_to_others_is_left_alone(
    site: Site, tmp_path: Path
) -> None:
    name, identity = site.add_camera()
    token = new_token(site, name)
    key = (identity / "key.pem").read_bytes()
    (tmp_path / "open").mkdir(mode=0o755)

    there = enrol(site, token, identity, 7)
    is_open = enrol(site, token, tmp_path / "open", 4)
    kept = (identity / "key.pem").read_bytes()
    enrol(site, token, identity, 0, "--force")

    assert "is there already" in there
    assert "chmod 700" in is_open
    assert kept == key
    assert (identity / "key.pem").read_bytes() != key


def test_a_certificate_is_renewed_for_a_new_key_and_the_one_before_stays_good(
    site: Site,
) -> None:
    name, folder = site.add_camera()
    before = load_identity(folder)

    site.cordon("camera", "renew", identity=folder)

    after = load_identity(folder)
    assert after.spiffe_id == before.spiffe_id
    assert after.private_key_pem != before.private_key_pem
    listed = site.cordon_json("admin", "cert", "list", "--of", f"camera/{name}")
    assert [each["state"] for each in listed] == ["valid", "valid"]
    newest = x509.load_pem_x509_certificate(after.certificate_pem)
    assert listed[-1]["sha256"] == newest.fingerprint(hashes.SHA256()).hex()


def test_a_revoked_camera_is_told_what_to_do(site: Site) -> None:
    name, folder = site.add_camera()

    revoke = ("admin", "cert", "revoke", f"camera/{name}", "--confirm", f"camera/{name}")
    site.cordon(*revoke, "--reason", "stolen on the market")
    refused = site.cordon("camera", "renew", identity=folder, code=4)

    assert "was revoked" in refused.stderr
    assert '"justification": "stolen on the market"' in site.log
    assert f"hint: cordon camera enrol TOKEN {site.address}" in refused.stderr


async def test_a_camera_that_renews_several_times_in_a_row_loses_no_frame(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sooner(certificate_pem: bytes, now: datetime, *, is_new: bool) -> timedelta:
        return renewal_wait(certificate_pem, now, is_new=is_new) / HURRY

    monkeypatch.setattr("cordon_camera.line.renewal_wait", sooner)
    name, _ = await asyncio.to_thread(site.add_camera)
    await asyncio.to_thread(arm, site, name, tmp_path)
    folder = tmp_path / "camera"
    await asyncio.to_thread(people.issue, site.admin, "camera", name, folder, SHORTEST)
    film = Film()
    camera = Camera(load_identity(folder), file_of(folder), opener=lambda *_: film)

    streaming = asyncio.create_task(camera.stream.run())
    await until(
        lambda: streaming.done() or len(camera.events("connected")) > RENEWALS, timeout_s=75
    )
    film.close()
    await asyncio.wait_for(streaming, 20)

    told = camera.summary
    print(f"{told['frames_sent']} frames over {told['connections']} connections: {told}")
    assert told["connections"] == 1 + RENEWALS
    answered = sum(told[fate] for fate in ("processed", "superseded", "expired", "rejected"))
    assert told["frames_sent"] == answered > 100
    assert told["lost"] == 0
    assert camera.events("waiting") == []


class Film:
    """Pictures as fast as they are taken, until it is closed; the newest is sent."""

    def __init__(self) -> None:
        self._stop = Event()

    def frames(self) -> Iterator[Picture]:
        for number in count():
            if self._stop.wait(0.01):
                return
            yield jpeg_picture(pictures.jpeg(pictures.flat(number % 256)))

    def close(self) -> None:
        self._stop.set()


def arm(site: Site, camera: str, folder: Path) -> None:
    portrait = folder / "portrait.jpg"
    Image.fromarray(skimage.data.astronaut()).save(portrait, quality=95)  # type: ignore[no-untyped-call]
    deployment = site.add_deployment(camera)
    enrolled = ("admin", "watchlist", "enrol", deployment, "A-17", str(portrait))
    site.cordon(*enrolled, "--category", "wanted")
    site.arm(deployment)
