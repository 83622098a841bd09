"""Looks at a few seconds of a source's pictures: do any come, are they black, do they change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING

import av
import numpy as np

from cordon_camera.faults import Fault, SourceError
from cordon_camera.settings import SourceKind, SourceSettings, StreamSettings
from cordon_camera.sources import Picture, open_source

if TYPE_CHECKING:
    from av import VideoFrame
    from numpy.typing import NDArray

_LOOK_S = 3.0
_PICTURES_MAX = 75
_FROZEN_PICTURES_MIN = 10
_STEP_PX = 4
# Luma from 0 to 255. The brightest hundredth of a lit picture is far above; the noise of a covered
# lens is far below.
_BLACK_LUMA_MAX = 32.0
# Even a still scene has noise that moves some pixel by more than this within seconds.
_FROZEN_DIFFERENCE_MAX = 1


def look_at(source: SourceSettings, stream: StreamSettings) -> str:
    """What was seen, in words; raises SourceError with the fault."""
    started_s = monotonic()
    opened = open_source(source, replace(stream, realtime=False, fps=0.0, loop=False))
    # A source that stays silent ends by its own read timeout; this ends one that never stops.
    timer = Timer(_LOOK_S, opened.close)
    timer.start()
    try:
        seen = _Seen(source)
        for picture in _first(opened.frames()):
            seen.add(picture)
    except SourceError:
        if not seen.count:
            raise
    finally:
        timer.cancel()
        opened.close()
    seen.judge()
    return seen.describe(monotonic() - started_s)


def _first(pictures: Iterator[Picture]) -> Iterator[Picture]:
    for _, picture in zip(range(_PICTURES_MAX), pictures, strict=False):
        yield picture


class _Seen:
    """What the pictures had in common; keeps one small luma picture at a time."""

    def __init__(self, source: SourceSettings) -> None:
        self._source = source
        self.count = 0
        self._brightest = 0.0
        self._largest_change = 0
        self._last: NDArray[np.int16] | None = None
        self._size = (0, 0)

    def add(self, picture: Picture) -> None:
        """Looks at one picture."""
        luma = _luma(picture)
        if luma is None:
            return
        self.count += 1
        self._size = picture.size
        self._brightest = max(self._brightest, float(np.percentile(luma, 99)))
        if self._last is not None and self._last.shape == luma.shape:
            change = int(np.abs(luma - self._last).max())
            self._largest_change = max(self._largest_change, change)
        elif self._last is not None:
            self._largest_change = 255
        self._last = luma

    def judge(self) -> None:
        """Raises SourceError where the pictures are none, black or all the same."""
        described = self._source.describe()
        if not self.count:
            is_live = self._source.kind.is_live
            raise SourceError(Fault.NO_DATA if is_live else Fault.NOT_A_VIDEO, described)
        if self._brightest <= _BLACK_LUMA_MAX:
            raise SourceError(Fault.BLACK, described)
        moving = self._source.kind is not SourceKind.FOLDER
        enough = self.count >= _FROZEN_PICTURES_MIN
        if moving and enough and self._largest_change <= _FROZEN_DIFFERENCE_MAX:
            raise SourceError(Fault.FROZEN, described, f"{self.count} pictures")

    def describe(self, seconds: float) -> str:
        """What there is to see."""
        width, height = self._size
        return f"{width}x{height}, {self.count} pictures in {seconds:.1f} s"


def _luma(picture: Picture) -> NDArray[np.int16] | None:
    """Every fourth pixel's brightness; None for JPEG that cannot be decoded."""
    frame = picture.planes if picture.planes is not None else _decoded(picture.jpeg or b"")
    if frame is None:
        return None
    grey = frame.reformat(format="gray").to_ndarray()
    return np.asarray(grey)[::_STEP_PX, ::_STEP_PX].astype(np.int16)


def _decoded(jpeg: bytes) -> VideoFrame | None:
    context = av.CodecContext.create("mjpeg", "r")
    try:
        frames = context.decode(av.Packet(jpeg)) + context.decode(None)
    except (av.FFmpegError, OSError):
        return None
    return frames[0] if frames else None
