"""A server told to stop finishes what it has begun; one that starts says when it can."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cordon.v1 import recognition_pb2, recognition_pb2_grpc
from tests.helpers.frame_stream import armed, now
from tests.helpers.rpc import channel_of
from tests.helpers.site import CORDON, Site

Health = health_pb2.HealthCheckResponse


@pytest.mark.slow
async def test_on_sigterm_frames_under_way_are_answered_and_cameras_are_told(
    own_site: Site, portrait: bytes
) -> None:
    camera, identity = own_site.add_camera()
    deployment = armed(own_site, camera)
    async with channel_of(identity) as channel:
        call = recognition_pb2_grpc.RecognitionServiceStub(channel).StreamFrames()
        await call.write(recognition_pb2.StreamFramesRequest(hello=_hello()))
        credit = await _credit(call)
        for sequence in range(1, credit + 1):
            frame = recognition_pb2.Frame(sequence=sequence, captured_at=now(), jpeg=portrait)
            await call.write(recognition_pb2.StreamFramesRequest(frame=frame))
        stopping = asyncio.create_task(asyncio.to_thread(own_site.stop, signal.SIGTERM))
        answered, halt = await _rest(call)

    assert await stopping == 0
    assert halt == recognition_pb2.HALT_REASON_SERVER_STOPPING
    # One that was still in the network at the signal is nobody's; of the others none is missing.
    assert [result.sequence for result in answered] == list(range(1, len(answered) + 1))
    assert len(answered) >= 1
    own_site.start()
    logged = own_site.cordon_json("admin", "deployment", "show", deployment)["match_count"]
    assert logged == sum(result.matches for result in answered)


@pytest.mark.slow
async def test_health_says_not_serving_until_everything_is_loaded(own_site: Site) -> None:
    own_site.stop()
    command = (*CORDON, "server", "run", "--config", str(own_site.folder / "cordon.toml"))
    process = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs in this loop
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    seen: list[int] = []
    try:
        deadline = time.monotonic() + 60
        async with channel_of(own_site.admin) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while time.monotonic() < deadline and Health.SERVING not in seen:
                try:
                    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
                    seen.append(answer.status)
                except grpc.aio.AioRpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017  # not up yet
                await asyncio.sleep(0.002)
    finally:
        process.terminate()
        assert process.wait(30) == 0
    assert seen[-1] == Health.SERVING
    assert set(seen[:-1]) <= {Health.NOT_SERVING}


def _hello() -> recognition_pb2.Hello:
    return recognition_pb2.Hello(
        client_version="0", sent_at=now(), source_kind=recognition_pb2.SOURCE_KIND_STILLS
    )


async def _credit(call: grpc.aio.StreamStreamCall) -> int:  # type: ignore[type-arg]  # the stub's own
    while True:
        response = await call.read()
        assert isinstance(response, recognition_pb2.StreamFramesResponse)
        if response.WhichOneof("payload") == "credit":
            return response.credit.frames


async def _rest(
    call: grpc.aio.StreamStreamCall,  # type: ignore[type-arg]  # the stub's own
) -> tuple[list[recognition_pb2.FrameResult], int]:
    """Results until the stream ends, and the reason it was halted for."""
    results: list[recognition_pb2.FrameResult] = []
    halt = recognition_pb2.HALT_REASON_UNSPECIFIED
    while isinstance(response := await call.read(), recognition_pb2.StreamFramesResponse):
        if response.WhichOneof("payload") == "result":
            results.append(response.result)
        elif response.WhichOneof("payload") == "halt":
            halt = response.halt.reason
    return results, halt
