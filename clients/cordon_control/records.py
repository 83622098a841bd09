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
    "Decision": "decision",
    "Decided by": "adjudicator",
    "Decided": "adjudication_time",
    "Model": "model",
}


def match_record(match: match_pb2.Match) -> dict[str, Any]:
    """One match; what a person has not decided yet is None."""
    decided = match.adjudication if match.HasField("adjudication") else None
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
        "entry": match.entry,
        "entry_id": short(match.entry),
        "category": match.category,
        "reference": match.reference,
        "score": _rounded(match.score),
        "margin": _rounded(match.margin),
        "threshold": _rounded(match.threshold),
        "box": _floats(match.box),
        "quality": _floats(match.quality),
        "decision": _word(decided.decision) if decided else None,
        "adjudicator": decided.adjudicator if decided else None,
        "adjudication_time": moment(decided, "create_time") if decided else None,
        "model": match.model,
    }


def match_line(record: dict[str, Any]) -> str:
    """One match in one line, for people."""
    seen = record["captured_at"]
    return (
        f"#{record['match_id']}  {local_time(seen) if seen else '-'}  "
        f"camera {record['camera_id']}  {record['entry_id']}  [{record['category']}]  "
        f"score {record['score']:.3f}  margin {record['margin']:.3f}"
        f"{'  (a better view)' if record['revision'] else ''}"
    )


def _floats(message: Message) -> dict[str, float]:
    return {
        field.name: _rounded(getattr(message, field.name)) for field in message.DESCRIPTOR.fields
    }


def _word(decision: match_pb2.Decision.ValueType) -> str:
    return match_pb2.Decision.Name(decision).removeprefix("DECISION_").lower()


def _rounded(value: float) -> float:
    """A float32 without the digits that it does not have."""
    return float(f"{value:.6g}")
