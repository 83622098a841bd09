"""A webcam's pictures through the camera process to the server; the kernel's driver is played by a
preloaded library, for no machine that tests run on has a webcam."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers import pictures
from tests.helpers.recognition_server import running_server
from tests.integration.test_camera_process import CORDON

pytestmark = pytest.mark.slow

DRIVER = Path(__file__).parents[1] / "helpers" / "webcam.c"
FRAMES = 10


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        if os.environ.get("CI"):
            pytest.fail("there is no C compiler")
        pytest.skip("no C compiler here that could build the played driver")
    built = tmp_path / "webcam.so"
    command = (compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(built), str(DRIVER))
    subprocess.run((*command, "-ldl"), check=True, timeout=60)
    return built


async def test_a_webcams_jpegs_reach_the_server_as_they_left_it(
    driver: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    taken = [pictures.jpeg(pictures.noise(number, 320, 240)) for number in range(5)]
    for number, jpeg in enumerate(taken):
        (folder / f"{number}.jpg").write_bytes(jpeg)
    async with running_server(tmp_path) as server:
        process = await asyncio.create_subprocess_exec(
            *CORDON,
            *("camera", "run", "--identity", str(server.identity.folder)),
            *("--webcam", "/dev/zero", "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"LD_PRELOAD": str(driver), "WEBCAM_PICTURES": str(folder)},
        )
        async with asyncio.timeout(60):
            while len(server.servicer.frames) < FRAMES and process.returncode is None:
                await asyncio.sleep(0.01)
        still_there = process.returncode is None
        if still_there:
            process.terminate()
        out, err = await asyncio.wait_for(process.communicate(), 30)

        assert still_there, (out, err)
        assert {frame.jpeg for frame in server.servicer.frames} == set(taken)
