"""Pictures from a network camera by RTSP, through the camera process, to the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from tests.helpers import h264, pictures
from tests.helpers.network_camera import Behaviour, network_camera
from tests.helpers.recognition_server import running_server
from tests.integration.test_camera_process import start_camera

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 320, 240
FRAMES = 10


def scene(number: int) -> pictures.Image:
    """Noise that stays, so that H.264 has parts to fragment, and a grey that tells the number."""
    image = pictures.noise(1, WIDTH, HEIGHT)
    image[: HEIGHT // 2] = 40 + number * 2 % 160
    return image


def h264_camera() -> Behaviour:
    encoder = h264.Encoder(WIDTH, HEIGHT)
    return Behaviour(
        sdp_video=h264.SDP_VIDEO,
        pictures=lambda number: encoder.encode(scene(number)),
        packets=h264.packets,
    )


def jpeg_camera() -> Behaviour:
    return Behaviour(pictures=lambda number: pictures.jpeg(scene(number)))


@pytest.mark.parametrize("camera", [h264_camera, jpeg_camera])
async def test_a_network_cameras_pictures_arrive_as_jpeg_in_their_order(
    camera: Callable[[], Behaviour], tmp_path: Path
) -> None:
    async with running_server(tmp_path) as server:
        with network_camera("rtsp", camera()) as port:
            process = await start_camera(
                server,
                *("--rtsp", "127.0.0.1", "--port", str(port), "--stream-path", "/live", "--json"),
            )
            async with asyncio.timeout(60):
                while len(server.servicer.frames) < FRAMES and process.returncode is None:
                    await asyncio.sleep(0.01)
            still_there = process.returncode is None
            if still_there:
                process.terminate()
            out, err = await asyncio.wait_for(process.communicate(), 30)

        assert still_there, (out, err)
        images = [simplejpeg.decode_jpeg(frame.jpeg, "RGB") for frame in server.servicer.frames]
    assert {image.shape for image in images} == {(HEIGHT, WIDTH, 3)}
    greys = [float(np.median(image[: HEIGHT // 2])) for image in images[:FRAMES]]
    assert greys == sorted(greys)
    assert greys[0] < greys[-1]
