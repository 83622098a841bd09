"""Signing in as people at their workstations type it, against a real server."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cordon_client.session import FILE, load_session, save_session
from tests.helpers import people
from tests.helpers.site import Site

pytestmark = pytest.mark.slow  # Each runs commands as processes.

FIRST, OWN, NEXT = "first-harbour-violet-77", "lantern-meadow-quartz-31", "pepper-canyon-orbit-58"


@pytest.fixture
def passwords(tmp_path: Path) -> dict[str, str]:
    """Password to the file that holds it."""
    files = {}
    for number, password in enumerate((FIRST, OWN, NEXT)):
        file = tmp_path / f"{number}.password"
        file.touch(mode=0o600)
        file.write_text(f"{password}\n")
        files[password] = str(file)
    return files


def add_user(site: Site, passwords: dict[str, str], *roles: str) -> str:
    """A new person with a first password."""
    name = site.new_name("anna")
    given = [part for role in roles for part in ("--role", role)]
    site.cordon("admin", "user", "add", name, *given, "--password-file", passwords[FIRST])
    return name


def bare(site: Site, role: str) -> Path:
    """A workstation at which nobody is signed in."""
    name = site.new_name("station")
    folder = site.folder / "identities" / f"bare-{name}"
    people.issue(site.admin, role, name, folder)
    return folder


def test_a_first_password_is_changed_at_the_first_sign_in(
    site: Site, passwords: dict[str, str]
) -> None:
    name, desk = add_user(site, passwords, "operator"), bare(site, "control")
    sign_in = ("control", "sign-in", name, "--password-file")

    unchanged = site.cordon(*sign_in, passwords[FIRST], identity=desk, code=7)
    changing = ("--new-password-file", passwords[OWN], "-o", "json")
    done = json.loads(site.cordon(*sign_in, passwords[FIRST], *changing, identity=desk).stdout)
    worn = site.cordon(*sign_in, passwords[FIRST], identity=desk, code=4)

    assert "--new-password-file" in unchanged.stderr
    assert done["name"] == f"users/{name}"
    assert done["roles"] == ["operator"]
    assert stat.S_IMODE((desk / FILE).stat().st_mode) == 0o600
    assert "password is wrong" in worn.stderr


def test_who_am_i_tells_the_person_the_workstation_and_what_both_may(
    site: Site, passwords: dict[str, str]
) -> None:
    desk = bare(site, "control")

    before = site.cordon_json("control", "whoami", identity=desk)
    assert site.operator.exists()  # And so registered.
    people.sign_in(desk, "operator")
    after = site.cordon_json("control", "whoami", identity=desk)
    site.cordon("control", "sign-out", identity=desk)
    out = site.cordon_json("control", "whoami", identity=desk)

    assert before["name"] is out["name"] is None
    assert after["name"] == "users/operator"
    assert "/cordon.v1.MatchService/ListMatches" in after["methods"]
    assert "/cordon.v1.MatchService/ListMatches" not in before["methods"]
    assert not (desk / FILE).exists()


def test_a_command_without_a_person_says_how_to_sign_in(site: Site) -> None:
    desk = bare(site, "control")

    unary = site.cordon("control", "matches", "market", identity=desk, code=4)
    stream = site.cordon("watch", "market", identity=desk, code=4)
    glance = site.cordon("status", identity=desk)

    for refused in (unary, stream, glance):
        assert f"cordon control sign-in --identity {desk}" in refused.stderr


def test_an_expired_token_is_no_trouble_to_a_script_with_a_password_file(site: Site) -> None:
    session = load_session(site.officer)
    assert session is not None
    garbled = session.token[:-8] + "AAAAAAAA"
    save_session(site.officer, replace(session, token=garbled))

    listed = site.cordon("admin", "deployment", "list")

    assert "is over" in listed.stderr
    renewed = load_session(site.officer)
    assert renewed is not None
    assert renewed.token != garbled


def test_a_token_is_renewed_in_silence_when_little_is_left_of_it(site: Site) -> None:
    session = load_session(site.approver)
    assert session is not None
    soon = datetime.now(UTC) + timedelta(seconds=90)
    save_session(site.approver, replace(session, token_expire_time=soon))

    listed = site.cordon("admin", "deployment", "list", identity=site.approver)

    renewed = load_session(site.approver)
    assert renewed is not None
    assert renewed.token_expire_time > soon
    assert renewed.session_id == session.session_id
    assert "is over" not in listed.stderr


def test_people_are_trained_given_roles_locked_unlocked_and_revoked(
    site: Site, passwords: dict[str, str]
) -> None:
    name = add_user(site, passwords, "operator")
    user = ("admin", "user")

    trained = site.cordon_json(*user, "train", name, "2099-01-31T00:00:00Z")
    promoted = site.cordon_json(*user, "role", name, "operator", "supervisor")
    clash = site.cordon(*user, "role", name, "operator", "administrator", code=1)
    locked = site.cordon_json(*user, "lock", name)
    unlocked = site.cordon_json(*user, "unlock", name)
    unasked = site.cordon(*user, "revoke", name, code=2)
    revoked = site.cordon_json(*user, "revoke", name, "--confirm", name)
    listed = site.cordon_json(*user, "list")

    assert trained["training_expire_time"] == "2099-01-31T00:00:00.000Z"
    assert promoted["roles"] == ["operator", "supervisor"]
    assert "cannot be one person" in clash.stderr
    assert (locked["state"], unlocked["state"], revoked["state"]) == ("locked", "active", "revoked")
    assert f"--confirm {name}" in unasked.stderr
    assert name in [each["id"] for each in listed]


def test_a_password_is_changed_and_reset(site: Site, passwords: dict[str, str]) -> None:
    name, desk = add_user(site, passwords, "auditor"), bare(site, "admin")
    people.sign_in(desk, name, FIRST, OWN)

    site.cordon("admin", "passwd", "--new-password-file", passwords[NEXT], identity=desk)
    worn = ("admin", "sign-in", name, "--password-file", passwords[OWN])
    site.cordon(*worn, identity=desk, code=4)
    reset = site.cordon_json("admin", "user", "reset-password", name)

    assert reset["must_change_password"]
    assert len(reset["password"]) >= 20
    people.sign_in(desk, name, reset["password"], OWN)


def test_a_profile_is_an_identity_folder_with_a_name(site: Site, tmp_path: Path) -> None:
    home = tmp_path / "cordon" / "profiles" / "office"
    people.issue(site.admin, "admin", site.new_name("office"), home)
    site.environment["XDG_CONFIG_HOME"] = str(tmp_path)
    try:
        chosen = site.cordon_json("admin", "--profile", "office", "whoami")
        both = ("admin", "--profile", "office", "whoami", "--identity", str(home))
        twice = site.cordon(*both, code=2)
        odd = site.cordon("--profile", "../office", "admin", "whoami", code=2)
    finally:
        del site.environment["XDG_CONFIG_HOME"]

    assert chosen["spiffe_id"].startswith("spiffe://test.example/admin/office-")
    assert "two identities" in twice.stderr
    assert "cannot be a profile's name" in odd.stderr


def test_a_revoked_workstation_is_told_so_and_its_person_shut_out(site: Site) -> None:
    desk = bare(site, "control")
    assert site.operator.exists()  # And so registered.
    people.sign_in(desk, "operator")
    sha256 = site.cordon_json("control", "whoami", identity=desk)["certificate_sha256"]

    revoke = ("admin", "cert", "revoke", sha256, "--confirm", sha256)
    silent = site.cordon(*revoke, code=2)
    site.cordon(*revoke, "--reason", "lost on the train")
    shut_out = site.cordon("control", "whoami", identity=desk, code=4)

    assert "--reason" in silent.stderr
    assert "was revoked" in shut_out.stderr
    assert "hint: cordon control enrol TOKEN" in shut_out.stderr
