"""A watchlist's records to messages, and what a message asks for to an application."""

from __future__ import annotations

from datetime import date

from cordon.v1 import watchlist_pb2
from cordon_server.api import convert
from cordon_server.authority.list_state import ListState
from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist_difference import Difference, DifferenceKind
from cordon_server.authority.watchlist_enrolment import Enrolment
from cordon_server.authority.watchlist_lint import Finding, FindingKind, Severity
from cordon_server.authority.watchlist_proposal_records import (
    ProposalRecord,
    ProposalState,
    RowFate,
    RowRecord,
)
from cordon_server.authority.watchlist_records import (
    AgeGroup,
    EntryRecord,
    LawfulSource,
    ReferenceRecord,
)
from cordon_server.authority.watchlist_rules import Application, Particulars
from cordon_server.authority.watchlist_tables import is_waiting

Subject = watchlist_pb2.EnrolReferenceRequest | watchlist_pb2.ImportRow

SOURCES = {
    watchlist_pb2.LawfulSource.Value(f"LAWFUL_SOURCE_{source.name}"): source
    for source in LawfulSource
}
_SOURCES_BACK = {source: value for value, source in SOURCES.items()}
AGE_GROUPS = {watchlist_pb2.AgeGroup.Value(f"AGE_GROUP_{group.name}"): group for group in AgeGroup}
_AGE_GROUPS_BACK = {group: value for value, group in AGE_GROUPS.items()}
FINDING_KINDS = {
    kind: watchlist_pb2.FindingKind.Value(f"FINDING_KIND_{kind.name}") for kind in FindingKind
}
SEVERITIES = {
    each: watchlist_pb2.FindingSeverity.Value(f"FINDING_SEVERITY_{each.name}") for each in Severity
}
PROPOSAL_STATES = {
    state: watchlist_pb2.ProposalState.Value(f"PROPOSAL_STATE_{state.name}")
    for state in ProposalState
}
ROW_FATES = {
    RowFate.ACCEPTED: watchlist_pb2.ENROL_OUTCOME_ACCEPTED,
    RowFate.KNOWN: watchlist_pb2.ENROL_OUTCOME_ALREADY_ENROLLED,
    RowFate.REJECTED: watchlist_pb2.ENROL_OUTCOME_REJECTED,
}
DIFFERENCE_KINDS = {
    kind: watchlist_pb2.DifferenceKind.Value(f"DIFFERENCE_KIND_{kind.name}")
    for kind in DifferenceKind
}


def application(request: Subject, applicant: Actor) -> Application:
    """What a request or an import's row asks for; raises `InvalidInput` for a moment that no
    calendar has."""
    return Application(
        entry_id=request.external_ref,
        category=request.category,
        threshold=request.threshold if request.HasField("threshold") else None,
        image=request.image,
        face_point=point(request),
        particulars=Particulars(
            lawful_source=SOURCES.get(request.lawful_source),
            rationale=request.rationale,
            requester=request.requester,
            birth_date=_date(request.birth_date),
            age_group=AGE_GROUPS.get(request.age_group),
            expire_time=convert.optional_moment(request, "expire_time", "expire_time"),
            captured_on=_date(request.captured_on),
            override_reason=request.override_reason.strip(),
        ),
        applicant=applicant,
    )


def point(
    request: Subject | watchlist_pb2.CheckReferenceRequest,
) -> tuple[float, float] | None:
    """The point in the wanted face, where one is given."""
    if not request.HasField("face_point"):
        return None
    return request.face_point.x, request.face_point.y


def outcome(enrolment: Enrolment) -> watchlist_pb2.EnrolOutcome.ValueType:
    """What became of a picture that was not refused."""
    if enrolment.is_new:
        return watchlist_pb2.ENROL_OUTCOME_ACCEPTED
    return watchlist_pb2.ENROL_OUTCOME_ALREADY_ENROLLED


def entry(
    record: EntryRecord,
    references: list[ReferenceRecord],
    deployment_id: str,
    state: ListState | None = None,
) -> watchlist_pb2.Entry:
    """An entry with its references; with the list's state, also when it was reviewed."""
    message = watchlist_pb2.Entry(
        name=f"deployments/{deployment_id}/entries/{record.entry_id}",
        external_ref=record.entry_id,
        category=record.category,
        references=[_reference(each, deployment_id) for each in references],
        create_time=convert.timestamp(record.create_time),
        rationale=record.rationale,
        requester=record.requester,
        birth_date=_iso(record.birth_date),
        enrolled_by=_user(record.enrolled_by),
        approved_by=_user(record.approval.by) if record.approval else "",
        is_waiting=is_waiting(record, references),
    )
    if record.threshold is not None:
        message.threshold = record.threshold
    if record.lawful_source is not None:
        message.lawful_source = _SOURCES_BACK[record.lawful_source]
    if record.age_group is not None:
        message.age_group = _AGE_GROUPS_BACK[record.age_group]
    if record.expire_time is not None:
        message.expire_time.CopyFrom(convert.timestamp(record.expire_time))
    if state is not None and state.is_reviewed and state.reviewed_at is not None:
        message.review_time.CopyFrom(convert.timestamp(state.reviewed_at))
    return message


