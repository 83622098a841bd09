"""The steps of a deployment's life: from a record and what is asked to the next record. Pure; each
raises what forbids it. Where cameras are concerned, `Deployments` looks besides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cordon_server.authority import checks, content
from cordon_server.authority.checks import Present
from cordon_server.authority.moves import MOVES, check_move
from cordon_server.authority.policy import Policy
from cordon_server.authority.records import DeploymentRecord, State
from cordon_server.authority.signing import is_signed
from cordon_server.authority.terms import (
    Actor,
    HaltCause,
    Halting,
    Publication,
    SignedAuthority,
    Submission,
)
from cordon_server.domain import LimitReached, NotPermitted, NotReady

_with = msgspec.structs.replace

ASSIGNEES_MAX = 256
"""People who work on one deployment."""


@dataclass(frozen=True, slots=True)
class Officer:
    """An authorising officer who acts, and the key on record for him, if any."""

    actor: Actor
    public_key: bytes | None


def draft(record: DeploymentRecord, *, by: str) -> DeploymentRecord:
    """A draft again: what was submitted or authorised is void (R8). A draft stays one.

    Raises `NotReady` once it is armed.
    """
    if record.state is not State.DRAFT:
        if (record.state, State.DRAFT) not in MOVES:
            check_move(record, State.DRAFT, by=by)
        record = _with(record, state=State.DRAFT, submission=None, authority=None, publication=None)
    return record


def changed(record: DeploymentRecord, fields: Mapping[str, Any]) -> DeploymentRecord:
    """With other terms, and a draft again."""
    return _with(draft(record, by="change"), **fields)


def assigned(
    record: DeploymentRecord, add: Collection[str], remove: Collection[str]
) -> DeploymentRecord:
    """With other people who work on it; what was submitted or authorised and is not armed yet is
    void. Raises `NotReady` when it has ended, or `LimitReached`."""
    name = record.deployment_id
    if record.has_ended:
        raise NotReady(f"deployment {name} has ended; nobody works on it any more")
    assignees = tuple(sorted({*record.assignees, *add} - {*remove}))
    if assignees == record.assignees:
        return record
    if len(assignees) > ASSIGNEES_MAX:
        raise LimitReached(
            f"{len(assignees)} people would work on {name} and {ASSIGNEES_MAX} may; take others "
            f"off it with: cordon admin deployment assign {name} --remove USER",
            field="add",
        )
    if (record.state, State.DRAFT) in MOVES:
        record = draft(record, by="change")
    return _with(record, assignees=assignees)


def voided(record: DeploymentRecord) -> DeploymentRecord:
    """SUBMITTED or AUTHORISED to DRAFT."""
    check_move(record, State.DRAFT, by="void")
    return draft(record, by="void")


def submitted(
    record: DeploymentRecord, requester: Actor, present: Present, forecast: str
) -> DeploymentRecord:
    """DRAFT to SUBMITTED: fixes what an authorising officer is asked for."""
    check_move(record, State.SUBMITTED, by="submit")
    _check_asked(record, present, forecast)
    submission = Submission(
        requester=requester,
        submit_time=present.now,
        policy=present.policy.name,
        policy_digest=present.policy.digest,
        list_digest=present.list.digest,
        model_id=present.model_id,
        assignees=record.assignees,
        forecast=forecast,
    )
    return _with(record, state=State.SUBMITTED, submission=submission)


def authorised(
    record: DeploymentRecord,
    officer: Officer,
    present: Present,
    digest: bytes,
    signature: bytes,
    *,
    below_floor: bool = False,
) -> DeploymentRecord:
    """SUBMITTED to AUTHORISED by a signature over the content as it is now (R8).

    `below_floor` says that the officer means a threshold below the forecast's floor. Raises
    `NotPermitted` (FOUR_EYES, NO_SIGNING_KEY, SIGNATURE_WRONG) or `NotReady`.
    """
    checks.check_four_eyes(record, officer.actor)
    check_move(record, State.AUTHORISED, by="authorise")
    submission = record.submission
    assert submission is not None
    checks.check_unchanged(record, submission, present)
    _check_asked(record, present, submission.forecast)
    checks.check_floor(record, submission.forecast, meant=below_floor)
    if digest != content.digest(record, submission):
        raise NotReady(
            f"what was signed is not what {record.deployment_id} says now; look at it again: "
            f"cordon admin deployment show {record.deployment_id}",
            reason="DIGEST_MISMATCH",
        )
    authority = SignedAuthority(
        officer=officer.actor,
        digest=digest,
        public_key=_signing_key(officer, digest, signature),
        signature=signature,
        sign_time=present.now,
        expire_time=_expiry(record, present.policy, present.now),
    )
    return _with(record, state=State.AUTHORISED, authority=authority)


def published(record: DeploymentRecord, place: str, now: datetime) -> DeploymentRecord:
    """With a note of where and that the public was told (R19): of what was submitted at least, for
    a notice is made from it."""
    if record.submission is None or record.has_ended:
        raise NotReady(
            f"deployment {record.deployment_id} is {record.state}; a notice is published of what "
            "was submitted and has not ended",
            reason="WRONG_STATE",
        )
    return _with(record, publication=Publication(now, place))


def armed(record: DeploymentRecord, present: Present, key: bytes | None) -> DeploymentRecord:
    """AUTHORISED to ARMED (R5, R7, R8, R19, R24, R28); `key` is the authoriser's on record."""
    check_move(record, State.ARMED, by="arm")
    checks.check_authority(record, present, key)
    checks.check_window_open(record, present.now)
    assert record.submission is not None
    _check_asked(record, present, record.submission.forecast)
    checks.check_review(record, present)
    checks.check_notice(record, present.policy)
    checks.check_preflight(record, present)
    return _with(record, state=State.ARMED, arm_time=present.now)


