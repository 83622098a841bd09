"""A GPU that fails in service is told to everybody it concerns, and nobody else (R16)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import grpc
import pytest
import simplejpeg
import structlog.testing
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cordon.v1 import recognition_pb2 as pb
from cordon.v1.match_pb2 import ListMatchesRequest
from cordon.v1.match_pb2_grpc import MatchServiceStub
from cordon.v1.recognition_pb2_grpc import RecognitionServiceStub
from cordon_demo.portraits import asset_path
from cordon_server import app, engine, parts
from cordon_server.api.server import RECOGNISING, SERVICES
from cordon_server.config import Settings, load_settings
from cordon_server.recognition import gpu_decode
from cordon_server.recognition.models.cuda import SessionDevice
from cordon_server.recognition.models.on_device import OnDevice
from cordon_server.recognition.models.pack import load_pack
from cordon_server.recognition.models.prepare import prepare
from cordon_server.recognition.models.sessions import Models
from cordon_server.recognition.picture import decode_picture
from tests.helpers import codec
from tests.helpers.devices import host_device
from tests.helpers.rpc import channel_of
from tests.helpers.site import Site, free_port, init_site

PATIENCE_S = 30.0
pytestmark = pytest.mark.slow


@asynccontextmanager
async def served(folder: Path, devices: list[SessionDevice]) -> AsyncIterator[Site]:
    """A server in this process whose networks run behind the GPU's interface."""
    site = Site(folder, free_port())
    await asyncio.to_thread(init_site, site)

    def open_pack(settings: Settings) -> Models:
        settings.models_folder.mkdir(parents=True)
        prepared = prepare(load_pack(), settings.models_folder).for_provider("cuda")
        devices.append(host_device(prepared))
        networks = OnDevice(devices[0])
        networks.limit_batch(2)
        return Models(prepared.pack, "cuda", networks)

    recognition = {"workers": 2, "detector_width": 320, "detector_height": 192}
    settings = load_settings(folder / "cordon.toml", {"recognition": dict(recognition)})
    with (
        patch.object(engine, "open_pack", open_pack),
        patch.object(parts, "load_cudart", codec.PictureMemory),
        patch.object(gpu_decode, "_MODULE", "tests.helpers.codec"),
    ):
        async with asyncio.timeout(3 * PATIENCE_S), app.running(settings) as running:
            assert running.provider == "cuda"
            await asyncio.to_thread(site.sign_in_administrator)
            yield site


async def statuses(channel: grpc.aio.Channel) -> set[str]:
    """The services that say they serve."""
    health = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    answers = {
        service: await health.Check(health_pb2.HealthCheckRequest(service=service))
        for service in ("", *SERVICES)
    }
    return {service for service, answer in answers.items() if answer.status == serving}


class Camera:
    """One stream."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._call = RecognitionServiceStub(channel).StreamFrames()
        self._sequence = 0

    async def greet(self) -> None:
        hello = pb.Hello(client_version="test", source_kind=pb.SOURCE_KIND_STILLS)
        hello.sent_at.GetCurrentTime()
        await self._call.write(pb.StreamFramesRequest(hello=hello))
        await self.hear("credit")

    async def send(self, jpeg: bytes) -> None:
        self._sequence += 1
        frame = pb.Frame(sequence=self._sequence, jpeg=jpeg)
        frame.captured_at.GetCurrentTime()
        await self._call.write(pb.StreamFramesRequest(frame=frame))

    async def hear(self, kind: str) -> pb.StreamFramesResponse:
        async with asyncio.timeout(PATIENCE_S):
            async for response in self._call:
                if response.WhichOneof("payload") == kind:
                    return response
        raise AssertionError(f"the stream ended without {kind}")


async def test_a_lost_gpu_is_told_to_health_cameras_and_the_log_and_nothing_runs_on_the_cpu(
    tmp_path: Path,
) -> None:
    devices: list[SessionDevice] = []
    picture = decode_picture(asset_path("astronaut").read_bytes())
    jpeg = simplejpeg.encode_jpeg(picture, quality=90, colorspace="BGR")
    with structlog.testing.capture_logs() as logs:
        async with served(tmp_path / "site", devices) as site:
            name, identity = await asyncio.to_thread(site.add_camera)
            deployment = await asyncio.to_thread(site.add_deployment, name)
            enrol = ("admin", "watchlist", "enrol", deployment, "x", str(asset_path("astronaut")))
            await asyncio.to_thread(site.cordon, *enrol, "--category", "wanted")
            await asyncio.to_thread(site.arm, deployment)
            async with channel_of(site.admin) as people, channel_of(identity) as channel:
                camera = Camera(channel)
                await camera.greet()
                await camera.send(jpeg)
                before = (await camera.hear("result")).result
                assert codec.Decoder.made[-1].batches  # by the frame, or the calibration
                assert before.faces.searched == 1
                assert await statuses(people) == {"", *SERVICES}

                with patch.object(devices[0], "_sessions", {}):  # every run fails from now on
                    await camera.send(jpeg)
                    lost = (await camera.hear("result")).result
                    halt = (await camera.hear("halt")).halt

                    assert await statuses(people) == set(SERVICES) - set(RECOGNISING)
                    with pytest.raises(grpc.aio.AioRpcError) as refused:
                        await Camera(channel).greet()
                control = await asyncio.to_thread(site.identity, "control", "desk")
                async with channel_of(control) as desk:
                    wanted = ListMatchesRequest(parent=f"deployments/{deployment}")
                    listed = await MatchServiceStub(desk).ListMatches(wanted)

    assert lost.outcome == pb.FRAME_OUTCOME_REJECTED
    assert lost.error.reason == "DEVICE_LOST"
    assert halt.reason == pb.HALT_REASON_SERVER_STOPPING
    assert "GPU has failed" in halt.message
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert len(listed.matches) == 1  # what needs no GPU goes on
    told = [each["event"] for each in logs if each["log_level"] == "critical"]
    assert sorted(told) == ["device.lost", "server.not_serving"]
