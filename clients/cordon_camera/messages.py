"""Between the contract's messages and this client's values; the only module that reads messages."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version

from google.protobuf.timestamp_pb2 import Timestamp

from cordon.v1 import recognition_pb2 as pb
from cordon_camera.flow import Limits, Outcome
from cordon_camera.status import Answer

_OUTCOMES = {
    pb.FRAME_OUTCOME_PROCESSED: Outcome.PROCESSED,
    pb.FRAME_OUTCOME_SUPERSEDED: Outcome.SUPERSEDED,
    pb.FRAME_OUTCOME_EXPIRED: Outcome.EXPIRED,
    pb.FRAME_OUTCOME_REJECTED: Outcome.REJECTED,
}


def hello_message(*, stills: bool) -> pb.StreamFramesRequest:
    """The first message of a stream, by this machine's clock now."""
    hello = pb.Hello(
        client_version=version("cordon"),
        sent_at=_timestamp(datetime.now(UTC)),
        source_kind=pb.SOURCE_KIND_STILLS if stills else pb.SOURCE_KIND_VIDEO,
    )
    return pb.StreamFramesRequest(hello=hello)


def frame_message(sequence: int, captured_at: datetime, jpeg: bytes) -> pb.StreamFramesRequest:
    """One picture."""
    frame = pb.Frame(sequence=sequence, captured_at=_timestamp(captured_at), jpeg=jpeg)
    return pb.StreamFramesRequest(frame=frame)


def limits_of(limits: pb.FrameLimits) -> Limits:
    """What frames must keep to."""
    return Limits(limits.jpeg_bytes_max, limits.width_max, limits.height_max)


def answer_of(result: pb.FrameResult) -> Answer:
    """What became of a frame; an outcome of a newer contract counts as processed."""
    return Answer(
        _OUTCOMES.get(result.outcome, Outcome.PROCESSED),
        faces=result.faces.detected,
        matches=result.matches,
        server_latency_s=result.latency.ToNanoseconds() / 1e9,
        reason=result.error.reason,
        message=result.error.message,
    )


def clock_offset_s(welcome: pb.Welcome) -> float:
    """How far this machine's clock is ahead of the server's."""
    return (datetime.now(UTC) - welcome.server_time.ToDatetime(UTC)).total_seconds()


def _timestamp(moment: datetime) -> Timestamp:
    value = Timestamp()
    value.FromDatetime(moment)
    return value
