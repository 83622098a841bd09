"""What a deployment must keep to before it moves on: one function for each step, each refusal with
its own coded reason. Computes; touches neither clock nor disk.

| step | function | what it asks |
|---|---|---|
| make, change | `check_window` | a window in order, not over, within the policy's hours |
| make, change | `check_zones` | zones of its own cameras, one each |
| submit up to arm | `check_terms` | purpose, reason, who answers; exemption, urgency allowed |
| submit up to arm | `check_list` | entries, as many as the policy allows |
| submit up to arm | `check_papers` | impact assessment and forecast, where the policy wants them |
| authorise, arm | `check_four_eyes` | another person at another workstation |
| authorise, arm, resume | `check_unchanged` | list, policy and model as they were submitted |
| authorise | `check_floor` | a threshold that keeps the policy's rate, or the officer's word |
| arm, resume | `check_authority` | a signature over what is on record now, by a key on record now |
| arm, resume | `check_window_open` | now within the window |
| arm | `check_review` | a review of this very list, young enough |
| arm | `check_notice` | the public told, or exempted |
| arm | `check_preflight` | each camera tested on known people, where that is asked |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cordon_server.authority import content
from cordon_server.authority.forecast import is_below_floor
from cordon_server.authority.list_state import ListState
from cordon_server.authority.policy import Policy
from cordon_server.authority.records import DeploymentRecord
from cordon_server.authority.signing import is_signed
from cordon_server.authority.terms import Actor, Submission, Terms
from cordon_server.domain import VOLUNTEER, InvalidInput, NotPermitted, NotReady

PREFLIGHT_PICTURES_MIN = 20
"""Known pictures of a test that a policy asks for: with fewer one of them decides."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """How a camera did on known pictures."""

    count: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Present:
    """What an authority is compared with: what is there now."""

    now: datetime
    policy: Policy
    model_id: str
    list: ListState
    tested: Mapping[str, Recognised] = field(default_factory=dict)
    """The cameras that were tested under the authority that is to be armed."""


def check_window(terms: Terms, policy: Policy, now: datetime) -> None:
    """Raises `InvalidInput` (WINDOW)."""
    hours = policy.authority.window_h_max
    field, words = "deployment.end_time", ""
    if terms.end_time <= terms.start_time:
        words = "the window ends before it starts"
    elif terms.end_time <= now:
        words = "the window is over already"
    elif terms.end_time - terms.start_time > timedelta(hours=hours):
        words = f"a window is {hours:g} hours at most by policy {policy.name} (R2)"
    if words:
        raise InvalidInput(f"{words}; choose another", field=field, reason="WINDOW")


def check_zones(terms: Terms) -> None:
    """Raises `InvalidInput` for a zone of a camera that is not named, or two of one (R7)."""
    cameras = [zone.camera_id for zone in terms.zones]
    if not set(cameras) <= set(terms.cameras) or len(set(cameras)) != len(cameras):
        raise InvalidInput(
            "a zone is of one of the deployment's cameras, and each has one at most; name others",
            field="deployment.zones",
            reason="ZONE_CAMERA",
        )


def check_terms(record: DeploymentRecord, policy: Policy) -> None:
    """Raises `NotReady` for terms that cannot be put before anyone (R7, R9, R19, R30, R32)."""
    name = record.deployment_id
    if not record.cameras:
        raise _unready(name, "NO_CAMERA", "names no camera", "--camera CAMERA")
    if not record.location:
        raise _unready(name, "NO_LOCATION", "names no location (R7)", "--location TEXT")
    if record.purpose not in policy.purposes:
        known = ", ".join(policy.purposes)
        words = f"has none of the purposes of policy {policy.name} (R7, R32): {known}"
        raise _unready(name, "PURPOSE_UNKNOWN", words, "--purpose NAME")
    if not record.justification:
        raise _unready(name, "NO_JUSTIFICATION", "says not why (R7)", "--justification TEXT")
    if not record.accountable_person:
        raise _unready(
            name, "NO_ACCOUNTABLE_PERSON", "names nobody who answers for it (R30)", "--accountable"
        )
    if record.is_urgent and not policy.authority.urgent_h_max:
        words = f"is urgent, and policy {policy.name} knows no urgent use (R9)"
        raise _unready(name, "URGENT_NOT_ALLOWED", words, "--no-urgent")
    if record.notice_exemption and not policy.notice.exemption:
        words = f"asks for an exemption from the notice, and policy {policy.name} has none (R19)"
        raise _unready(name, "EXEMPTION_NOT_ALLOWED", words, "--notice-exemption ''")


def check_list(record: DeploymentRecord, state: ListState, policy: Policy) -> None:
    """Raises `NotReady` for an empty list or one longer than the policy allows."""
    name = record.deployment_id
    if not state.entries:
        raise NotReady(
            f"the watchlist of {name} is empty; enrol first: "
            f"cordon admin watchlist import {name} FOLDER",
            reason="LIST_EMPTY",
        )
    if state.entries > policy.watchlist.entries_max:
        raise NotReady(
            f"the watchlist of {name} has {state.entries} entries and policy {policy.name} allows "
            f"{policy.watchlist.entries_max}; remove some",
            reason="LIST_TOO_LONG",
        )
    for category, count in sorted(state.by_category.items()):
        if category == VOLUNTEER:
            continue  # They ask to be seen, under every policy, and never alert (R28).
        known = policy.categories.get(category)
        if known is None or count > known.entries_max:
            allowed = known.entries_max if known else 0
            raise NotReady(
                f"the watchlist of {name} has {count} entries of category {category} and policy "
                f"{policy.name} allows {allowed}; remove some",
                reason="CATEGORY_TOO_LONG" if known else "CATEGORY_UNKNOWN",
            )


def check_papers(record: DeploymentRecord, forecast: str, policy: Policy, now: datetime) -> None:
    """Raises `NotReady` without the assessment (R24) or the forecast (R17) that the policy wants.
    An assessment that is referred to must not be too old in any case."""
    name, assessment = record.deployment_id, record.impact_assessment
    if assessment is None and policy.authority.impact_assessment:
        words = f"refers to no impact assessment, and policy {policy.name} wants one (R24)"
        raise _unready(name, "IMPACT_ASSESSMENT_MISSING", words, "--impact-assessment FILE")
    if assessment is not None and assessment.review_time <= now:
        words = (
            f"refers to an impact assessment due for review on {assessment.review_time:%Y-%m-%d}"
        )
        raise _unready(
            name, "IMPACT_ASSESSMENT_EXPIRED", f"{words} (R24)", "--impact-assessment FILE"
        )
    if not forecast and policy.authority.forecast:
        raise NotReady(
            f"no false alerts were forecast for {name}, and policy {policy.name} wants it (R17); "
            f"submit it with the footfall: cordon admin deployment submit {name} --help",
            reason="FORECAST_MISSING",
        )


def check_floor(record: DeploymentRecord, forecast: str, *, meant: bool) -> None:
    """Raises `NotReady` for a threshold below the floor that was forecast, unless the authorising
    officer means it (R15)."""
    if is_below_floor(forecast) and not meant:
        name = record.deployment_id
        raise NotReady(
            f"the threshold of {name} is below the floor that was forecast for its list: more "
            "strangers would be matched than the policy allows. Raise it (cordon admin deployment "
            f"update {name} --threshold), or sign for it: cordon admin deployment authorise {name} "
            "--below-floor",
            reason="THRESHOLD_BELOW_FLOOR",
        )


def check_four_eyes(record: DeploymentRecord, actor: Actor) -> None:
    """Raises `NotPermitted` when who is to approve a deployment made or submitted it, or would
    approve it where that was done: one person with two names is not two (R8)."""
    name = record.deployment_id
    askers = [record.creator, *([record.submission.requester] if record.submission else [])]
    if actor.user_id in {asker.user_id for asker in askers}:
        raise NotPermitted(
            f"{actor.user_id} asked for {name} and cannot approve it too; it takes another "
            "authorising officer",
            reason="FOUR_EYES",
        )
    if actor.machine in {asker.machine for asker in askers}:
        raise NotPermitted(
            f"{name} was asked for on {actor.machine} and cannot be approved there; use another "
            "workstation (--identity DIR)",
            reason="FOUR_EYES",
        )


def check_authority(record: DeploymentRecord, present: Present, officer_key: bytes | None) -> None:
    """Raises `NotReady` unless the authority is whole, unexpired, and a signature over exactly what
    is on record now: terms, list, policy and model (R8)."""
    submission, authority = record.submission, record.authority
    name = record.deployment_id
    if submission is None or authority is None:
        raise _void(name, "AUTHORITY_MISSING", "has no authority")
    if authority.expire_time <= present.now:
        raise _void(
            name, "AUTHORITY_EXPIRED", f"has an authority that ended at {authority.expire_time}"
        )
    check_unchanged(record, submission, present)
    if authority.digest != content.digest(record, submission):
        raise _void(name, "AUTHORITY_VOID", "is not what was signed: its record has changed")
    if officer_key != authority.public_key:
        words = f"was authorised with a key that is not {authority.officer.user_id}'s any more"
        raise _void(name, "SIGNING_KEY_GONE", words)
    if not is_signed(authority.digest, authority.signature, authority.public_key):
        raise _void(name, "SIGNATURE_WRONG", "has an authority whose signature is not good")


def check_unchanged(record: DeploymentRecord, submission: Submission, present: Present) -> None:
    """Raises `NotReady` when list, policy or model are not those that were submitted."""
    name = record.deployment_id
    if submission.policy_digest != present.policy.digest:
        words = "was submitted under another policy, or another version of it"
        raise _void(name, "POLICY_CHANGED", words)
    if submission.model_id != present.model_id:
        raise _void(name, "MODEL_CHANGED", f"was submitted for the models {submission.model_id}")
    if present.list.digest != submission.list_digest:
        raise _void(name, "LIST_CHANGED", "has another watchlist than was submitted")


def check_review(record: DeploymentRecord, present: Present) -> None:
    """Raises `NotReady` without a review of this very list that is young enough (R5)."""
    age_h_max = present.policy.watchlist.review_age_h_max
    if not age_h_max:
        return
    name, state = record.deployment_id, present.list
    again = f"an authorising officer reviews it: cordon admin watchlist review {name}"
    if state.reviewed_at is None:
        raise NotReady(
            f"the watchlist of {name} was not reviewed (R5); {again}", reason="LIST_NOT_REVIEWED"
        )
    if state.reviewed_digest != state.digest:
        raise NotReady(
            f"the watchlist of {name} has changed since its review (R5); {again}",
            reason="LIST_REVIEW_VOID",
        )
    if present.now - state.reviewed_at > timedelta(hours=age_h_max):
        raise NotReady(
            f"the watchlist of {name} was reviewed at {state.reviewed_at:%Y-%m-%d %H:%M} UTC, more "
            f"than {age_h_max:g} hours ago (R5); {again}",
            reason="LIST_REVIEW_TOO_OLD",
        )


def check_notice(record: DeploymentRecord, policy: Policy) -> None:
    """Raises `NotReady` where the public has to be told and is not (R19)."""
    if policy.notice.needed and record.publication is None and not record.notice_exemption:
        raise NotReady(
            f"no notice of {record.deployment_id} is published, and policy {policy.name} wants one "
            f"(R19); publish it: cordon admin deployment publish {record.deployment_id}",
            reason="NOTICE_NOT_PUBLISHED",
        )


def check_preflight(record: DeploymentRecord, present: Present) -> None:
    """Raises `NotReady` where each camera has to recognise known people, and one does not (R28)."""
    tpir_min = present.policy.measurement.preflight_tpir_min
    if not tpir_min:
        return
    name, policy = record.deployment_id, present.policy.name
    for camera_id in record.cameras:
        test = present.tested.get(camera_id)
        again = f"test it: cordon control preflight {name} --camera {camera_id} --known DIR"
        if test is None or test.pictures < PREFLIGHT_PICTURES_MIN:
            raise NotReady(
                f"camera {camera_id} was not tested on {PREFLIGHT_PICTURES_MIN} known pictures "
                f"under this authority, and policy {policy} wants that (R28); {again}",
                reason="CAMERA_NOT_TESTED",
            )
        if test.count / test.pictures < tpir_min:
            raise NotReady(
                f"camera {camera_id} recognised {test.count} of {test.pictures} known "
                f"pictures, less than the {tpir_min:g} of policy {policy} (R28); look at its "
                f"place, lens and light, then {again}",
                reason="CAMERA_BELOW_TPIR",
            )


def check_window_open(record: DeploymentRecord, now: datetime) -> None:
    """Raises `NotReady` outside the window (R7)."""
    if record.start_time <= now < record.end_time:
        return
    raise NotReady(
        f"the window of {record.deployment_id} is {record.start_time:%Y-%m-%d %H:%M} to "
        f"{record.end_time:%Y-%m-%d %H:%M} UTC; arm it within",
        reason="WINDOW_NOT_OPEN" if now < record.start_time else "WINDOW_OVER",
    )


def _unready(name: str, reason: str, words: str, option: str) -> NotReady:
    return NotReady(
        f"deployment {name} {words}; mend it: cordon admin deployment update {name} {option}",
        reason=reason,
    )


def _void(name: str, reason: str, words: str) -> NotReady:
    return NotReady(
        f"deployment {name} {words}; put it before an authorising officer again: cordon admin "
        f"deployment submit {name}",
        reason=reason,
    )
