"""More cameras, and more frames, than the workers can do: refused or slowed, and told."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from cordon.v1 import recognition_pb2, recognition_pb2_grpc
from cordon_server.config.sections import Limits
from cordon_server.sessions.camera import SUPERSEDED_S_MIN
from tests.data import shared_data
from tests.helpers.frame_stream import PROCESSED, Request, Stream, armed, now
from tests.helpers.rpc import channel_of
from tests.helpers.site import Site

VIDEO_CREDIT = Limits().video_credit
TOO_MUCH_FPS = "60"
"""More than two cameras on any machine that this runs on could have."""

SLOW = {
    "CORDON_RECOGNITION__WORKERS": "1",
    "CORDON_RECOGNITION__DETECTOR_WIDTH": "1920",
    "CORDON_RECOGNITION__DETECTOR_HEIGHT": "1152",
}
"""One worker that looks so closely that a camera's credit alone is more than it can do."""


@pytest.mark.slow
async def test_a_camera_that_does_not_fit_is_told_when_to_come_back_and_then_let_in(
    own_site: Site,
) -> None:
    portrait = shared_data("lfw", "deepfunneled", "Alek_Wek", "Alek_Wek_0001.jpg")
    first, second = own_site.add_camera(), own_site.add_camera()
    armed(own_site, first[0], second[0])
    own_site.stop()
    own_site.environment["CORDON_RECOGNITION__FPS_MIN"] = TOO_MUCH_FPS
    own_site.environment["CORDON_RECOGNITION__WORKERS"] = "1"
    own_site.start()
    async with channel_of(first[1]) as one, channel_of(second[1]) as other:
        staying = Stream(one)
        await staying.hello()

        refused = Stream(other)
        with pytest.raises((grpc.aio.AioRpcError, AssertionError)):
            await refused.hello()
        status = await _rich_status(refused.call)
        run = ("camera", "run", "--json", "--folder", str(portrait.parent))
        camera = own_site.spawn(*run, identity=second[1])
        try:
            await asyncio.to_thread(_wait_for, camera, "no room for another")
            assert (await staying.frame(portrait.read_bytes())).outcome == PROCESSED
            staying.call.cancel()
            out, errors = await asyncio.to_thread(camera.communicate, None, 60)
        finally:
            camera.kill()

    assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert info.reason == "NO_CAPACITY"
    assert retry.retry_delay.seconds > 0
    assert camera.returncode == 0, errors
    assert json.loads(out.splitlines()[-1])["processed"] == 1


def _wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"never said: {words}")


async def _rich_status(call: grpc.aio.StreamStreamCall) -> status_pb2.Status:  # type: ignore[type-arg]  # the stub's own
    for key, value in await call.trailing_metadata():
        if key == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value)
    raise AssertionError("no details")


@pytest.mark.slow
async def test_a_camera_that_floods_is_told_to_slow_down_and_its_neighbour_is_served(
    own_site: Site,
) -> None:
    flood, calm = own_site.add_camera("flood"), own_site.add_camera("calm")
    armed(own_site, flood[0], calm[0])
    own_site.stop()
    own_site.environment |= SLOW
    own_site.start()
    portrait = shared_data("lfw", "deepfunneled", "Alek_Wek", "Alek_Wek_0001.jpg").read_bytes()
    async with channel_of(flood[1]) as one, channel_of(calm[1]) as other:
        began_s = asyncio.get_running_loop().time()
        flooding = asyncio.create_task(_flood(one, portrait))
        neighbour = Stream(other)
        await neighbour.hello()
        until_s = asyncio.get_running_loop().time() + 60
        while not flooding.done() and asyncio.get_running_loop().time() < until_s:
            assert (await neighbour.frame(portrait)).outcome == PROCESSED
        flood_s = asyncio.get_running_loop().time() - began_s
        advised_fps, fates = await asyncio.wait_for(flooding, 1)

    assert advised_fps >= 2
    assert fates[recognition_pb2.FRAME_OUTCOME_SUPERSEDED] > 0
    # It was answered every frame, and got no credit to send at what the network carries.
    in_time = VIDEO_CREDIT * (flood_s / SUPERSEDED_S_MIN + 1)
    assert fates.total() <= in_time + VIDEO_CREDIT * fates[PROCESSED]
    advised = [json.loads(x) for x in own_site.log.splitlines() if '"camera.advised"' in x]
    assert {each["camera"] for each in advised} == {flood[0]}


async def _flood(channel: grpc.aio.Channel, jpeg: bytes) -> tuple[float, Counter[int]]:
    """Sends video as fast as credit allows until it is told to slow down; what became of it."""
    call = recognition_pb2_grpc.RecognitionServiceStub(channel).StreamFrames()
    hello = recognition_pb2.Hello(
        client_version="0", sent_at=now(), source_kind=recognition_pb2.SOURCE_KIND_VIDEO
    )
    await call.write(Request(hello=hello))
    sequence, fates = 0, Counter[int]()
    while True:
        response = await call.read()
        assert isinstance(response, recognition_pb2.StreamFramesResponse)
        if response.WhichOneof("payload") == "result":
            fates[response.result.outcome] += 1
        if response.advice.fps_max:
            return response.advice.fps_max, fates
        for _ in range(response.credit.frames):
            sequence += 1
            frame = recognition_pb2.Frame(sequence=sequence, captured_at=now(), jpeg=jpeg)
            await call.write(Request(frame=frame))
