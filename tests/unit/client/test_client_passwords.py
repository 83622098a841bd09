"""Where passwords come from: never from an argument, never from a file that others may read."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from cordon_client import passwords
from cordon_client.errors import ClientError, ExitCode


def private(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("content", [b"pass word \n", b"pass word \r\nmore\n", b"pass word "])
def test_the_first_line_is_the_password_blanks_and_all(content: bytes, tmp_path: Path) -> None:
    assert passwords.read_password(private(tmp_path / "p", content)) == "pass word "


def test_standard_input_is_a_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe\n")))

    assert passwords.get_password("Password", Path("-")) == "from a pipe"


@pytest.mark.parametrize("content", [b"", b"\nsecond line\n", b"\xff\xfe\n"])
def test_a_file_without_a_password_is_told(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ClientError) as refused:
        passwords.read_password(private(tmp_path / "p", content))

    assert refused.value.exit_code is ExitCode.USAGE


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = private(tmp_path / "p", b"secret")
    file.chmod(0o604)

    with pytest.raises(ClientError, match="can be read by others"):
        passwords.read_password(file)


def test_without_a_terminal_a_script_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "can_ask", lambda: False)

    with pytest.raises(ClientError) as refused:
        passwords.get_password("Password", None)

    assert "--password-file" in refused.value.why
    assert refused.value.exit_code is ExitCode.SIGN_IN


def test_a_new_password_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["one", "one", "one", "another"])
    monkeypatch.setattr(passwords, "can_ask", lambda: True)
    monkeypatch.setattr(passwords, "ask", lambda question: next(typed))

    assert passwords.get_new_password(None) == "one"
    with pytest.raises(ClientError, match="differ"):
        passwords.get_new_password(None)


def test_passwords_made_up_are_long_and_never_the_same() -> None:
    made = {passwords.new_password() for _ in range(100)}

    assert len(made) == 100
    assert all(len(each.replace("-", "")) == 20 for each in made)
