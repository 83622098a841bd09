"""Matches as records for output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cordon.v1 import match_pb2
from cordon_client.names import short
from cordon_client.output import local_time
from cordon_client.times import moment

if TYPE_CHECKING:
    from google.protobuf.message import Message

MATCH_COLUMNS = {
    "MATCH": "match_id",
    "SEEN": "captured_at",
    "CAMERA": "camera_id",
    "ENTRY": "entry_id",
    "CATEGORY": "category",
    "SCORE": "score",
    "MARGIN": "margin",
    "DECISION": "decision",
    "OUTCOME": "outcome",
}

MATCH_DETAILS = {
    "Name": "name",
    "Seen": "captured_at",
    "Logged": "create_time",
    "Camera": "camera_id",
    "Frame": "frame_sequence",
    "Entry": "entry_id",
    "Category": "category",
    "Score": "score",
    "Threshold": "threshold",
    "Margin": "margin",
    "Look-alikes": "look_alikes",
    "Decision": "decision",
    "Decided by": "adjudicator",
    "Decided": "adjudication_time",
    "Judgements": "judgement_lines",
    "Outcome": "outcome",
    "Model": "model",
}


def match_record(match: match_pb2.Match) -> dict[str, Any]:
    """One match; what is not decided yet, or not told before one has judged, is None."""
    decided = match.adjudication if match.HasField("adjudication") else None
    told = not match.withheld
    return {
        "name": match.name,
        "match_id": int(short(match.name)),
        "sequence": match.sequence,
        "revision": match.revision,
        "observations": match.observations,
        "camera": match.camera,
        "camera_id": short(match.camera),
        "frame_sequence": match.frame_sequence,
        "captured_at": moment(match, "captured_at"),
        "create_time": moment(match, "create_time"),
        "withheld": match.withheld,
        "entry": match.entry if told else None,
        "entry_id": short(match.entry) if told else None,
        "category": match.category if told else None,
        "reference": match.reference if told else None,
        "score": _rounded(match.score) if told else None,
        "margin": _rounded(match.margin) if told else None,
        "threshold": _rounded(match.threshold) if told else None,
        "look_alikes": [short(each) for each in match.look_alikes] if told else None,
        "box": _floats(match.box) if told else None,
        "quality": _floats(match.quality) if told else None,
        "decision": decision_word(decided.decision) if decided else None,
        "adjudicator": decided.adjudicator if decided else None,
        "adjudication_time": moment(decided, "create_time") if decided else None,
        "judgements": [_judgement(each) for each in match.judgements],
        "judgement_lines": [_judgement_line(each) for each in match.judgements],
        "outcome": outcome_word(match.outcome),
        "outcome_time": moment(match, "outcome_time"),
        "model": match.model,
    }


def match_line(record: dict[str, Any]) -> str:
    """One match in one line, for people."""
    seen = record["captured_at"]
    where = (
        f"#{record['match_id']}  {local_time(seen) if seen else '-'}  camera {record['camera_id']}"
    )
    better = "  (a better view)" if record["revision"] else ""
    if record["withheld"]:
        return f"{where}  to be judged by its pictures{better}"
    return (
        f"{where}  {record['entry_id']}  [{record['category']}]  "
        f"score {record['score']:.3f}  margin {record['margin']:.3f}{better}"
    )


def outcome_word(outcome: match_pb2.MatchOutcome.ValueType) -> str | None:
    """An outcome as people type it; None where there is none."""
    if outcome == match_pb2.MATCH_OUTCOME_UNSPECIFIED:
        return None
    return _spoken(match_pb2.MatchOutcome.Name(outcome), "MATCH_OUTCOME_")


def _floats(message: Message) -> dict[str, float]:
    return {
        field.name: _rounded(getattr(message, field.name)) for field in message.DESCRIPTOR.fields
    }


def decision_word(decision: match_pb2.Decision.ValueType) -> str:
    """A decision as people type it."""
    return _spoken(match_pb2.Decision.Name(decision), "DECISION_")


def _judgement(judgement: match_pb2.Judgement) -> dict[str, Any]:
    reasons = [match_pb2.AdjudicationReason.Name(each) for each in judgement.reasons]
    return {
        "decision": decision_word(judgement.decision),
        "reasons": [_spoken(reason, "ADJUDICATION_REASON_") for reason in reasons],
        "reviewer": judgement.reviewer,
        "workstation": judgement.workstation,
        "create_time": moment(judgement, "create_time"),
    }


def _judgement_line(judgement: match_pb2.Judgement) -> str:
    record = _judgement(judgement)
    return f"{record['decision']} by {short(judgement.reviewer)} ({', '.join(record['reasons'])})"


def _spoken(value: str, prefix: str) -> str:
    return value.removeprefix(prefix).lower().replace("_", "-")


def _rounded(value: float) -> float:
    """A float32 without the digits that it does not have."""
    return float(f"{value:.6g}")
