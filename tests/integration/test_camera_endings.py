"""What ends a camera's stream, what it waits out, and with which exit code."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from cordon.v1 import recognition_pb2 as pb
from cordon_camera.faults import Fault, SourceError
from cordon_client.errors import ClientError, ExitCode
from tests.helpers import pictures
from tests.helpers.camera_run import LIVE, Camera, Endless, file_of, folder_of, until
from tests.helpers.recognition_server import Script, running_server

pytestmark = pytest.mark.slow


REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED: ExitCode.SIGN_IN,
    grpc.StatusCode.PERMISSION_DENIED: ExitCode.NOT_PERMITTED,
    grpc.StatusCode.ALREADY_EXISTS: ExitCode.CONFLICT,
}


@pytest.mark.parametrize("status", REFUSALS, ids=lambda status: status.name)
async def test_a_final_refusal_ends_the_camera_with_its_exit_code(
    tmp_path: Path, status: grpc.StatusCode
) -> None:
    pictures.jpeg_folder(tmp_path / "faces", 2)
    async with running_server(tmp_path, Script(refuse=(status, "Not you."))) as server:
        camera = Camera(server.identity, folder_of(tmp_path / "faces"))

        with pytest.raises(ClientError) as raised:
            await camera.run()

        assert raised.value.exit_code is REFUSALS[status]
        assert "Not you." in raised.value.what
        assert camera.summary["frames_sent"] == 0


async def test_a_camera_without_an_armed_deployment_waits_and_says_so(tmp_path: Path) -> None:
    sent = pictures.jpeg_folder(tmp_path / "faces", 3)
    message = "No armed deployment uses this camera; arm one."
    script = Script(refuse=(grpc.StatusCode.FAILED_PRECONDITION, message))
    async with running_server(tmp_path, script) as server:
        camera = Camera(server.identity, folder_of(tmp_path / "faces"))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(camera.run())
            # gRPC may hide a first refusal behind a broken write; the next tells it.
            await until(lambda: any(message in str(e["message"]) for e in camera.events("waiting")))
            script.refuse = None

        assert running.result() is ExitCode.OK
        assert [frame.jpeg for frame in server.servicer.frames] == sent


async def test_a_revoked_camera_stops_for_good(tmp_path: Path) -> None:
    halt = (pb.HALT_REASON_CAMERA_REVOKED, "Ask an administrator.")
    async with running_server(tmp_path, Script(halt=halt)) as server:
        camera = Camera(server.identity, LIVE, opener=lambda *_: Endless())

        with pytest.raises(ClientError) as raised:
            await camera.run()

        assert raised.value.exit_code is ExitCode.NOT_PERMITTED
        assert len(server.servicer.hellos) == 1


async def test_a_stopping_server_is_waited_for(tmp_path: Path) -> None:
    script = Script(halt=(pb.HALT_REASON_SERVER_STOPPING, "Back soon."))
    async with running_server(tmp_path, script) as server:
        camera = Camera(server.identity, LIVE, opener=lambda *_: Endless())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(camera.run())
            await until(lambda: camera.events("waiting"))
            script.halt = None
            await until(lambda: server.servicer.frames)
            running.cancel()

        assert len(server.servicer.hellos) >= 2


async def test_a_server_that_is_gone_and_comes_back_gets_every_still(tmp_path: Path) -> None:
    sent = pictures.jpeg_folder(tmp_path / "faces", 40)
    script = Script(credit=1, answer_gate=asyncio.Event())
    async with running_server(tmp_path, script) as first:
        camera = Camera(first.identity, folder_of(tmp_path / "faces"))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(camera.run())
            await until(lambda: first.servicer.frames)
            await first.stop()
            await until(lambda: camera.events("waiting"))
            async with running_server(
                tmp_path / "again", port=first.port, authority=first.authority
            ) as second:
                await until(running.done, 15)

                assert running.result() is ExitCode.OK
                assert [frame.jpeg for frame in second.servicer.frames] == sent


async def test_a_file_whose_server_is_not_there_ends_as_unavailable(tmp_path: Path) -> None:
    film = pictures.video(tmp_path / "v.mp4", (pictures.noise(i, 64, 64) for i in range(3)))
    async with running_server(tmp_path) as server:
        await server.stop()
        camera = Camera(server.identity, file_of(film))

        with pytest.raises(ClientError) as raised:
            await camera.run()

        assert raised.value.exit_code is ExitCode.UNAVAILABLE


async def test_a_missing_file_is_said_at_once(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        camera = Camera(server.identity, file_of(tmp_path / "none.mp4"))

        with pytest.raises(SourceError) as raised:
            await camera.run()

        assert raised.value.fault is Fault.MISSING
        assert raised.value.exit_code is ExitCode.NOT_FOUND


async def test_the_clock_of_a_still_is_that_of_its_sending(tmp_path: Path) -> None:
    pictures.jpeg_folder(tmp_path / "faces", 4)
    async with running_server(tmp_path, Script(credit=1)) as server:
        await Camera(server.identity, folder_of(tmp_path / "faces")).run()

        times = [frame.captured_at.ToNanoseconds() for frame in server.servicer.frames]
        assert times == sorted(times)
        assert len(set(times)) == 4
        assert timedelta(seconds=times[-1] / 1e9 - times[0] / 1e9) < timedelta(seconds=60)
