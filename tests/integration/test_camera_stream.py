"""The camera's stream against a real mutual-TLS server: order, credit, resume, pace."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import simplejpeg

from cordon.v1 import recognition_pb2 as pb
from cordon_camera.settings import StreamSettings
from cordon_client.errors import ExitCode
from tests.helpers import pictures
from tests.helpers.camera_run import LIVE, Camera, Endless, file_of, folder_of, until
from tests.helpers.recognition_server import Script, running_server

pytestmark = pytest.mark.slow


async def test_every_picture_of_a_folder_arrives_untouched_and_in_order(tmp_path: Path) -> None:
    sent = pictures.jpeg_folder(tmp_path / "faces", 25)
    async with running_server(tmp_path) as server:
        camera = Camera(server.identity, folder_of(tmp_path / "faces"))

        code = await camera.run()

        assert code is ExitCode.OK
        assert [frame.jpeg for frame in server.servicer.frames] == sent
        assert server.servicer.hellos[0].source_kind == pb.SOURCE_KIND_STILLS
        assert server.servicer.overdrawn == 0
        assert camera.summary["frames_sent"] == camera.summary["processed"] == 25
        assert camera.summary["faces"] == 50
        assert camera.summary["round_trip_ms_p50"] is not None


async def test_stills_that_a_broken_stream_left_unanswered_are_sent_again(tmp_path: Path) -> None:
    sent = pictures.jpeg_folder(tmp_path / "faces", 12)
    async with running_server(tmp_path, Script(credit=3, break_after=3)) as server:
        camera = Camera(server.identity, folder_of(tmp_path / "faces"))

        code = await camera.run()

        assert code is ExitCode.OK
        assert [frame.jpeg for frame in server.servicer.frames] == sent
        assert [s[0] for s in server.servicer.sequences] == [1, 1]
        assert "restarting" in str(camera.events("waiting")[0]["message"])


async def test_a_folder_with_a_rejected_picture_ends_partly_and_names_it(tmp_path: Path) -> None:
    pictures.jpeg_folder(tmp_path / "faces", 3)
    bad = b"not a picture at all"
    (tmp_path / "faces" / "0001.jpg").write_bytes(bad)

    def outcome(frame: pb.Frame) -> pb.FrameOutcome.ValueType:
        is_bad = frame.jpeg == bad
        return pb.FRAME_OUTCOME_REJECTED if is_bad else pb.FRAME_OUTCOME_PROCESSED

    async with running_server(tmp_path, Script(outcome=outcome)) as server:
        camera = Camera(server.identity, folder_of(tmp_path / "faces"))

        code = await camera.run()

        assert code is ExitCode.PARTLY
        assert [each["name"] for each in camera.summary["rejections"]] == ["0001.jpg"]
        assert camera.summary["processed"] == 2


async def test_a_picture_over_the_servers_limit_is_counted_and_spares_the_line(
    tmp_path: Path,
) -> None:
    pictures.jpeg_folder(tmp_path / "faces", 2)
    (tmp_path / "faces" / "big.jpg").write_bytes(pictures.jpeg(pictures.noise(0, 800, 600)))
    async with running_server(tmp_path, Script(jpeg_bytes_max=100_000)) as server:
        camera = Camera(server.identity, folder_of(tmp_path / "faces"))

        code = await camera.run()

        assert code is ExitCode.PARTLY
        assert len(server.servicer.frames) == 2
        assert camera.summary["rejected"] == 1


async def test_a_live_source_sends_its_newest_picture_when_credit_comes(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with running_server(tmp_path, Script(credit=1, answer_gate=gate)) as server:
        source = Endless()
        camera = Camera(server.identity, LIVE, opener=lambda *_: source)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(camera.run())
            await until(lambda: server.servicer.frames)
            slot = camera.stream._slot
            await until(lambda: slot.replaced > 20)
            gate.set()
            await until(lambda: len(server.servicer.frames) >= 2)
            first, second = server.servicer.frames[:2]
            age = second.captured_at.ToNanoseconds() - first.captured_at.ToNanoseconds()
            running.cancel()

        assert age > 60e6, "the second frame is not the one that waited longest, but the newest"
        assert server.servicer.overdrawn == 0


async def test_advice_thins_out_a_live_source(tmp_path: Path) -> None:
    async with running_server(tmp_path, Script(advice=pb.Advice(fps_max=10))) as server:
        camera = Camera(server.identity, LIVE, opener=lambda *_: Endless())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(camera.run())
            await until(lambda: len(server.servicer.frames) >= 8)
            running.cancel()

        times = [frame.captured_at.ToNanoseconds() / 1e9 for frame in server.servicer.frames]
        assert times[7] - times[0] >= 0.6


async def test_advised_size_is_kept_to_where_the_client_encodes(tmp_path: Path) -> None:
    film = pictures.video(tmp_path / "v.mp4", (pictures.noise(i, 640, 360) for i in range(5)))
    async with running_server(tmp_path, Script(advice=pb.Advice(side_px_max=320))) as server:
        camera = Camera(server.identity, file_of(film), StreamSettings(realtime=False))

        code = await camera.run()

        assert code is ExitCode.OK
        sizes = {simplejpeg.decode_jpeg_header(f.jpeg)[:2] for f in server.servicer.frames}
        assert sizes == {(180, 320)}


async def test_a_file_plays_in_its_own_time_and_ends_well(tmp_path: Path) -> None:
    film = pictures.video(tmp_path / "v.mp4", (pictures.noise(i, 64, 64) for i in range(15)))
    async with running_server(tmp_path) as server:
        camera = Camera(server.identity, file_of(film))

        code = await camera.run()

        assert code is ExitCode.OK
        times = [frame.captured_at.ToNanoseconds() / 1e9 for frame in server.servicer.frames]
        assert 0.4 < times[-1] - times[0] < 1.5, "15 frames at 25 a second"
        assert server.servicer.hellos[0].source_kind == pb.SOURCE_KIND_VIDEO


async def test_without_realtime_every_frame_of_a_file_is_sent(tmp_path: Path) -> None:
    film = pictures.video(tmp_path / "v.mp4", (pictures.noise(i, 64, 64) for i in range(50)))
    async with running_server(tmp_path) as server:
        camera = Camera(server.identity, file_of(film), StreamSettings(realtime=False))

        await camera.run()

        assert len(server.servicer.frames) == 50
        assert camera.summary["skipped"] == 0


async def test_a_source_that_breaks_off_is_opened_again(tmp_path: Path) -> None:
    openings: list[Endless] = []

    def opener(*_: object) -> Endless:
        openings.append(Endless(frames=5))
        return openings[-1]

    async with running_server(tmp_path) as server:
        camera = Camera(server.identity, LIVE, opener=opener)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(camera.run())
            await until(lambda: len(openings) >= 3)
            running.cancel()

        assert camera.events("no picture")
        assert len(server.servicer.sequences) == 1, "the stream to the server stays"
