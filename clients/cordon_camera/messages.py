"""Between the contract's messages and this client's values; the only module that reads messages."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version

from google.protobuf.timestamp_pb2 import Timestamp

from cordon.v1 import recognition_pb2 as pb
from cordon_camera.flow import Limits, Outcome
from cordon_camera.status import Answer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
        source_kind=pb.SOURCE_KIND_STILLS if stills else pb.SOURCE_KIND_VIDEO,
    )
    _set(hello.sent_at, datetime.now(UTC))
    return pb.StreamFramesRequest(hello=hello)


def frame_message(sequence: int, captured_at: datetime, jpeg: bytes) -> pb.StreamFramesRequest:
    """One picture."""
    # Filled in where it is: a message given to another is copied, the picture with it.
    request = pb.StreamFramesRequest()
    request.frame.sequence = sequence
    _set(request.frame.captured_at, captured_at)
    request.frame.jpeg = jpeg
    return request


def limits_of(limits: pb.FrameLimits) -> Limits:
    """What frames must keep to."""
    return Limits(limits.jpeg_bytes_max, limits.width_max, limits.height_max)


def answer_of(result: pb.FrameResult, name: str) -> Answer:
    """What became of the frame of this name; an outcome of a newer contract counts as processed."""
    return Answer(
        _OUTCOMES.get(result.outcome, Outcome.PROCESSED),
        faces=result.faces.detected,
        matches=result.matches,
        server_latency_s=result.latency.seconds + result.latency.nanos / 1e9,
        reason=result.error.reason,
        message=result.error.message,
        name=name,
    )


def clock_offset_s(welcome: pb.Welcome) -> float:
    """How far this machine's clock is ahead of the server's."""
    return (datetime.now(UTC) - welcome.server_time.ToDatetime(UTC)).total_seconds()


def _set(timestamp: Timestamp, moment: datetime) -> None:
    """By hand: the library's way takes as long as all the rest of a message."""
    since = moment - _EPOCH
    timestamp.seconds = since.days * 86_400 + since.seconds
    timestamp.nanos = since.microseconds * 1000
