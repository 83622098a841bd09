"""Who is signed in: the file, the token that calls carry, and when it is renewed."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cordon_client.errors import ClientError, ExitCode
from cordon_client.session import (
    FILE,
    RENEW_BEFORE,
    CurrentToken,
    Session,
    forget_session,
    load_session,
    save_session,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SESSION = Session(
    user="users/anna",
    session_id="s1",
    token="secret-4711",
    token_expire_time=NOW + timedelta(minutes=10),
    session_expire_time=NOW + timedelta(hours=10),
)


def test_a_session_comes_back_as_it_was_kept_and_is_its_owners_alone(tmp_path: Path) -> None:
    save_session(tmp_path, SESSION)

    assert load_session(tmp_path) == SESSION
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_nobody_is_signed_in_before_and_after(tmp_path: Path) -> None:
    assert load_session(tmp_path) is None
    save_session(tmp_path, SESSION)
    forget_session(tmp_path)
    forget_session(tmp_path)

    assert load_session(tmp_path) is None


def test_a_session_that_others_may_read_is_refused(tmp_path: Path) -> None:
    save_session(tmp_path, SESSION)
    (tmp_path / FILE).chmod(0o640)

    with pytest.raises(ClientError) as refused:
        load_session(tmp_path)

    assert "chmod 600" in refused.value.hint


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"user": 1}', "\xff"])
def test_a_damaged_session_says_to_sign_in_again(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).touch(mode=0o600)
    (tmp_path / FILE).write_text(content, encoding="latin-1")

    with pytest.raises(ClientError) as refused:
        load_session(tmp_path)

    assert refused.value.exit_code is ExitCode.SIGN_IN
    assert "sign in again" in refused.value.hint


def test_a_token_is_due_two_minutes_before_its_end() -> None:
    due = SESSION.token_expire_time - RENEW_BEFORE

    assert timedelta(minutes=2) == RENEW_BEFORE
    assert not SESSION.is_due(due - timedelta(seconds=1))
    assert SESSION.is_due(due)


def test_a_session_shows_its_token_to_nobody_who_prints_it() -> None:
    assert "4711" not in repr(SESSION)


def test_calls_carry_the_token_of_now_whoever_renewed_it(tmp_path: Path) -> None:
    current = CurrentToken(tmp_path)

    nobody = current.read()
    save_session(tmp_path, SESSION)
    first = current.read()
    save_session(tmp_path, replace(SESSION, token="next"))
    second = current.read()
    os.unlink(tmp_path / FILE)

    assert (nobody, first, second, current.read()) == ("", "secret-4711", "next", "")
