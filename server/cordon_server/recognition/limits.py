"""What recognition takes at most, in one place; beyond it a frame or picture is refused."""

from __future__ import annotations

from dataclasses import dataclass

# Frames: from a camera, many a second, so decoding must be cheap whatever the bytes are.
FRAME_BYTES_MAX = 4 << 20
FRAME_WIDTH_MAX = 4096
FRAME_HEIGHT_MAX = 4096
FRAME_SIDE_MIN = 16

# Pictures: reference photographs, one at a time, from whatever took them.
PICTURE_BYTES_MAX = 12 << 20
PICTURE_PIXELS_MAX = 50_000_000
PICTURE_SIDE_MIN = 16
# A progressive JPEG decodes the whole picture once a scan; encoders write about ten.
PICTURE_SCANS_MAX = 32

# Faces of one frame that are embedded and searched; the largest come first.
FACES_PER_FRAME_MAX = 64

# Detector candidates that enter non-maximum suppression, the best first.
CANDIDATES_MAX = 1000

# Pictures cut out for people to look at.
CROP_SIDE_MAX = 320
CROP_JPEG_QUALITY = 88

# Frames of one mailbox without an answer, and pictures that wait in one that takes stills.
UNANSWERED_MAX = 64
STILLS_WAITING_MAX = 8

# Known pictures of one test of a camera, all together, and seconds that it waits for the next.
PREFLIGHT_PICTURES_MAX = 500
PREFLIGHT_BYTES_MAX = 512 << 20
PREFLIGHT_WAIT_S_MAX = 30.0

# Seconds after a camera's last frame until nothing is remembered of the people on it (R1). Above
# what a track waits for its face, so that a frame that comes late continues what it would have.
TRACKS_IDLE_S_MAX = 4.0


@dataclass(frozen=True, slots=True)
class FrameLimits:
    """What every frame must keep to; cameras are told."""

    jpeg_bytes_max: int = FRAME_BYTES_MAX
    width_max: int = FRAME_WIDTH_MAX
    height_max: int = FRAME_HEIGHT_MAX
