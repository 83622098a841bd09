"""The admin command line as its users type it, against a real server."""

from __future__ import annotations

import csv
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import skimage.data
from cryptography import x509
from PIL import Image

if TYPE_CHECKING:
    from tests.helpers.site import Site

pytestmark = pytest.mark.slow  # Each runs commands as processes.


@pytest.fixture(scope="session")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A public-domain portrait: one good face."""
    path = tmp_path_factory.mktemp("pictures") / "portrait.jpg"
    Image.fromarray(skimage.data.astronaut()).save(path, quality=95)  # type: ignore[no-untyped-call]
    return path


@pytest.fixture(scope="session")
def landscape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture with no face in it."""
    path = tmp_path_factory.mktemp("pictures") / "landscape.png"
    Image.effect_noise((320, 240), 40).save(path)
    return path


def test_a_camera_is_added_listed_shown_and_revoked(site: Site) -> None:
    name = site.new_name("gate")

    added = site.cordon_json("admin", "camera", "add", name, "--display-name", "North, left")
    listed = site.cordon_json("admin", "camera", "list")
    revoked = site.cordon_json("admin", "camera", "revoke", name, "--confirm", name)
    shown = site.cordon_json("admin", "camera", "show", name)

    assert added["name"] == f"cameras/{name}"
    assert added["display_name"] == "North, left"
    assert name in [camera["id"] for camera in listed]
    assert revoked["state"] == shown["state"] == "revoked"
    assert shown["revoke_time"].endswith("Z")


def test_a_table_names_the_camera_and_talk_stays_on_standard_error(site: Site) -> None:
    name = site.new_name("gate")

    added = site.cordon("admin", "camera", "add", name)
    names = site.cordon("admin", "camera", "list", "-o", "name")

    assert "cordon camera enrol cordon1." in added.stderr
    assert "cordon admin" not in added.stdout
    assert f"cameras/{name}" in names.stdout.splitlines()


def test_a_dry_run_checks_and_changes_nothing(site: Site) -> None:
    name = site.new_name("gate")
    taken = site.add_camera()[0]

    site.cordon("admin", "camera", "add", name, "--dry-run")
    refused = site.cordon("admin", "camera", "add", taken, "--dry-run", code=7)

    assert "already" in refused.stderr
    site.cordon("admin", "camera", "show", name, code=6)


def test_a_name_that_breaks_the_rules_is_refused_in_words(site: Site) -> None:
    refused = site.cordon("admin", "camera", "add", "North Gate", code=1)

    assert refused.stdout == ""
    assert refused.stderr.startswith("error: ")
    assert "camera_id" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_what_cannot_be_undone_wants_the_name(site: Site) -> None:
    name = site.add_camera()[0]

    unasked = site.cordon("admin", "camera", "revoke", name, code=2)
    wrong = site.cordon("admin", "camera", "revoke", name, "--confirm", "another", code=2)

    assert f"hint: cordon admin camera revoke {name} --confirm {name}" in unasked.stderr
    assert "nothing was changed" in wrong.stderr
    assert site.cordon_json("admin", "camera", "show", name)["state"] == "active"


def test_a_deployment_lives_from_draft_to_its_end(site: Site, portrait: Path) -> None:
    camera = site.add_camera()[0]
    name = site.add_deployment(camera, options=("--hours", "2", "--threshold", "0.5"))
    zone = f"{camera}=0.25,0.25:0.75,0.75"

    deployment = ("admin", "deployment")
    empty = site.cordon(*deployment, "submit", name, code=7)
    site.cordon("admin", "watchlist", "enrol", name, "A-17", str(portrait), "--category", "wanted")
    unsigned = site.cordon(*deployment, "arm", name, code=7)
    submitted = site.cordon_json(*deployment, "submit", name)
    key = site.cordon_json("admin", "signing-key", "make")
    site.cordon("admin", "signing-key", "make", "--replace")
    unconfirmed = site.cordon(*deployment, "authorise", name, code=2)
    site.cordon(*deployment, "authorise", name, "--dry-run")
    authorised = site.cordon_json(*deployment, "authorise", name, "--confirm", name)
    changed = site.cordon_json(*deployment, "update", name, "--hours", "1", "--zone", zone)
    site.arm(name)
    published = site.cordon_json(*deployment, "publish", name, "--at", "the market's gate")
    site.cordon("control", "halt", name)
    halted = site.cordon_json(*deployment, "halt", name)
    resumed = site.cordon_json(*deployment, "resume", name)
    listed = site.cordon_json(*deployment, "list")
    ended = site.cordon_json(*deployment, "end", name, "--confirm", name)

    assert "cordon admin watchlist import" in empty.stderr
    assert f"cordon admin deployment submit {name}" in unsigned.stderr
    assert submitted["state"] == "submitted"
    assert submitted["list_digest"]
    assert len(bytes.fromhex(key["public_key"])) == 32
    assert Path(key["file"]).stat().st_mode & 0o777 == 0o600
    assert f"--confirm {name}" in unconfirmed.stderr
    assert (authorised["state"], authorised["officer"]) == ("authorised", "users/approver")
    assert (changed["state"], changed["digest"], changed["zones"]) == ("draft", None, [zone])
    assert published["notice_place"] == "the market's gate"
    assert (halted["state"], halted["halt_cause"]) == ("halted", "person")
    assert (resumed["state"], resumed["halt_cause"]) == ("armed", None)
    assert (resumed["entry_count"], resumed["threshold"]) == (1, 0.5)
    assert name in [each["id"] for each in listed]
    assert ended["state"] == "erased"
    assert site.cordon_json(*deployment, "show", name)["state"] == "erased"


