"""Deployments to messages, and what is asked for of them back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from cordon.v1 import deployment_pb2
from cordon_server.api.convert import last_part, moment, optional_moment, timestamp
from cordon_server.authority.notice import PublicNotice
from cordon_server.authority.policy import Policy
from cordon_server.authority.policy_words import explain
from cordon_server.authority.records import DeploymentRecord, State
from cordon_server.authority.terms import (
    HaltCause,
    ImpactAssessment,
    SignedAuthority,
    Submission,
    Terms,
    Zone,
)
from cordon_server.domain import InvalidInput

STATES = {
    state: deployment_pb2.DeploymentState.Value(f"DEPLOYMENT_STATE_{state.name}") for state in State
}
HALT_CAUSES = {
    cause: deployment_pb2.HaltCause.Value(f"HALT_CAUSE_{cause.name}") for cause in HaltCause
}

Message = deployment_pb2.Deployment
Read = Callable[[Message], Any]


def _cameras(wanted: Message) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(last_part, wanted.cameras)))


def _zones(wanted: Message) -> tuple[Zone, ...]:
    return tuple(
        Zone(last_part(zone.camera), tuple((point.x, point.y) for point in zone.points))
        for zone in wanted.zones
    )


def _assessment(wanted: Message) -> ImpactAssessment | None:
    if not wanted.HasField("impact_assessment"):
        return None
    given = wanted.impact_assessment
    return ImpactAssessment(
        given.document_sha256,
        given.owner,
        moment(given.review_time, "deployment.impact_assessment.review_time"),
    )


def _time(field: str) -> Read:
    return lambda wanted: optional_moment(wanted, field, f"deployment.{field}")


FIELDS: dict[str, tuple[str, Read]] = {
    "location": ("location", lambda wanted: wanted.location),
    "purpose": ("purpose", lambda wanted: wanted.purpose),
    "justification": ("justification", lambda wanted: wanted.justification),
    "cameras": ("cameras", _cameras),
    "zones": ("zones", _zones),
    "threshold": ("threshold", lambda wanted: wanted.threshold),
    "start_time": ("start_time", _time("start_time")),
    "end_time": ("end_time", _time("end_time")),
    "accountable_person": ("accountable_person", lambda wanted: wanted.accountable_person),
    "impact_assessment": ("impact_assessment", _assessment),
    "notice_exemption": ("notice_exemption", lambda wanted: wanted.notice_exemption),
    "urgent": ("is_urgent", lambda wanted: wanted.urgent),
}
"""What a person asks for, but for who works on it: field of the message to field of the terms."""


def terms(
    wanted: Message,
    assignees: tuple[str, ...],
    *,
    policy: Policy,
    threshold_default: float,
    now: datetime,
) -> Terms:
    """What is asked for; what is left out takes the server's values."""
    fields = {name: read(wanted) for name, read in FIELDS.values()}
    fields["threshold"] = fields["threshold"] or threshold_default
    fields["start_time"] = fields["start_time"] or now
    fields["end_time"] = fields["end_time"] or _latest_end(fields["start_time"], policy)
    if not fields["purpose"] and len(policy.purposes) == 1:
        (fields["purpose"],) = policy.purposes
    return Terms(**fields, assignees=assignees)


def changes(wanted: Message, mask: FieldMask, *, threshold_default: float) -> dict[str, Any]:
    """What is to change, by field of the terms; raises `InvalidInput` for a time left out."""
    fields = {name: read(wanted) for name, read in (FIELDS[path] for path in mask.paths)}
    if "threshold" in fields:
        fields["threshold"] = fields["threshold"] or threshold_default
    for name in ("start_time", "end_time"):
        if name in fields and fields[name] is None:
            raise InvalidInput(f"deployment.{name} must be given", field=f"deployment.{name}")
    return fields


def _latest_end(start: datetime, policy: Policy) -> datetime:
    try:
        return start + timedelta(hours=policy.authority.window_h_max)
    except OverflowError as error:
        raise InvalidInput(
            "a window that starts then has no end in the calendar", field="deployment.start_time"
        ) from error


