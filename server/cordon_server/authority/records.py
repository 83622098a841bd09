"""What authority keeps in the registry: the record types and their tables. Of the people who act
only the user id is here, of those who are looked for not even that: see `watchlist_records`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from cordon_server.authority.terms import Actor as Actor
from cordon_server.authority.terms import (
    Halting,
    Publication,
    SignedAuthority,
    Submission,
    Terms,
)
from cordon_server.store.environment import Table


class CameraRecord(msgspec.Struct, frozen=True):
    """A registered camera."""

    camera_id: str
    display_name: str
    create_time: datetime
    revoke_time: datetime | None = None


class State(StrEnum):
    """Where in its life a deployment is; `moves` has the ways between."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    AUTHORISED = "authorised"
    ARMED = "armed"
    HALTED = "halted"
    ENDED = "ended"
    ERASED = "erased"


class DeploymentRecord(Terms, frozen=True, kw_only=True):
    """A deployment: the manifest that stays when its biometrics are gone (R3)."""

    deployment_id: str
    create_time: datetime
    creator: Actor
    state: State = State.DRAFT
    submission: Submission | None = None
    authority: SignedAuthority | None = None
    publication: Publication | None = None
    halting: Halting | None = None
    arm_time: datetime | None = None
    ended_time: datetime | None = None
    erase_time: datetime | None = None
    entry_count: int = 0
    reference_count: int = 0
    match_count: int = 0

    @property
    def until(self) -> datetime:
        """When it is over, whatever its state: the window's end or, before, the authority's."""
        return min(self.end_time, self.authority.expire_time) if self.authority else self.end_time

    @property
    def has_ended(self) -> bool:
        return self.state in (State.ENDED, State.ERASED)


CAMERAS = Table("cameras", CameraRecord)
DEPLOYMENTS = Table("deployments", DeploymentRecord)
