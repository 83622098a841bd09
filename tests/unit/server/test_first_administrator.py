"""A new site has one person, who registers all others; nobody else ever finds the door open."""

from __future__ import annotations

import json
from concurrent.futures import Executor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cordon_server.cli import app
from cordon_server.identity.names import PersonRole
from cordon_server.identity.passwords import HASHER
from cordon_server.identity.users import USERS, UserRecord, UserState, all_users
from tests.unit.server.persons import PASSWORD
from tests.unit.server.rooms import open_environment

pytestmark = pytest.mark.slow


def init(folder: Path, *options: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["init", str(folder), "--json", *options])
    return done.exit_code, done.output


async def people_of(folder: Path, writer: Executor) -> list[UserRecord]:
    registry = open_environment(folder / "data" / "registry", (USERS,), writer)
    found = registry.read_now(lambda txn: list(all_users(txn)))
    await registry.close()
    return found


async def test_a_password_that_was_made_is_told_once_and_good_for_changing_it(
    tmp_path: Path, writer: Executor
) -> None:
    code, output = init(tmp_path / "site")

    told = json.loads(output)
    (first,) = await people_of(tmp_path / "site", writer)
    assert code == 0
    assert (first.user_id, first.roles) == (told["administrator"], (PersonRole.ADMINISTRATOR,))
    assert (first.state, first.must_change_password) == (UserState.ACTIVE, True)
    assert HASHER.verify(first.password_hash, told["administrator_password"])
    for file in (tmp_path / "site").rglob("*"):
        assert (
            not file.is_file() or told["administrator_password"].encode() not in file.read_bytes()
        )


async def test_a_password_from_a_file_is_not_told(tmp_path: Path, writer: Executor) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")

    options = ("--admin", "boss", "--admin-password-file", str(tmp_path / "password"))
    code, output = init(tmp_path / "site", *options)

    (first,) = await people_of(tmp_path / "site", writer)
    assert (code, json.loads(output)["administrator_password"]) == (0, None)
    assert (first.user_id, first.must_change_password) == ("boss", False)
    assert HASHER.verify(first.password_hash, PASSWORD)


@pytest.mark.parametrize(
    ("name", "password"),
    [("boss", "short"), ("boss", "boss-boss-boss"), ("Boss", PASSWORD), ("../boss", PASSWORD)],
)
def test_a_bad_name_or_password_makes_nothing(tmp_path: Path, name: str, password: str) -> None:
    (tmp_path / "password").write_text(password)

    options = ("--admin", name, "--admin-password-file", str(tmp_path / "password"))
    code, _ = init(tmp_path / "site", *options)

    assert code != 0
    assert not (tmp_path / "site").exists()