def watchlist(state: ListState, deployment_id: str) -> watchlist_pb2.Watchlist:
    """A list as a whole."""
    message = watchlist_pb2.Watchlist(
        name=f"deployments/{deployment_id}/watchlist",
        digest=state.digest.hex(),
        entry_count=state.entries,
        reference_count=state.references,
        entries_by_category=dict(state.by_category),
        waiting_count=state.waiting,
        reviewed_digest=state.reviewed_digest.hex(),
        reviewed_by=_user(state.reviewed_by),
    )
    if state.reviewed_at is not None:
        message.review_time.CopyFrom(convert.timestamp(state.reviewed_at))
    return message


def proposal(record: ProposalRecord, deployment_id: str) -> watchlist_pb2.Proposal:
    """An import that waits for a second person, or waited."""
    message = watchlist_pb2.Proposal(
        name=f"deployments/{deployment_id}/proposals/{record.proposal_id}",
        state=PROPOSAL_STATES[record.state],
        proposer=_user(record.proposer),
        create_time=convert.timestamp(record.create_time),
        digest=record.digest.hex(),
        base_digest=record.base.hex(),
        accepted_count=record.accepted,
        known_count=record.known,
        rejected_count=record.rejected,
        applier=_user(record.applier),
    )
    if record.apply_time is not None:
        message.apply_time.CopyFrom(convert.timestamp(record.apply_time))
    return message


def proposal_row(record: RowRecord, deployment_id: str) -> watchlist_pb2.ProposalRow:
    """One of its rows."""
    message = watchlist_pb2.ProposalRow(
        row=record.row,
        external_ref=record.external_ref,
        outcome=ROW_FATES[record.fate],
        reasons=[convert.reason(each, deployment_id) for each in record.reasons],
    )
    if record.entry is not None and record.reference is not None:
        message.entry.CopyFrom(entry(record.entry, [record.reference], deployment_id))
    return message


def finding(found: Finding, deployment_id: str) -> watchlist_pb2.Finding:
    """One thing to look at."""
    return watchlist_pb2.Finding(
        kind=FINDING_KINDS[found.kind],
        severity=SEVERITIES[found.severity],
        entry=_entry_name(deployment_id, found.entry_id),
        reference=_reference_name(deployment_id, found.entry_id, found.reference_id),
        other_entry=_entry_name(deployment_id, found.other_entry_id),
        other_reference=_reference_name(
            deployment_id, found.other_entry_id, found.other_reference_id
        ),
        score=found.score,
        code=(
            convert.REASON_CODES[found.code]
            if found.code
            else watchlist_pb2.REASON_CODE_UNSPECIFIED
        ),
        message=found.message,
    )


def difference(found: Difference) -> watchlist_pb2.EntryDifference:
    """One entry that differs."""
    return watchlist_pb2.EntryDifference(
        kind=DIFFERENCE_KINDS[found.kind],
        external_ref=found.entry_id,
        category=found.category,
        changed_fields=found.fields,
    )


def _entry_name(deployment_id: str, entry_id: str) -> str:
    return f"deployments/{deployment_id}/entries/{entry_id}" if entry_id else ""


def _reference_name(deployment_id: str, entry_id: str, reference_id: str) -> str:
    return convert.reference_name(deployment_id, entry_id, reference_id) if reference_id else ""


def _reference(record: ReferenceRecord, deployment_id: str) -> watchlist_pb2.Reference:
    message = watchlist_pb2.Reference(
        name=convert.reference_name(deployment_id, record.entry_id, record.reference_id),
        image_sha256=record.image_sha256,
        quality=convert.quality(record.quality),
        create_time=convert.timestamp(record.create_time),
        model=record.model_id,
        captured_on=_iso(record.captured_on),
        enrolled_by=_user(record.enrolled_by),
        is_waiting=record.is_waiting,
    )
    if (override := record.override) is not None:
        message.overridden.extend(convert.REASON_CODES[code] for code in override.codes)
        message.override_reason = override.why
        message.override_approved_by = _user(override.approval.by) if override.approval else ""
    return message


def _user(actor: Actor | None) -> str:
    return f"users/{actor.user_id}" if actor is not None and actor.user_id else ""


def _date(given: str) -> date | None:
    """A date that its rule has passed."""
    return date.fromisoformat(given) if given else None


def _iso(day: date | None) -> str:
    return "" if day is None else day.isoformat()
