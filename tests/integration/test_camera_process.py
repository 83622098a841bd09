"""The installed camera command as a process of its own: what it loads, prints and weighs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import shared_data
from tests.helpers import pictures
from tests.helpers.network_camera import Behaviour, network_camera
from tests.helpers.recognition_server import RunningServer, running_server

pytestmark = pytest.mark.slow

MEMORY_BYTES_MAX = 120_000_000
CORDON = [sys.executable, "-c", "from cordon_client.main import main; main()"]


async def start_camera(server: RunningServer, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *CORDON,
        *("camera", "run", "--identity", str(server.identity.folder), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def peak_bytes(pid: int) -> int:
    """The largest resident memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def proc_file(pid: int, name: str) -> bytes:
    """What everybody can read of a process."""
    return Path(f"/proc/{pid}/{name}").read_bytes()


async def test_streaming_1080p_stays_under_120_mb(tmp_path: Path) -> None:
    film = shared_data("videos", "walking", "covent_garden_1080p.mp4")
    async with running_server(tmp_path) as server:
        process = await start_camera(server, "--file", str(film), "--json", "--loop")
        assert process.stdout is not None
        peak = 0
        async with asyncio.timeout(60):
            for _ in range(8):
                await process.stdout.readline()
                peak = peak_bytes(process.pid)
        process.terminate()
        await process.communicate()

        assert len(server.servicer.frames) > 100
        print(f"peak resident memory {peak / 1e6:.1f} MB")
        assert peak < MEMORY_BYTES_MAX


async def run_camera(server: RunningServer, *arguments: str) -> tuple[int, str, str]:
    process = await start_camera(server, *arguments)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_folder_is_streamed_with_json_alone_on_standard_output(tmp_path: Path) -> None:
    pictures.jpeg_folder(tmp_path / "faces", 5)
    async with running_server(tmp_path) as server:
        code, out, err = await run_camera(server, "--folder", str(tmp_path / "faces"), "--json")

        events = [json.loads(line) for line in out.splitlines()]
        assert code == 0
        assert events[-1]["event"] == "summary"
        assert events[-1]["processed"] == 5
        assert err == ""


async def test_without_json_standard_output_stays_empty(tmp_path: Path) -> None:
    pictures.jpeg_folder(tmp_path / "faces", 2)
    async with running_server(tmp_path) as server:
        code, out, err = await run_camera(server, "--folder", str(tmp_path / "faces"))

        assert code == 0
        assert out == ""
        assert "event=camera.summary" in err


async def test_a_missing_file_ends_with_three_lines_and_not_found(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        code, _, err = await run_camera(server, "--file", str(tmp_path / "none.mp4"))

        assert code == 6
        assert "error: No picture comes from file" in err
        assert "hint: check the path" in err
        assert "Traceback" not in err


async def test_a_password_shows_in_no_argument_environment_or_output(tmp_path: Path) -> None:
    secret = "correct horse"
    (tmp_path / "password").write_text(f"{secret}\n")
    (tmp_path / "password").chmod(0o600)
    behaviour = Behaviour(authentication="Digest")
    async with running_server(tmp_path) as server:
        with network_camera("rtsp", behaviour) as port:
            process = await start_camera(
                server,
                *("--rtsp", "127.0.0.1", "--port", str(port), "--stream-path", "/live"),
                *("--user", "viewer", "--password-file", str(tmp_path / "password"), "--json"),
            )
            while not behaviour.requests:
                await asyncio.sleep(0.01)
            seen = [proc_file(process.pid, name) for name in ("cmdline", "environ")]
            async with asyncio.timeout(30):
                out, err = await process.communicate()

    assert process.returncode == 4, "the password is wrong"
    assert any("Authorization" in r or "Digest" in r for r in behaviour.requests)
    for text in (*seen, out, err):
        assert secret.encode() not in text
        assert b"horse" not in text


@pytest.mark.parametrize(("told", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_the_stream_ends_in_order_when_the_process_is_told_to(
    tmp_path: Path, told: signal.Signals, code: int
) -> None:
    film = pictures.video(tmp_path / "v.mp4", (pictures.noise(i, 64, 64) for i in range(25)))
    async with running_server(tmp_path) as server:
        process = await start_camera(server, "--file", str(film), "--loop", "--json")
        while not server.servicer.frames:
            await asyncio.sleep(0.01)
        process.send_signal(told)
        async with asyncio.timeout(5):
            out, err = await process.communicate()

        assert process.returncode == code
        assert json.loads(out.splitlines()[-1])["event"] == "summary"
        assert err == b""


def test_the_camera_loads_no_model_code_and_nothing_of_the_server() -> None:
    script = (
        "import importlib, pkgutil, sys, cordon_camera\n"
        "for m in pkgutil.walk_packages(cordon_camera.__path__, 'cordon_camera.'):\n"
        "    m.name.endswith('__main__') or importlib.import_module(m.name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )

    loaded = set(done.stdout.split())
    assert {"av", "simplejpeg", "grpc"} <= loaded
    assert not loaded & {"cordon_server", "cv2", "onnx", "onnxruntime", "lmdb", "usearch", "PIL"}


def test_importing_the_camera_loads_neither_arrays_nor_video() -> None:
    script = "import sys, cordon_camera.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )

    assert not {"av", "numpy", "simplejpeg", "grpc"} & set(done.stdout.split())


@pytest.mark.parametrize("command", ["run", "check"])
def test_help_shows_examples(command: str) -> None:
    done = subprocess.run(
        [*CORDON, "camera", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={**os.environ, "COLUMNS": "100"},
    )

    assert "Examples:" in done.stdout
    assert f"cordon camera {command} " in done.stdout
