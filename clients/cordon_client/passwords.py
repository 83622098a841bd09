"""Where a password comes from: a file, standard input, or the person at the terminal.

No password is ever an argument: those are in the process list and in the shell's history.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from cordon_client.errors import ClientError, ExitCode
from cordon_client.identity import check_private_file

VARIABLE = "CORDON_PASSWORD_FILE"
"""Names a file whose first line is the password, for scripts: nobody is asked then."""

_BYTES_MAX = 1024

PasswordFileOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        envvar=VARIABLE,
        help="Its first line is the password; - for standard input. Else you are asked.",
    ),
]


def read_password(file: Path) -> str:
    """The first line of a file that nobody else can read, or of standard input where it is "-"."""
    if str(file) == "-":
        return _first_line(sys.stdin.buffer.read(_BYTES_MAX), "standard input")
    check_private_file(file)
    with file.open("rb") as content:
        return _first_line(content.read(_BYTES_MAX), str(file))


def get_password(question: str, file: Path | None) -> str:
    """From the file, else from the person; a ClientError where there is neither."""
    if file is not None:
        return read_password(file)
    if not can_ask():
        raise ClientError(
            "A password is needed, and there is no terminal to ask at.",
            why=f"Scripts name a file with --password-file or {VARIABLE}.",
            hint=f"{VARIABLE}=FILE cordon …",
            exit_code=ExitCode.SIGN_IN,
        )
    return ask(question)


def get_new_password(file: Path | None) -> str:
    """A password to be set: from the file, else asked for twice."""
    if file is not None:
        return read_password(file)
    first = get_password("New password", None)
    if ask("The new password again") != first:
        raise ClientError("The two differ; nothing was changed.", exit_code=ExitCode.USAGE)
    return first


def can_ask() -> bool:
    """Whether a person is at the terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> str:
    """What the person types, unseen."""
    from getpass import getpass

    return getpass(f"{question}: ", stream=sys.stderr)


def file_of_script() -> Path | None:
    """The file that a script named for all its commands."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


def new_password() -> str:
    """A password of 100 random bits that can be read out over a telephone."""
    letters = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 of them; no l, o, 0 or 1 to mistake.
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


def _first_line(content: bytes, origin: str) -> str:
    try:
        line = content.decode().split("\n", 1)[0].rstrip("\r")
    except UnicodeDecodeError as error:
        raise _unusable(origin, "It is not UTF-8.") from error
    if not line:
        raise _unusable(origin, "Its first line is empty.")
    return line


def _unusable(origin: str, why: str) -> ClientError:
    return ClientError(f"No password can be read from {origin}.", why, exit_code=ExitCode.USAGE)