def halted(record: DeploymentRecord, cause: HaltCause, now: datetime) -> DeploymentRecord:
    """ARMED to HALTED (R13)."""
    check_move(record, State.HALTED, by="halt")
    return _with(record, state=State.HALTED, halting=Halting(now, cause))


def resumed(record: DeploymentRecord, officer: Officer, present: Present) -> DeploymentRecord:
    """HALTED to ARMED by whoever authorised it and nobody else (R13)."""
    check_move(record, State.ARMED, by="resume")
    authority = record.authority
    if authority is None or authority.officer.user_id != officer.actor.user_id:
        raise NotPermitted(
            f"only the officer who authorised {record.deployment_id} resumes it, and that is not "
            f"{officer.actor.user_id}; ask for him, or end it",
            reason="NOT_THE_AUTHORISER",
        )
    checks.check_authority(record, present, officer.public_key)
    checks.check_window_open(record, present.now)
    return _with(record, state=State.ARMED, halting=None)


@dataclass(frozen=True, slots=True)
class Counts:
    """What is kept of a list and a log that are destroyed."""

    entries: int
    references: int
    matches: int


def ended(record: DeploymentRecord, counts: Counts, now: datetime) -> DeploymentRecord:
    """To ENDED, keeping the counts of what was."""
    check_move(record, State.ENDED, by="end")
    return _with(
        record,
        state=State.ENDED,
        ended_time=now,
        entry_count=counts.entries,
        reference_count=counts.references,
        match_count=counts.matches,
    )


def erased(record: DeploymentRecord, now: datetime) -> DeploymentRecord:
    """ENDED to ERASED: its biometrics are gone (R2)."""
    check_move(record, State.ERASED, by="erase")
    return _with(record, state=State.ERASED, erase_time=now)


def _check_asked(record: DeploymentRecord, present: Present, forecast: str) -> None:
    checks.check_terms(record, present.policy)
    checks.check_list(record, present.list, present.policy)
    checks.check_papers(record, forecast, present.policy, present.now)


def _signing_key(officer: Officer, digest: bytes, signature: bytes) -> bytes:
    """The key that made the signature; raises `NotPermitted` where it is not the officer's."""
    name, key = officer.actor.user_id, officer.public_key
    if key is None:
        raise NotPermitted(
            f"no signing key of {name} is on record; make one: cordon admin signing-key make",
            reason="NO_SIGNING_KEY",
        )
    if not is_signed(digest, signature, key):
        raise NotPermitted(
            f"the signature is not by the signing key of {name} that is on record; sign with that "
            "one, or register this one: cordon admin signing-key make",
            reason="SIGNATURE_WRONG",
        )
    return key


def _expiry(record: DeploymentRecord, policy: Policy, now: datetime) -> datetime:
    """When the authority ends by itself: with the window, or sooner where it is urgent (R9)."""
    if not record.is_urgent:
        return record.end_time
    return min(record.end_time, now + timedelta(hours=policy.authority.urgent_h_max))
