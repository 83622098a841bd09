"""Times between people, Python and the protocol."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cordon_client.errors import ClientError, ExitCode

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp


def moment(message: Message, field: str) -> datetime | None:
    """A Timestamp field as an aware datetime; None where it is absent."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    return stamp.ToDatetime(tzinfo=UTC)


def parse_time(text: str) -> datetime:
    """ "2026-01-31 18:00" (local time) or RFC 3339, as an aware datetime."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise ClientError(
            f"{text!r} is not a time.",
            why="It has to read like '2026-01-31 18:00' (local) or '2026-01-31T18:00:00Z'.",
            hint="date --iso-8601=seconds",
            exit_code=ExitCode.USAGE,
        ) from error


def parse_life(text: str) -> timedelta:
    """ "30d", "24h", "90m" or "60s" as a duration."""
    found = re.fullmatch(r"([0-9]{1,6})([dhms])", text)
    if found is None:
        raise ClientError(
            f"{text!r} is not a length of time.",
            why="It has to be a number and d, h, m or s, as in 30d or 12h.",
            hint="cordon admin cert issue --help",
            exit_code=ExitCode.USAGE,
        )
    unit = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}[found[2]]
    return timedelta(**{unit: int(found[1])})
