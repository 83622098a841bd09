"""What is said of a subject and a picture beside the category: typed or in a CSV, then sent."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from cordon.v1 import watchlist_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SOURCES = ("custody", "court", "authority", "family", "own_record", "subject")
AGE_GROUPS = ("adult", "minor")


@dataclass(frozen=True, slots=True)
class Particulars:
    """As the server takes them; an empty one is not said."""

    lawful_source: str = ""
    rationale: str = ""
    requester: str = ""
    birth_date: str = ""
    age_group: str = ""
    expire_time: datetime | None = None
    captured_on: str = ""
    override_reason: str = ""

    def fill(self, message: watchlist_pb2.ImportRow) -> None:
        """Puts them into a row."""
        if self.lawful_source:
            value = f"LAWFUL_SOURCE_{self.lawful_source.upper()}"
            message.lawful_source = watchlist_pb2.LawfulSource.Value(value)
        if self.age_group:
            message.age_group = watchlist_pb2.AgeGroup.Value(f"AGE_GROUP_{self.age_group.upper()}")
        if self.expire_time is not None:
            message.expire_time.FromDatetime(self.expire_time)
        message.rationale = self.rationale
        message.requester = self.requester
        message.birth_date = self.birth_date
        message.captured_on = self.captured_on
        message.override_reason = self.override_reason

    def over(self, others: Particulars) -> Particulars:
        """These, and where one is not said the others'."""
        said = {f.name: getattr(self, f.name) or getattr(others, f.name) for f in fields(self)}
        return replace(self, **said)


NOTHING_SAID = Particulars()


def particulars(text: Mapping[str, str]) -> Particulars:
    """From words by name, passing over what is none of them; ValueError names the one that is
    wrong."""
    given: dict[str, str | datetime | None] = {
        name: read(name, text[name]) for name, read in _READ.items() if text.get(name)
    }
    return Particulars(**given)  # type: ignore[arg-type]  # each is read as its field is


def _word(*allowed: str) -> Callable[[str, str], str]:
    def read(name: str, given: str) -> str:
        word = given.strip().lower().replace("-", "_").replace(" ", "_")
        if word not in allowed:
            raise ValueError(f"{name} {given!r} is none of {', '.join(allowed)}")
        return word

    return read


def _text(name: str, given: str) -> str:
    return given.strip()


def _day(name: str, given: str) -> str:
    try:
        return date.fromisoformat(given.strip()).isoformat()
    except ValueError:
        raise ValueError(f"{name} {given!r} is not a date like 2026-01-31") from None


def _time(name: str, given: str) -> datetime:
    try:
        return datetime.fromisoformat(given.strip()).astimezone()
    except ValueError:
        raise ValueError(f"{name} {given!r} is not a time like '2026-01-31 18:00'") from None


_READ: dict[str, Callable[[str, str], str | datetime]] = {
    "lawful_source": _word(*SOURCES),
    "rationale": _text,
    "requester": _text,
    "birth_date": _day,
    "age_group": _word(*AGE_GROUPS),
    "expire_time": _time,
    "captured_on": _day,
    "override_reason": _text,
}
NAMES = tuple(_READ)
"""Columns of a CSV."""
