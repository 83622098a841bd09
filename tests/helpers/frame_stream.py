"""A camera's stream driven message by message, and a deployment that looks at it."""

from __future__ import annotations

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from cordon.v1 import recognition_pb2, recognition_pb2_grpc
from tests.data import shared_data
from tests.helpers.site import Site

Request = recognition_pb2.StreamFramesRequest
Response = recognition_pb2.StreamFramesResponse
PROCESSED = recognition_pb2.FRAME_OUTCOME_PROCESSED
REJECTED = recognition_pb2.FRAME_OUTCOME_REJECTED


def now() -> Timestamp:
    stamp = Timestamp()
    stamp.GetCurrentTime()
    return stamp


class Stream:
    """A camera's stream, driven message by message."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.call = recognition_pb2_grpc.RecognitionServiceStub(channel).StreamFrames()
        self.sequence = 0

    async def hello(
        self,
        sent_at: Timestamp | None = None,
        source_kind: recognition_pb2.SourceKind.ValueType = recognition_pb2.SOURCE_KIND_STILLS,
    ) -> recognition_pb2.Welcome:
        """Says Hello, as a camera of stills where nothing else is asked; what is answered."""
        hello = recognition_pb2.Hello(
            client_version="0",
            sent_at=sent_at or now(),
            source_kind=source_kind,
        )
        await self.call.write(Request(hello=hello))
        return (await self._next("welcome")).welcome

    async def frame(
        self, jpeg: bytes, captured_at: Timestamp | None = None
    ) -> recognition_pb2.FrameResult:
        """Sends a frame and waits for its result."""
        self.sequence += 1
        frame = recognition_pb2.Frame(
            sequence=self.sequence, captured_at=captured_at or now(), jpeg=jpeg
        )
        await self.call.write(Request(frame=frame))
        return (await self._next("result")).result

    async def _next(self, payload: str) -> Response:
        while True:
            response = await self.call.read()
            if not isinstance(response, Response):
                raise AssertionError(f"the stream ended: {await self.call.details()}")
            if response.WhichOneof("payload") == payload:
                return response


def armed(site: Site, *cameras: str) -> str:
    """An armed deployment with one subject, whose picture is the portrait."""
    deployment = site.add_deployment(*cameras)
    picture = shared_data("lfw", "deepfunneled", "Alek_Wek", "Alek_Wek_0001.jpg")
    enrol = ("admin", "watchlist", "enrol", deployment, "listed", str(picture))
    site.cordon(*enrol, "--category", "wanted")
    site.arm(deployment)
    return deployment
