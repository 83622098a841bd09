"""What the record keeps: an act of a person, of a machine, or of the server by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

Fact = str | int | float | bool


class AuditClass(StrEnum):
    """What an act does to personal data, in the words that the record has to use (R12)."""

    COLLECTION = "collection"
    ALTERATION = "alteration"
    CONSULTATION = "consultation"
    DISCLOSURE = "disclosure"
    COMBINATION = "combination"
    ERASURE = "erasure"
    NONE = "none"
    """Nothing; the row of the permission table says why."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act, as it is recorded before its effect can be seen."""

    kind: AuditClass
    action: str
    """The full method name of a call, or `room.verb` of what is done: `deployment.armed`."""
    deployment_id: str = ""
    """Empty where it concerns no deployment."""
    resource: str = ""
    """The resource name that it acts on."""
    machine: str = ""
    """The SPIFFE identity that it came from; empty for the server itself."""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    """What reports are computed from. Kept for ever: nothing about a person."""
    personal: Mapping[str, str] = field(default_factory=dict)
    """Who acted (`person`), why (`justification`), on whom (`entry`): sealed before it is hashed,
    so that the record stays whole when the key is gone."""


class Recorder(Protocol):
    """Where acts are recorded."""

    async def record(self, act: Act) -> int:
        """The act's index in the record; it is durable when this returns.

        Raises `NotRecorded` when it could not be written: the act must not take place.
        """
        ...
