"""`cordon camera check`: the server's steps, and the command as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from cordon_camera.check_server import check_server
from cordon_camera.settings import SourceKind, SourceSettings
from cordon_client.errors import ClientError, ExitCode
from cordon_client.identity import ClientIdentity
from tests.helpers import pictures
from tests.helpers.recognition_server import Script, running_server

pytestmark = pytest.mark.slow

CORDON = [sys.executable, "-c", "from cordon_client.main import main; main()"]


async def steps_of(identity: ClientIdentity) -> dict[str, ClientError | str]:
    return {name: outcome async for name, outcome in check_server(identity)}


async def test_a_ready_server_passes_every_step_and_gets_no_frame(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        steps = await steps_of(server.identity)

        assert list(steps) == ["certificate", "server", "secure connection", "clock", "stream"]
        assert not any(isinstance(outcome, ClientError) for outcome in steps.values())
        assert server.servicer.frames == []


async def test_a_clock_that_is_off_is_named_with_its_difference(tmp_path: Path) -> None:
    async with running_server(tmp_path, Script(clock_ahead=timedelta(minutes=5))) as server:
        clock = (await steps_of(server.identity))["clock"]

    assert isinstance(clock, ClientError)
    assert "300 s behind" in clock.what
    assert "timedatectl" in clock.hint


async def test_a_server_certificate_from_the_future_points_at_the_clock(tmp_path: Path) -> None:
    async with running_server(tmp_path, certificate_start=timedelta(hours=3)) as server:
        steps = await steps_of(server.identity)

    *_, last = steps.values()
    assert isinstance(last, ClientError)
    assert "not valid yet" in last.what
    assert "timedatectl" in last.hint


async def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        await server.stop()
        steps = await steps_of(server.identity)

    assert list(steps) == ["certificate", "server"]
    error = steps["server"]
    assert isinstance(error, ClientError)
    assert error.exit_code is ExitCode.UNAVAILABLE


@pytest.mark.parametrize(
    "status", [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS]
)
async def test_a_server_that_only_waits_is_well(tmp_path: Path, status: grpc.StatusCode) -> None:
    async with running_server(tmp_path, Script(refuse=(status, "Later."))) as server:
        steps = await steps_of(server.identity)

    assert "Later." in str(steps["stream"])
    assert not isinstance(steps["stream"], ClientError)


async def test_a_camera_that_is_not_permitted_is_told(tmp_path: Path) -> None:
    refuse = (grpc.StatusCode.PERMISSION_DENIED, "This camera is unknown.")
    async with running_server(tmp_path, Script(refuse=refuse)) as server:
        error = (await steps_of(server.identity))["stream"]

    assert isinstance(error, ClientError)
    assert error.exit_code is ExitCode.NOT_PERMITTED


def film(path: Path, images: Iterator[pictures.Image] | list[pictures.Image]) -> SourceSettings:
    return SourceSettings(SourceKind.FILE, path=pictures.video(path, images))


def check_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CORDON, "camera", "check", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_prints_a_line_for_each_step_and_the_faults_exit_code(tmp_path: Path) -> None:
    done = check_command("--file", str(tmp_path / "none.mp4"), "--no-server")

    assert done.returncode == 6
    assert done.stdout.splitlines() == [
        "failed  picture: it does not exist",
        "        next: check the path",
    ]


def test_the_command_goes_on_to_the_server_and_says_everything_as_json(tmp_path: Path) -> None:
    film(tmp_path / "v.mp4", [pictures.noise(i) for i in range(30)])
    identity = ("--identity", str(tmp_path / "none"))

    done = check_command("--file", str(tmp_path / "v.mp4"), *identity, "--json")

    picture, missing = [json.loads(line) for line in done.stdout.splitlines()]
    assert (picture["step"], picture["ok"]) == ("picture", True)
    assert (missing["step"], missing["ok"]) == ("identity", False)
    assert missing["next_step"]
    assert done.returncode == missing["exit_code"] != 0
