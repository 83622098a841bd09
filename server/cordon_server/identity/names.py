"""SPIFFE identities of a site: spiffe://{site}/{role}/{name}."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

NAME_PATTERN = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""What cameras, deployments and clients may be called: a DNS label."""

_SPIFFE_ID = re.compile(rf"spiffe://([a-z0-9.-]+)/([a-z]+)/({NAME_PATTERN})")


class Role(StrEnum):
    """What a client is."""

    CAMERA = "camera"
    CONTROL = "control"
    ADMIN = "admin"


class PersonRole(StrEnum):
    """What a person may do; a certificate's role says from where."""

    OPERATOR = "operator"
    SUPERVISOR = "supervisor"
    WATCHLIST_OFFICER = "watchlist_officer"
    AUTHORISING_OFFICER = "authorising_officer"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """Who a certificate stands for."""

    site: str
    role: Role
    name: str

    def __str__(self) -> str:
        return f"spiffe://{self.site}/{self.role}/{self.name}"


def parse_spiffe_id(uri: str) -> SpiffeId | None:
    """The identity that a URI names, or None when it names none of ours."""
    match = _SPIFFE_ID.fullmatch(uri)
    if match is None or match[2] not in set(Role):
        return None
    return SpiffeId(match[1], Role(match[2]), match[3])
