"""Matches, judgements and outcomes to messages and back."""

from __future__ import annotations

from cordon.v1 import match_pb2
from cordon_server.api import convert
from cordon_server.matches.records import Decision, Ground, JudgementRecord, MatchRecord, Outcome
from cordon_server.matches.views import View, picture_id

DECISIONS = {
    match_pb2.DECISION_TRUE: Decision.TRUE,
    match_pb2.DECISION_FALSE: Decision.FALSE,
    match_pb2.DECISION_UNDECIDED: Decision.UNDECIDED,
}
DECISIONS_BACK = {decision: value for value, decision in DECISIONS.items()}
GROUNDS = {
    match_pb2.AdjudicationReason.Value(f"ADJUDICATION_REASON_{ground.name}"): ground
    for ground in Ground
}
GROUNDS_BACK = {ground: value for value, ground in GROUNDS.items()}
OUTCOMES = {
    match_pb2.MatchOutcome.Value(f"MATCH_OUTCOME_{outcome.name}"): outcome for outcome in Outcome
}
OUTCOMES_BACK = {outcome: value for value, outcome in OUTCOMES.items()}


def match(view: View, deployment_id: str) -> match_pb2.Match:
    """A match as its caller may know it. What is withheld is not left out here: only what is told
    is put in."""
    message = _pair(view.record, deployment_id)
    if view.is_withheld:
        message.withheld = True
        return message
    _tell(message, view.record, deployment_id)
    message.judgements.extend(map(_judgement, view.judgements))
    if (decided := view.record.adjudication) is not None:
        message.adjudication.CopyFrom(
            match_pb2.Adjudication(
                decision=DECISIONS_BACK[decided.decision],
                adjudicator=decided.adjudicator,
                create_time=convert.timestamp(decided.create_time),
            )
        )
    if (came := view.outcome) is not None:
        message.outcome = OUTCOMES_BACK[came.outcome]
        message.outcome_time.CopyFrom(convert.timestamp(came.create_time))
    return message


def picture(jpeg: bytes) -> match_pb2.MatchPicture:
    """A picture and what names it."""
    return match_pb2.MatchPicture(picture_id=picture_id(jpeg), jpeg=jpeg)


def _pair(record: MatchRecord, deployment_id: str) -> match_pb2.Match:
    """Where and when, and nothing of whom (R10)."""
    return match_pb2.Match(
        name=f"deployments/{deployment_id}/matches/{record.match_id}",
        sequence=record.sequence,
        revision=record.revision,
        camera=f"cameras/{record.camera_id}",
        frame_sequence=record.frame_sequence,
        captured_at=convert.timestamp(record.captured_at),
        create_time=convert.timestamp(record.create_time),
    )


def _tell(message: match_pb2.Match, record: MatchRecord, deployment_id: str) -> None:
    """Adds everything else that recognition knows."""
    box = record.box
    message.MergeFrom(
        match_pb2.Match(
            entry=f"deployments/{deployment_id}/entries/{record.entry_id}",
            category=record.category,
            reference=convert.reference_name(deployment_id, record.entry_id, record.reference_id),
            score=record.score,
            margin=record.margin,
            threshold=record.threshold,
            box=match_pb2.BoundingBox(x=box.x, y=box.y, width=box.width, height=box.height),
            quality=convert.quality(record.quality),
            model=record.model_id,
            observations=record.observations,
            look_alikes=[
                f"deployments/{deployment_id}/entries/{each}" for each in record.look_alikes
            ],
        )
    )


def _judgement(record: JudgementRecord) -> match_pb2.Judgement:
    return match_pb2.Judgement(
        decision=DECISIONS_BACK[record.decision],
        reasons=[GROUNDS_BACK[ground] for ground in record.reasons],
        reviewer=f"users/{record.reviewer.user_id}",
        workstation=record.reviewer.machine,
        create_time=convert.timestamp(record.create_time),
    )
