"""The kinds of rules that fields have: what a value must look like, in words. Knows no message."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from cordon_server.identity.names import NAME_PATTERN, parse_spiffe_id
from cordon_server.identity.passwords import LENGTH_MAX as PASSWORD_CHARACTERS_MAX

Rule = Callable[[Any], str | None]
"""Takes a field's value; returns the rule in words when the value breaks it."""

EXTERNAL_REF_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
TEXT_CHARACTERS_MAX = 200
RATIONALE_CHARACTERS_MAX = 500
LONG_TEXT_CHARACTERS_MAX = 1000
ZONE_CORNERS_MAX = 32
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def matches(pattern: str, words: str) -> Rule:
    """The whole value matches the pattern."""
    compiled = re.compile(pattern)
    return lambda value: None if compiled.fullmatch(value) else f"must be {words}"


def one_of(*values: int) -> Rule:
    """An enum value that means something."""
    return lambda value: None if value in values else "must be one of the named values"


def optional(rule: Rule) -> Rule:
    """The rule, unless the value is empty."""
    return lambda value: rule(value) if value else None


def each(rule: Rule, count_max: int) -> Rule:
    """The rule for every item of a repeated field, and a bound on their number."""

    def check(values: Any) -> str | None:
        if len(values) > count_max:
            return f"must hold {count_max} items at most"
        return next((broken for value in values if (broken := rule(value))), None)

    return check


def some(rule: Rule, count_max: int) -> Rule:
    """The same for a field that needs one item at least."""
    several = each(rule, count_max)
    return lambda values: several(values) if values else "must not be empty"


def between(low: float, high: float) -> Rule:
    """A finite number within bounds, both included."""
    return lambda value: (
        None
        if math.isfinite(value) and low <= value <= high
        else f"must be from {low:g} to {high:g}"
    )


def one_line(characters_max: int) -> Rule:
    """One line of text, empty ones included."""
    return lambda value: (
        None
        if len(value) <= characters_max and value.isprintable()
        else f"must be one line of {characters_max} characters at most"
    )


text = one_line(TEXT_CHARACTERS_MAX)
rationale = one_line(RATIONALE_CHARACTERS_MAX)
long_text = one_line(LONG_TEXT_CHARACTERS_MAX)


def reason_text(value: str) -> str | None:
    """A line that says why."""
    return text(value) if value.strip() else "must say why"


def line(value: str) -> str | None:
    """A line that says something."""
    return text(value) if value.strip() else "must not be empty"


def exactly(count: int) -> Rule:
    """So many bytes."""
    return lambda value: None if len(value) == count else f"must have {count} bytes"


def secret(value: str) -> str | None:
    """A password as it is given; whether it is good enough is for who takes it as a new one."""
    fits = 0 < len(value) <= PASSWORD_CHARACTERS_MAX
    return None if fits else f"must have 1 to {PASSWORD_CHARACTERS_MAX} characters"


def present(value: Any) -> str | None:
    """Not empty."""
    return None if value else "must not be empty"


def request_id(value: str) -> str | None:
    return None if not value or _UUID.fullmatch(value) else "must be a UUID or empty"


def day(value: str) -> str | None:
    """A day of this age, or nothing."""
    if not value:
        return None
    try:
        fits = date.fromisoformat(value).isoformat() == value and value >= "1900"
    except ValueError:
        fits = False
    return None if fits else "must be a date like 2026-01-31"


def spiffe_id(value: str) -> str | None:
    return None if parse_spiffe_id(value) else "must be spiffe://SITE/ROLE/NAME"


def picture_point(value: Any) -> str | None:
    inside = between(0, 100_000)
    return None if value is None else inside(value.x) or inside(value.y)


def corners(values: Any) -> str | None:
    fits = 2 <= len(values) <= ZONE_CORNERS_MAX
    return None if fits else f"must be 2 corners of a box or up to {ZONE_CORNERS_MAX} of a polygon"


_LABEL = "lower-case letters, digits and hyphens, 63 at most, no hyphen at either end"
_REF = "letters, digits, dots, underscores and hyphens, 63 at most, starting with one of the former"
label = matches(NAME_PATTERN, _LABEL)
camera_name = matches(f"cameras/{NAME_PATTERN}", "cameras/NAME")
deployment_name = matches(f"deployments/{NAME_PATTERN}", "deployments/NAME")
user_name = matches(f"users/{NAME_PATTERN}", "users/NAME")
external_ref = matches(EXTERNAL_REF_PATTERN, _REF)
entry_name = matches(
    f"deployments/{NAME_PATTERN}/entries/{EXTERNAL_REF_PATTERN}",
    "deployments/NAME/entries/REF",
)
watchlist_name = matches(f"deployments/{NAME_PATTERN}/watchlist", "deployments/NAME/watchlist")
proposal_name = matches(
    rf"deployments/{NAME_PATTERN}/proposals/[0-9a-f-]{{36}}", "deployments/NAME/proposals/UUID"
)
hex_digest = matches(r"[0-9a-fA-F]{64}", "a SHA-256 digest, 64 hexadecimal digits")
match_name = matches(
    rf"deployments/{NAME_PATTERN}/matches/[1-9][0-9]{{0,18}}", "deployments/NAME/matches/SEQUENCE"
)
hold_name = matches(f"holds/{NAME_PATTERN}", "holds/NAME")
certificate_name = matches(r"certificates/[0-9a-f]{64}", "certificates/SHA256")
