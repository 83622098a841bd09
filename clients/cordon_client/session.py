"""Who is signed in at an identity folder: `session.json`, with the token of the moment.

It knows the file, not the server. Whoever runs a command with the folder reads it afresh, so a
token that one process renewed is the token of all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cordon_client.errors import ClientError, ExitCode
from cordon_client.identity import check_private_file, write_private

if TYPE_CHECKING:
    from pathlib import Path

    from cordon.v1.identity_pb2 import Token

FILE = "session.json"
RENEW_BEFORE = timedelta(minutes=2)
"""So long before its end a token is renewed."""


@dataclass(frozen=True, slots=True)
class Session:
    """A person's session at one workstation."""

    user: str
    """ "users/{user}"."""
    session_id: str
    token: str = field(repr=False)
    token_expire_time: datetime
    session_expire_time: datetime
    """Sign in again then; a session that nobody renews ends earlier."""

    def is_due(self, now: datetime) -> bool:
        """Whether the token is to be renewed at `now`."""
        return now >= self.token_expire_time - RENEW_BEFORE


def from_token(user: str, token: Token) -> Session:
    """The session that a token opens or carries on."""
    return Session(
        user=user,
        session_id=token.session_id,
        token=token.token,
        token_expire_time=token.expire_time.ToDatetime(UTC),
        session_expire_time=token.session_expire_time.ToDatetime(UTC),
    )


def load_session(folder: Path) -> Session | None:
    """The folder's session, None where nobody is signed in; refused if others may read it."""
    path = folder / FILE
    if not path.exists():
        return None
    check_private_file(path)
    try:
        found = json.loads(path.read_bytes())
        times = ("token_expire_time", "session_expire_time")
        return Session(**found | {name: datetime.fromisoformat(found[name]) for name in times})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ClientError(
            f"{path} cannot be used.",
            "It is damaged, or of another version.",
            f"rm {path} (then sign in again)",
            exit_code=ExitCode.SIGN_IN,
        ) from error


def save_session(folder: Path, session: Session) -> None:
    """Replaces the folder's session; only its owner can read it."""
    values = asdict(session) | {
        "token_expire_time": session.token_expire_time.isoformat(),
        "session_expire_time": session.session_expire_time.isoformat(),
    }
    write_private(folder / FILE, json.dumps(values, indent=2).encode())


def forget_session(folder: Path) -> None:
    """Nobody is signed in here any more."""
    (folder / FILE).unlink(missing_ok=True)


class CurrentToken:
    """The token in a folder's session now; looks at the file again when it has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[int, int] | None = None
        self._token = ""

    def read(self) -> str:
        """The token, empty where nobody is signed in."""
        try:
            status = (self._folder / FILE).stat()
        except OSError:
            self._seen, self._token = None, ""
            return ""
        seen = (status.st_mtime_ns, status.st_ino)
        if seen != self._seen:
            session = load_session(self._folder)
            self._seen, self._token = seen, session.token if session else ""
        return self._token