def deployment(record: DeploymentRecord, *, entries: int, references: int, matches: int) -> Message:
    """A deployment with its counts."""
    message = Message(
        name=f"deployments/{record.deployment_id}",
        location=record.location,
        state=STATES[record.state],
        cameras=[f"cameras/{camera_id}" for camera_id in record.cameras],
        threshold=record.threshold,
        start_time=timestamp(record.start_time),
        end_time=timestamp(record.end_time),
        create_time=timestamp(record.create_time),
        entry_count=entries,
        reference_count=references,
        match_count=matches,
        assignees=_users(record.assignees),
        purpose=record.purpose,
        justification=record.justification,
        zones=map(_zone, record.zones),
        accountable_person=record.accountable_person,
        notice_exemption=record.notice_exemption,
        urgent=record.is_urgent,
    )
    for name, time in (
        ("arm_time", record.arm_time),
        ("ended_time", record.ended_time),
        ("erase_time", record.erase_time),
    ):
        if time is not None:
            getattr(message, name).CopyFrom(timestamp(time))
    _add_authority(message, record)
    return message


def _add_authority(message: Message, record: DeploymentRecord) -> None:
    if (assessment := record.impact_assessment) is not None:
        message.impact_assessment.document_sha256 = assessment.document_sha256
        message.impact_assessment.owner = assessment.owner
        message.impact_assessment.review_time.CopyFrom(timestamp(assessment.review_time))
    if record.submission is not None:
        message.submission.CopyFrom(_submission(record.submission))
    if record.authority is not None:
        message.authority.CopyFrom(_authority(record.authority))
    if (publication := record.publication) is not None:
        message.notice.publish_time.CopyFrom(timestamp(publication.publish_time))
        message.notice.place = publication.place
    if (halting := record.halting) is not None:
        message.halting.halt_time.CopyFrom(timestamp(halting.halt_time))
        message.halting.cause = HALT_CAUSES[halting.cause]


def _submission(submission: Submission) -> deployment_pb2.Submission:
    return deployment_pb2.Submission(
        requester=f"users/{submission.requester.user_id}",
        requester_machine=submission.requester.machine,
        submit_time=timestamp(submission.submit_time),
        policy=submission.policy,
        policy_digest=submission.policy_digest,
        list_digest=submission.list_digest,
        model=submission.model_id,
        assignees=_users(submission.assignees),
        forecast=submission.forecast,
    )


def _authority(authority: SignedAuthority) -> deployment_pb2.Authority:
    return deployment_pb2.Authority(
        officer=f"users/{authority.officer.user_id}",
        officer_machine=authority.officer.machine,
        digest=authority.digest,
        public_key=authority.public_key,
        signature=authority.signature,
        sign_time=timestamp(authority.sign_time),
        expire_time=timestamp(authority.expire_time),
    )


def _zone(zone: Zone) -> deployment_pb2.Zone:
    points = [deployment_pb2.ZonePoint(x=x, y=y) for x, y in zone.points]
    return deployment_pb2.Zone(camera=f"cameras/{zone.camera_id}", points=points)


def _users(user_ids: Iterable[str]) -> list[str]:
    return [f"users/{user_id}" for user_id in user_ids]


def policy(value: Policy) -> deployment_pb2.Policy:
    """A policy, explained."""
    return deployment_pb2.Policy(
        name=value.name,
        version=value.version,
        title=value.title,
        digest=value.digest,
        canonical=value.canonical,
        rules=[
            deployment_pb2.PolicyRule(
                key=line.key,
                value=line.value,
                meaning=line.meaning,
                requirements=line.requirements,
            )
            for line in explain(value)
        ],
    )


def notice(value: PublicNotice) -> deployment_pb2.GetNoticeResponse:
    """What the public is told."""
    said = value.publisher
    return deployment_pb2.GetNoticeResponse(
        place=value.place,
        start_time=timestamp(value.start_time),
        end_time=timestamp(value.end_time),
        purpose=value.purpose,
        categories=value.categories,
        responsible=said.responsible,
        lawful_basis=said.lawful_basis,
        complaints=said.complaints,
        record_url=said.record_url,
        match_hours_max=value.match_hours_max,
        policy=value.policy,
        policy_digest=value.policy_digest,
        authority_digest=value.authority_digest,
    )
