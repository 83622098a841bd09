"""Domain values and records to messages and back; the one place where both are known."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from cordon.v1 import (
    camera_pb2,
    match_pb2,
    recognition_pb2,
    watchlist_pb2,
)
from cordon_server.api.errors import status_of
from cordon_server.authority.records import (
    CameraRecord,
)
from cordon_server.domain import FaceCounts, InvalidInput, Quality, Reason, ReasonCode
from cordon_server.recognition.line import FrameFate, Outcome
from cordon_server.recognition.load import Advice
from cordon_server.sessions.camera import CameraSession, Halted, HaltReason

OUTCOMES = {
    FrameFate.PROCESSED: recognition_pb2.FRAME_OUTCOME_PROCESSED,
    FrameFate.SUPERSEDED: recognition_pb2.FRAME_OUTCOME_SUPERSEDED,
    FrameFate.EXPIRED: recognition_pb2.FRAME_OUTCOME_EXPIRED,
    FrameFate.REJECTED: recognition_pb2.FRAME_OUTCOME_REJECTED,
}
HALT_REASONS = {
    HaltReason.DEPLOYMENT_ENDED: recognition_pb2.HALT_REASON_DEPLOYMENT_ENDED,
    HaltReason.WINDOW_CLOSED: recognition_pb2.HALT_REASON_WINDOW_CLOSED,
    HaltReason.CAMERA_REVOKED: recognition_pb2.HALT_REASON_CAMERA_REVOKED,
    HaltReason.SERVER_STOPPING: recognition_pb2.HALT_REASON_SERVER_STOPPING,
    HaltReason.DEPLOYMENT_HALTED: recognition_pb2.HALT_REASON_DEPLOYMENT_HALTED,
}
REASON_CODES = {
    code: watchlist_pb2.ReasonCode.Value(f"REASON_CODE_{code.name}") for code in ReasonCode
}


def last_part(name: str) -> str:
    """The id at the end of a resource name."""
    return name.rsplit("/", 1)[1]


def deployment_of(name: str) -> str:
    """The deployment's id in the name of anything in it."""
    return name.split("/")[1]


def timestamp(moment: datetime) -> Timestamp:
    """A moment as the wire has it."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def moment(stamp: Timestamp, field: str) -> datetime:
    """A moment of the wire, in UTC; raises `InvalidInput` when no calendar has it."""
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{field} is not a date and time", field=field) from error


def optional_moment(message: Message, field: str, path: str) -> datetime | None:
    """A moment of an optional field, or None."""
    return moment(getattr(message, field), path) if message.HasField(field) else None


def duration(seconds: float) -> Duration:
    """A length of time as the wire has it."""
    wire = Duration()
    wire.FromTimedelta(timedelta(seconds=seconds))
    return wire


def page_token(last: str) -> str:
    """A token for the page after the item named."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def after_token(token: str) -> str:
    """The item that a token stands after; raises `InvalidInput`."""
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except (ValueError, UnicodeDecodeError) as error:
        raise InvalidInput("page_token is not from this server", field="page_token") from error


def camera(record: CameraRecord, session: CameraSession | None) -> camera_pb2.Camera:
    """A camera with its live state."""
    message = camera_pb2.Camera(
        name=f"cameras/{record.camera_id}",
        display_name=record.display_name,
        state=camera_pb2.CAMERA_STATE_ACTIVE,
        create_time=timestamp(record.create_time),
    )
    if record.revoke_time is not None:
        message.state = camera_pb2.CAMERA_STATE_REVOKED
        message.revoke_time.CopyFrom(timestamp(record.revoke_time))
    if session is not None:
        message.live.CopyFrom(_camera_live(session))
    return message


def _camera_live(session: CameraSession) -> camera_pb2.CameraLive:
    counts = session.counts
    live = camera_pb2.CameraLive(
        connect_time=timestamp(counts.connect_time),
        frames_received=counts.received,
        frames_processed=counts.fates[FrameFate.PROCESSED],
        frames_superseded=counts.fates[FrameFate.SUPERSEDED],
        frames_expired=counts.fates[FrameFate.EXPIRED],
        frames_rejected=counts.fates[FrameFate.REJECTED],
        faces_searched=counts.faces_searched,
        deployment=f"deployments/{session.deployment_id}",
    )
    if counts.last_frame_time is not None:
        live.last_frame_time.CopyFrom(timestamp(counts.last_frame_time))
    return live


def quality(measures: Quality) -> match_pb2.FaceQuality:
    """Measures of a face."""
    return match_pb2.FaceQuality(
        detection_score=measures.detection_score,
        inter_eye_px=measures.inter_eye_px,
        sharpness=measures.sharpness,
        luminance=measures.luminance,
        yaw_degrees=measures.yaw_degrees,
        roll_degrees=measures.roll_degrees,
    )


def reason(value: Reason, deployment_id: str) -> watchlist_pb2.Reason:
    """A coded reason; its other reference as a resource name."""
    return watchlist_pb2.Reason(
        code=REASON_CODES[value.code],
        message=value.message,
        reference=_reference_path(deployment_id, value.reference),
        score=value.score,
        component=value.component,
    )


def reference_name(deployment_id: str, entry_id: str, reference_id: str) -> str:
    """A reference's resource name."""
    return f"deployments/{deployment_id}/entries/{entry_id}/references/{reference_id}"


def _reference_path(deployment_id: str, short: str) -> str:
    if not short:
        return ""
    entry_id, reference_id = short.split("/")
    return reference_name(deployment_id, entry_id, reference_id)


def frame_result(answer: Outcome, latency_s: float) -> recognition_pb2.FrameResult:
    """What a camera hears of one frame."""
    message = recognition_pb2.FrameResult(
        sequence=answer.frame.sequence,
        outcome=OUTCOMES[answer.fate],
        latency=duration(latency_s),
    )
    if answer.result is not None:
        message.faces.CopyFrom(_face_counts(answer.result.counts))
        message.matches = len(answer.result.sightings)
    if answer.error is not None:
        _, words = status_of(answer.error)
        message.error.reason = answer.error.reason
        message.error.message = words
    return message


def advice(value: Advice) -> recognition_pb2.Advice:
    """How a camera is to send."""
    return recognition_pb2.Advice(
        fps_max=value.fps_max, side_px_max=value.side_px_max, jpeg_quality=value.jpeg_quality
    )


def halt(value: Halted) -> recognition_pb2.Halt:
    """The last thing a camera hears."""
    return recognition_pb2.Halt(reason=HALT_REASONS[value.reason], message=value.message)


def _face_counts(counts: FaceCounts) -> recognition_pb2.FaceCounts:
    return recognition_pb2.FaceCounts(
        detected=counts.detected,
        searched=counts.searched,
        too_small=counts.too_small,
        too_poor=counts.too_poor,
        shed=counts.shed,
        embedded=counts.embedded,
        outside_zone=counts.outside_zone,
    )