@pytest.mark.serves("R25")
def test_the_policy_is_explained_and_its_digest_checked(site: Site) -> None:
    table = site.cordon("admin", "policy", "check")
    policy = site.cordon_json("admin", "policy", "check")
    site.cordon("admin", "policy", "check", "--digest", policy["digest"])
    other = site.cordon("admin", "policy", "check", "--digest", "0" * 64, code=7)

    assert "authority.window_h_max" in table.stdout
    assert policy["policy"]["name"] == "demo"
    assert policy["digest"] in other.stderr


def test_an_end_and_hours_together_are_a_usage_error(site: Site) -> None:
    create = ("admin", "deployment", "create", "x", "--location", "x", "--camera", "x")

    site.cordon(*create, "--hours", "1", "--end", "2099-01-01 00:00", code=2)
    site.cordon(*create, "--end", "soon", code=2)


def test_a_subject_is_enrolled_once_listed_shown_and_removed(site: Site, portrait: Path) -> None:
    deployment = site.add_deployment(site.add_camera()[0])
    enrol = ("watchlist", "enrol", deployment, "A-17", str(portrait), "--category", "wanted")

    first = site.cordon_json("admin", *enrol)
    second = site.cordon_json("admin", *enrol)
    listed = site.cordon_json("admin", "watchlist", "list", deployment)
    shown = site.cordon_json("admin", "watchlist", "show", deployment, "A-17")
    site.cordon("admin", "watchlist", "remove", deployment, "A-17", "--dry-run")
    site.cordon("admin", "watchlist", "remove", deployment, "A-17", "--confirm", "A-17")

    assert [row["outcome"] for row in first] == ["accepted"]
    assert [row["outcome"] for row in second] == ["already_enrolled"]
    assert [(entry["external_ref"], entry["category"]) for entry in listed] == [("A-17", "wanted")]
    assert shown["references"][0]["inter_eye_px"] > 20
    assert site.cordon_json("admin", "watchlist", "list", deployment) == []


def test_a_picture_is_checked_without_being_enrolled(
    site: Site, portrait: Path, landscape: Path
) -> None:
    deployment = site.add_deployment(site.add_camera()[0])
    check = ("admin", "watchlist", "check", deployment, str(portrait), str(landscape), "-o", "json")

    good, bad = json.loads(site.cordon(*check, code=3).stdout)

    assert good["is_usable"]
    assert [reason["code"] for reason in bad["reasons"]] == ["no_face"]
    assert site.cordon_json("admin", "watchlist", "list", deployment) == []


