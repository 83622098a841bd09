"""What authority keeps in the registry: the record types and their tables. Of the people who act
only the user id is here, of those who are looked for not even that: see `watchlist_records`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from cordon_server.store.environment import Table


class CameraRecord(msgspec.Struct, frozen=True):
    """A registered camera."""

    camera_id: str
    display_name: str
    create_time: datetime
    revoke_time: datetime | None = None


class Actor(msgspec.Struct, frozen=True):
    """Who did something, and where."""

    user_id: str
    machine: str
    """The workstation's identity."""


class State(StrEnum):
    """Where in its life a deployment is."""

    DRAFT = "draft"
    ARMED = "armed"
    ENDED = "ended"


class DeploymentRecord(msgspec.Struct, frozen=True):
    """A deployment: the manifest that stays when its biometrics are gone (R3)."""

    deployment_id: str
    location: str
    cameras: tuple[str, ...]
    threshold: float
    start_time: datetime
    end_time: datetime
    create_time: datetime
    creator: Actor
    state: State = State.DRAFT
    arm_time: datetime | None = None
    ended_time: datetime | None = None
    entry_count: int = 0
    reference_count: int = 0
    match_count: int = 0
    assignees: tuple[str, ...] = ()
    """User ids of those who work on it, its creator among them."""


CAMERAS = Table("cameras", CameraRecord)
DEPLOYMENTS = Table("deployments", DeploymentRecord)
