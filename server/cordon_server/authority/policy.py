"""Policy profiles: one TOML file that bounds every deployment of a server (R25).

A profile says everything: no field has a default, and a key that is not here is refused, so that
whoever reads the file has read the policy. Its digest stands in every record. Knows no deployment:
siblings are given plain values of it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cordon_server.authority.ceiling import PER_FACE_MAX
from cordon_server.domain import VOLUNTEER, ConfigInvalid

SHIPPED = ("uk-police", "eu-ai-act", "private-venue", "demo")
"""The profiles that come with Cordon, strictest first."""
POLICY_FILE_ENDING = ".toml"
"""What is named with it is a file and not one of the shipped."""
_FOLDER = Path(__file__).with_name("policies")

Word = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
"""An id that people type and records keep."""
Title = Annotated[str, Meta(min_length=1, max_length=200)]
Count = Annotated[int, Meta(ge=1)]
Maximum = Annotated[int, Meta(ge=0)]
"""0 where the policy sets none."""
Share = Annotated[float, Meta(gt=0, lt=1)]
Hours = Annotated[float, Meta(gt=0, le=24 * 366)]
DayHours = Annotated[float, Meta(gt=0, le=24)]
"""A watchlist ends with its deployment, after a day at the latest (R2)."""

EntryField = Literal["lawful_source", "rationale", "requester", "image_date", "birth"]
"""What an entry of a list can be asked for."""


class Category(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reason to be listed; the set is closed (R6)."""

    title: Title
    entries_max: Count
    minors: bool
    """Whether people under 18 may be listed for it, each with a second approval (R18)."""


class WatchlistPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may stand on a list."""

    entries_max: Count
    review_age_h_max: Annotated[float, Meta(ge=0, le=24 * 366)]
    """Age of the list's review at arming (R5); 0 asks for none beside the authority itself, which
    is a signature over that very list."""
    image_age_d_max: Maximum
    rationale_characters_min: Maximum
    fields_needed: tuple[EntryField, ...]
    proposal_rows_min: Maximum
    """So many pictures since the list was last reviewed come by a proposal, which a second person
    applies; 0 for no such rule."""


class ThresholdPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The floor of the threshold (R15)."""

    fpir_max: Share
    """How often a stranger's probe may match somebody on a list of this size."""


class FalseAlertPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ceiling on false alerts (R16)."""

    ceiling_per_face: Annotated[float, Meta(gt=0, le=PER_FACE_MAX)]
    confidence: Share


class AdjudicationPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who decides on a match (R10, R11)."""

    reviewers: Literal[1, 2]
    blind: bool
    """Whether name, category, instruction and score are withheld until the first judgement."""


class AuthorityPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What authorising takes."""

    window_h_max: DayHours
    urgent_h_max: Annotated[float, Meta(ge=0, le=24)]
    """Life of an urgent authority (R9); 0 where there is none."""
    impact_assessment: bool
    """Whether a valid one is referred to (R24)."""
    forecast: bool
    """Whether false alerts were forecast before (R17)."""


class NoticePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the public is told (R19)."""

    needed: bool
    exemption: bool
    """Whether the authority may exempt a deployment from it."""


class RetentionPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long matches are kept, at most and only while the deployment lasts (R4)."""

    match_h_max: Hours
    """Not judged, or undecided."""
    true_match_h_max: Hours
    false_match_h_max: Hours


class MeasurementPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What has to be measured before use (R28)."""

    preflight_tpir_min: Annotated[float, Meta(ge=0, le=1)]
    """Share of known pictures that each camera has to recognise; 0 asks for no test."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One profile."""

    name: Word
    version: Count
    """Raised with every change that is published."""
    title: Title
    purposes: dict[Word, Title]
    """What a deployment may be for; the set is closed (R7, R32)."""
    categories: dict[Word, Category]
    watchlist: WatchlistPolicy
    threshold: ThresholdPolicy
    false_alerts: FalseAlertPolicy
    adjudication: AdjudicationPolicy
    authority: AuthorityPolicy
    notice: NoticePolicy
    retention: RetentionPolicy
    measurement: MeasurementPolicy

    def __post_init__(self) -> None:
        for what, ids in (("purposes", self.purposes), ("categories", self.categories)):
            if not ids or "other" in ids:
                raise ValueError(f"{what}: name at least one, and none called 'other' (R6, R7)")
        if VOLUNTEER in self.categories:
            raise ValueError(f"categories: {VOLUNTEER} is there in every policy; leave it out")

    @property
    def canonical(self) -> str:
        """The profile in one form, whatever its file looks like: JSON with sorted keys, without
        spaces, every character beyond ASCII escaped."""
        return json.dumps(msgspec.to_builtins(self), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> bytes:
        """SHA-256 of the canonical form (32 bytes)."""
        return hashlib.sha256(self.canonical.encode("ascii")).digest()


def load_policy(which: str) -> Policy:
    """The shipped profile of that name, or the one in that file (ending in .toml).

    Raises `ConfigInvalid` naming the field and its rule.
    """
    if which.endswith(POLICY_FILE_ENDING):
        try:
            text = Path(which).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigInvalid(f"the policy {which} cannot be read ({error})") from error
        return parse_policy(text, which)
    if which not in SHIPPED:
        raise ConfigInvalid(
            f"there is no policy {which}; take one of {', '.join(SHIPPED)}, or a file of your own "
            f"ending in {POLICY_FILE_ENDING}"
        )
    return parse_policy(shipped_text(which), which)


def shipped_text(name: str) -> str:
    """The file of a shipped profile: what to copy for one of one's own."""
    return (_FOLDER / f"{name}{POLICY_FILE_ENDING}").read_text(encoding="utf-8")


def parse_policy(text: str, name: str) -> Policy:
    """The profile in a TOML text; raises `ConfigInvalid` naming the field and its rule."""
    try:
        return msgspec.convert(tomllib.loads(text), Policy)
    except tomllib.TOMLDecodeError as error:
        raise ConfigInvalid(f"the policy {name} cannot be read as TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigInvalid(f"the policy {name}: {error}") from error
