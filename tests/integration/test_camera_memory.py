"""The installed camera command as a process of its own: what it loads, prints and weighs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data import shared_data
from tests.helpers import pictures
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