def test_an_import_reports_each_row_and_goes_on_past_bad_ones(
    site: Site, portrait: Path, landscape: Path, tmp_path: Path
) -> None:
    deployment = site.add_deployment(site.add_camera()[0])
    table = tmp_path / "list.csv"
    table.write_text(
        "external_ref,image,category,threshold\n"
        f"A-1,{portrait},wanted,0.6\n"
        f"A-2,{landscape},wanted,\n"
        f"A-3,{portrait},wanted,\n"
        "A-4,nowhere.jpg,wanted,\n"
        f"A-5,{portrait},nonsense,\n"
    )
    run = ("admin", "watchlist", "import", deployment, str(table), "-o", "json")
    report = tmp_path / "report.csv"

    rehearsed = json.loads(site.cordon(*run, "--dry-run", code=3).stdout)
    listed_before = site.cordon_json("admin", "watchlist", "list", deployment)
    done = site.cordon(*run, "--report", str(report), code=3)
    again = json.loads(site.cordon(*run, code=3).stdout)

    rows = json.loads(done.stdout)
    expected: list[tuple[int, str, list[str]]] = [
        (2, "accepted", []),
        (3, "rejected", ["no_face"]),
        (4, "rejected", ["duplicate"]),
        (5, "rejected", ["bad_field"]),
        (6, "rejected", ["category_unknown"]),
    ]
    assert [fate(row) for row in rows] == expected
    assert rehearsed[0]["outcome"] == "accepted"
    assert listed_before == []
    assert rows[2]["reasons"][0]["score"] > 0.9
    assert "A-1" in rows[2]["reasons"][0]["reference"]
    assert "1 accepted, 0 already enrolled, 4 rejected" in done.stderr
    assert fate(again[0]) == (2, "already_enrolled", [])
    entry = site.cordon_json("admin", "watchlist", "show", deployment, "A-1")
    assert entry["threshold"] == pytest.approx(0.6)
    with report.open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["outcome"] for row in written] == [row["outcome"] for row in rows]
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def fate(row: dict[str, Any]) -> tuple[int, str, list[str]]:
    return row["row"], row["outcome"], [reason["code"] for reason in row["reasons"]]


def test_an_import_prints_json_lines_as_they_come(site: Site, portrait: Path) -> None:
    deployment = site.add_deployment(site.add_camera()[0])
    folder = portrait.parent / "folder"
    (folder / "A-17").mkdir(parents=True, exist_ok=True)
    (folder / "A-17" / "1.jpg").write_bytes(portrait.read_bytes())
    run = ("admin", "watchlist", "import", deployment, str(folder), "--category", "wanted")

    lines = site.cordon(*run, "-o", "jsonl").stdout.splitlines()

    assert [json.loads(line)["outcome"] for line in lines] == ["accepted"]


@pytest.mark.parametrize("role", ["camera", "control", "admin"])
def test_a_certificate_is_issued_into_a_private_folder(
    site: Site, role: str, tmp_path: Path
) -> None:
    name = site.add_camera()[0] if role == "camera" else site.new_name("anna")
    out = tmp_path / "identity"
    issue = ("admin", "cert", "issue", f"{role}/{name}", "--out", str(out))

    site.cordon(*issue, "--dry-run")
    assert not out.exists()
    site.cordon(*issue, "--life", "3h")

    certificate = x509.load_pem_x509_certificate((out / "cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert uris == [f"spiffe://test.example/{role}/{name}"]
    assert len(list(names)) == 1
    assert 3 <= life.total_seconds() / 3600 < 3.1
    assert {stat.S_IMODE(file.stat().st_mode) for file in out.iterdir()} == {0o600}
    doctor = site.cordon("doctor", identity=out)
    assert doctor.stdout.count("ok ") == 9


def test_an_identity_is_not_overwritten_unless_told_so(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "identity"
    machine = f"control/{site.new_name('anna')}"
    issue = ("admin", "cert", "issue", machine, "--out", str(out))
    site.cordon(*issue)
    key = (out / "key.pem").read_bytes()

    refused = site.cordon(*issue, code=7)
    assert (out / "key.pem").read_bytes() == key
    site.cordon(*issue, "--force")

    assert "--force" in refused.stderr
    assert (out / "key.pem").read_bytes() != key


def test_another_role_is_not_permitted(site: Site) -> None:
    anna = site.identity("control", "anna")

    refused = site.cordon("admin", "camera", "add", site.new_name("gate"), identity=anna, code=5)

    assert "spiffe://test.example/control/anna" in refused.stderr


def test_status_shows_the_server_at_a_glance(site: Site) -> None:
    camera, identity = site.add_camera()

    found = site.cordon_json("status")
    table = site.cordon("status").stdout
    as_camera = site.cordon_json("status", identity=identity)

    assert found["health"] == "serving"
    assert camera in [each["id"] for each in found["cameras"]]
    assert camera in table
    assert as_camera["health"] == "serving"


def test_a_server_that_is_not_there_is_told_in_words(site: Site) -> None:
    gone = site.cordon("status", "--server", "127.0.0.1:9", code=8)

    assert "No server answers at 127.0.0.1:9" in gone.stderr
    assert "hint: " in gone.stderr
    assert "Traceback" not in gone.stderr


def test_debug_shows_the_traceback(site: Site) -> None:
    shown = site.cordon("--debug", "admin", "camera", "show", "nobody", code=6)

    assert "Traceback" in shown.stderr
    assert os.linesep + "error: " in shown.stderr
