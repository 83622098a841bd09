"""Real street frames as a camera would send them: JPEG files in a folder."""

from __future__ import annotations

from pathlib import Path

import av
import simplejpeg

from tests.data import shared_data

JPEG_QUALITY = 85
FRAMES_MAX = 105


def write_frames(folder: Path) -> list[Path]:
    """Decodes the Covent Garden clip (1080p, about six faces a frame) and encodes each frame once.

    Takes every n-th frame so that the whole clip is covered. Colours are at half size (4:2:0), as
    the clip has them and as cameras encode.
    """
    video = shared_data("videos", "walking", "covent_garden_1080p.mp4")
    folder.mkdir(parents=True, exist_ok=True)
    with av.open(str(video)) as container:
        total = container.streams.video[0].frames or FRAMES_MAX
        every = max(1, total // FRAMES_MAX)
        for number, frame in enumerate(container.decode(video=0)):
            if number % every or number // every >= FRAMES_MAX:
                continue
            jpeg = simplejpeg.encode_jpeg(
                frame.to_ndarray(format="bgr24"), JPEG_QUALITY, "BGR", "420"
            )
            (folder / f"{number:06d}.jpg").write_bytes(jpeg)
    return frame_files(folder)


def frame_files(folder: Path) -> list[Path]:
    """The frames in their order."""
    return sorted(folder.glob("*.jpg"))
