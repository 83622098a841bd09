"""What authority keeps on disk: the record types and their tables. Of the people who act only the
user id is here, of those who are looked for not even that."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from cordon_server.domain import Quality
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


class EntryRecord(msgspec.Struct, frozen=True):
    """A subject on a watchlist."""

    entry_id: str
    category: str
    create_time: datetime
    threshold: float | None = None


class ReferenceRecord(msgspec.Struct, frozen=True):
    """One enrolled picture of a subject; `vector` is its template as little-endian float32."""

    entry_id: str
    reference_id: str
    image_sha256: str
    quality: Quality
    create_time: datetime
    model_id: str
    vector: bytes


CAMERAS = Table("cameras", CameraRecord)
DEPLOYMENTS = Table("deployments", DeploymentRecord)

ENTRIES = Table("entries", EntryRecord)
REFERENCES = Table("references", ReferenceRecord)
REFERENCE_IMAGES = Table("reference_images", bytes)
"""JPEG of the face alone: what a person needs to compare, and no more (R26)."""
REFERENCE_BY_IMAGE = Table("reference_by_image", bytes)
"""The SHA-256 of the picture as given, digested under the deployment's key → key in REFERENCES."""


def reference_key(entry_id: str, reference_id: str) -> bytes:
    """The key of a reference; a slash cannot occur in either part."""
    return f"{entry_id}/{reference_id}".encode()
