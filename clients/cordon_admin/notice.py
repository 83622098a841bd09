"""What the public is told of a deployment (R19): sign, leaflet and page, in plain words.

Everything comes from the authority; nothing here is typed a second time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cordon_admin.document import LANGUAGE, Figure, Section, Table, to_html
from cordon_admin.typeset import pdf, qr
from cordon_client.output import rfc3339

SCHEMA = "cordon.notice/1"
PAPERS = ("a3", "a4")
"""The sign is made for each."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is published of an authority."""

    deployment: str
    place: str
    start_time: datetime
    end_time: datetime
    purpose: str
    categories: tuple[str, ...]
    """Titles of who may be listed."""
    responsible: str
    """The organisation, or whoever answers for it."""
    lawful_basis: str
    complaints: str
    """How to complain, and to whom."""
    record_url: str
    """Where the record of the deployment is published."""
    policy: str
    policy_digest: str
    authority_digest: str
    match_hours_max: float
    """How long a match is kept at most."""

    @property
    def record(self) -> dict[str, Any]:
        """As JSON: what programs read."""
        return {
            "schema": SCHEMA,
            "lang": LANGUAGE,
            "deployment": self.deployment,
            "place": self.place,
            "start_time": rfc3339(self.start_time),
            "end_time": rfc3339(self.end_time),
            "purpose": self.purpose,
            "categories": list(self.categories),
            "responsible": self.responsible,
            "lawful_basis": self.lawful_basis,
            "complaints": self.complaints,
            "record_url": self.record_url,
            "match_hours_max": self.match_hours_max,
            "policy": self.policy,
            "policy_digest": self.policy_digest,
            "authority_digest": self.authority_digest,
        }


def to_sign(notice: Notice, paper: str) -> bytes:
    """The sign as a tagged PDF; raises `ClientError` where nothing is installed to make one."""
    words = {
        **_shared(notice),
        "paper": paper,
        "size": _size(notice),
        "title": "Live facial recognition in use here",
        "facts": [_fact(*fact) for fact in _facts(notice)],
        "pictogram": _PICTOGRAM,
        "pictogram_told": "A camera looking at a face",
    }
    return pdf("sign", words)


def to_leaflet(notice: Notice) -> bytes:
    """The leaflet as a tagged PDF; raises `ClientError` likewise."""
    words = {
        **_shared(notice),
        "title": "Live facial recognition: what it means for you",
        "facts": [_fact(*fact) for fact in _facts(notice)],
        "table_head": ["What", "Answer"],
        "parts": [section.record for section in _explained(notice)],
    }
    return pdf("leaflet", words)


def to_page(notice: Notice) -> str:
    """Sign and leaflet as a web page."""
    facts = Section("Where, when and why", table=Table(("What", "Answer"), tuple(_facts(notice))))
    more = Section(
        _MORE_HEADING,
        (f"{_MORE} {notice.record_url}",),
        figure=Figure(qr(notice.record_url), _qr_told(notice)),
    )
    return to_html(
        "Live facial recognition in use here",
        _LEAD,
        [facts, *_explained(notice), more],
        _small(notice),
    )


_LEAD = (
    "Cameras here compare the faces of people who pass with a list of people who are looked for. "
    "If your face is not on the list, it is forgotten within seconds and nobody is shown it."
)
_MORE = "The record of this deployment is published at"
_CHARACTERS_USUAL = 400
_WIDE = ("Where", "Who is responsible", "Questions and complaints")
"""Facts that have a line of the sign to themselves."""
_MORE_HEADING = "Read more, or look it up afterwards"


def when(start: datetime, end: datetime) -> str:
    """A window as people write it, in this computer's time zone."""
    first, last = start.astimezone(), end.astimezone()
    day = f"{first:%A} {first.day} {first:%B %Y}"
    if first.date() == last.date():
        return f"{day}, {first:%H:%M} to {last:%H:%M} ({last:%Z})"
    return f"{day}, {first:%H:%M}, to {last:%A} {last.day} {last:%B %Y}, {last:%H:%M} ({last:%Z})"


def _shared(notice: Notice) -> dict[str, Any]:
    return {
        "lang": LANGUAGE,
        "lead": _LEAD,
        "responsible": notice.responsible,
        "qr": qr(notice.record_url),
        "qr_told": _qr_told(notice),
        "more_heading": _MORE_HEADING,
        "more": _MORE,
        "url": notice.record_url,
        "small": _small(notice),
    }


def _facts(notice: Notice) -> list[tuple[str, str]]:
    return [
        ("Where", notice.place),
        ("When", when(notice.start_time, notice.end_time)),
        ("Why", notice.purpose),
        ("Who is looked for", "; ".join(notice.categories)),
        ("Lawful basis", notice.lawful_basis),
        ("Who is responsible", notice.responsible),
        ("Questions and complaints", notice.complaints),
    ]


def _explained(notice: Notice) -> list[Section]:
    return [
        Section(
            "What happens when you walk past",
            items=(
                "A computer measures each face that a camera sees and compares the measurements "
                "with those of the list. It is looking for the listed people and for nobody else.",
                "If you are not on the list, picture and measurements are dropped within seconds. "
                "They are not written to any disk and no person sees them.",
                "If the computer finds a likeness, a person compares the pictures first. Nobody is "
                "approached because a computer said so.",
                "Your age, sex, origin and mood are not estimated. Recordings are not searched.",
            ),
        ),
        Section(
            "What is kept",
            items=(
                f"Pictures of a likeness: {notice.match_hours_max:g} hours at most, unless a named "
                "person orders in writing that they are kept for a stated reason.",
                "The list: until this deployment ends. Then its key is destroyed, and nobody can "
                "read it any more.",
                "A record without faces or names: how many faces were seen, how many alerts there "
                "were, and how many of them were wrong. It is published.",
            ),
        ),
        Section(
            "If you are stopped",
            (
                "Ask for the receipt code of the alert. With it you can find out what the computer "
                "found, when, and what people decided, and complain about it.",
            ),
        ),
        Section(
            "Your rights",
            (
                "You can ask whether you were on the list, see what is held about you, object, and "
                "have mistakes put right. " + notice.complaints,
            ),
        ),
    ]


def _size(notice: Notice) -> float:
    """Of the sign's facts: 1 for as many words as usual, less where there are more."""
    characters = sum(len(words) for _, words in _facts(notice))
    return min(1.0, math.sqrt(_CHARACTERS_USUAL / characters))


def _qr_told(notice: Notice) -> str:
    return f"QR code for {notice.record_url}"


def _small(notice: Notice) -> str:
    return (
        f"Deployment {notice.deployment}. Policy {notice.policy}, {notice.policy_digest[:16]}. "
        f"Authority {notice.authority_digest[:16]}."
    )


def _fact(heading: str, words: str) -> dict[str, str | bool]:
    return {"heading": heading, "words": words, "is_wide": heading in _WIDE}


_PICTOGRAM = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 120" fill="none"
stroke="#ffffff" stroke-width="6" stroke-linecap="round" stroke-linejoin="round">
<path d="M8 30 V8 H30 M90 8 H112 V30 M112 90 V112 H90 M30 112 H8 V90"/>
<ellipse cx="60" cy="50" rx="20" ry="25"/>
<path d="M26 100 C28 82 42 80 60 80 C78 80 92 82 94 100"/>
<path d="M24 50 H34 M86 50 H96"/>
</svg>"""
