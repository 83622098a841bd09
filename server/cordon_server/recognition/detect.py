"""Finds faces: a frame in, faces in the frame's own pixels out. Knows a YuNet-shaped detector only.

YuNet (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023) gives, for each cell of
grids of 8, 16 and 32 pixels, a class and an object score, a box and five landmarks relative to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import (
    Box,
    Face,
    ModelFailed,
)
from cordon_server.recognition.align import to_planes
from cordon_server.recognition.limits import CANDIDATES_MAX
from cordon_server.recognition.models.heads import CELLS, STRIDES, split_cells
from cordon_server.recognition.models.pack import ModelPack

if TYPE_CHECKING:
    from cordon_server.domain import Image


DETECT_WIDTH = 640
DETECT_HEIGHT = 384
# Boxes that overlap more than this are one face; the value YuNet was published with.
OVERLAP_MAX = 0.3
# Down to here (full HD to 640) linear sampling costs a third of averaging and finds 148 of 154
# faces of three videos where averaging finds 149; below it skips pixels.
LINEAR_SCALE_MIN = 0.3
# Every third pixel is what linear sampling takes for full HD to 640: the same in half the time.
_ODD_STEPS = ((1.0, 1.0), (3.0, 3.0))
# Box sizes in strides, as logarithms: e**8 is beyond every picture, and overflows nothing.
_LOG_SIZE_MAX = 8.0


class DetectorModel(Protocol):
    """What detection asks of the loaded models."""

    @property
    def pack(self) -> ModelPack: ...

    def detect(self, planes: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]: ...


class Grid:
    """The cells of a network input, those of every stride in turn, row by row."""

    def __init__(self, width: int, height: int) -> None:
        rows = [np.indices((height // s, width // s)).reshape(2, -1)[::-1].T for s in STRIDES]
        self.places: NDArray[np.float32] = np.concatenate(rows).astype(np.float32)
        """(cells, 2): column and row."""
        self.strides: NDArray[np.float32] = np.repeat(
            np.array(STRIDES, np.float32), [len(each) for each in rows]
        )[:, None]
        """(cells, 1): pixels from one to the next."""


class FaceDetector:
    """Finds the faces of one picture at a time; owns its buffers, so belongs to one thread.

    Pictures are scaled to fit into `width` x `height`, those that are higher than wide into the
    same turned upright.
    """

    def __init__(
        self,
        models: DetectorModel,
        *,
        width: int = DETECT_WIDTH,
        height: int = DETECT_HEIGHT,
        score_min: float | None = None,
    ) -> None:
        self._models = models
        self._score_min = models.pack.detection_score_min if score_min is None else score_min
        self._landscape = _Letterbox(models.pack, width, height)
        self._portrait = _Letterbox(models.pack, height, width)

    def scale(self, width: int, height: int) -> float:
        """The size of what the network sees of a picture over the picture's own."""
        return self._letterbox(width, height).scale(width, height)

    def find(self, image: Image, shrink: int = 1) -> list[Face]:
        """The faces of `image` that score at least the minimum, the most certain first.

        They are told in pixels of the picture of which `image` is one in `shrink`.
        """
        height, width = image.shape[:2]
        letterbox = self._letterbox(width, height)
        (cells,) = self._models.detect(letterbox.fill(image))[CELLS]
        rows = candidates(cells, letterbox.grid, self._score_min)
        scale = letterbox.scale(width, height) / shrink
        return [_face(row, scale) for row in suppress(rows, OVERLAP_MAX)]

    def _letterbox(self, width: int, height: int) -> _Letterbox:
        return self._portrait if height > width else self._landscape


def candidates(cells: NDArray[np.float32], grid: Grid, score_min: float) -> NDArray[np.float32]:
    """(n, 15): score, box (x, y, width, height), five landmarks (x, y); the best first.

    `cells` are what the detector says of one picture, as `heads` has them. Raises ModelFailed where
    scores are no numbers.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # What is not finite is dropped below.
        likely = cells[:, 0] * cells[:, 1]
        if np.isnan(likely).any():  # it would pass for a picture without faces
            raise ModelFailed("the detector's scores are no numbers")
        found = np.flatnonzero(likely >= score_min * score_min)
        # Only the few cells that score enough are decoded.
        places, stride, parts = grid.places[found], grid.strides[found], split_cells(cells[found])
        sizes = np.exp(np.minimum(parts["bbox"][:, 2:], _LOG_SIZE_MAX)) * stride
        corners = (places + parts["bbox"][:, :2]) * stride - sizes / 2
        marks = (np.tile(places, 5) + parts["kps"]) * stride
        scores = np.sqrt(likely[found])[:, None]
        rows = np.concatenate([scores, corners, sizes, marks], axis=1)
    rows = rows[np.isfinite(rows).all(axis=1)]
    order = np.argsort(-rows[:, 0], kind="stable")[:CANDIDATES_MAX]
    return np.asarray(rows[order], np.float32)


def suppress(rows: NDArray[np.float32], overlap_max: float) -> NDArray[np.float32]:
    """Of rows, the best first, those that overlap no better one by more than `overlap_max`."""
    kept: list[int] = []
    left, top = rows[:, 1], rows[:, 2]
    right, bottom = left + rows[:, 3], top + rows[:, 4]
    area = rows[:, 3] * rows[:, 4]
    waiting = np.arange(len(rows))
    while waiting.size:
        best, rest = waiting[0], waiting[1:]
        kept.append(int(best))
        across = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        down = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        shared = np.maximum(across, 0) * np.maximum(down, 0)
        waiting = rest[shared <= overlap_max * (area[best] + area[rest] - shared)]
    return rows[kept]


def _face(row: NDArray[np.float32], scale: float) -> Face:
    score, x, y, width, height = row[:5].tolist()
    return Face(
        box=Box(x / scale, y / scale, width / scale, height / scale),
        landmarks=row[5:15].reshape(5, 2) / np.float32(scale),
        detection_score=score,
    )


class _Letterbox:
    """Scales pictures into the top left of one network input; the rest of it is black."""

    def __init__(self, pack: ModelPack, width: int, height: int) -> None:
        multiple = pack.input_multiple
        if width % multiple or height % multiple:
            raise ValueError(f"{width}x{height} is not a multiple of {multiple}")
        self._width, self._height = width, height
        self._normalisation = pack.detector.normalisation
        self._canvas: Image = np.zeros((height, width, 3), np.uint8)
        self._channels = [np.zeros((height, width), np.uint8) for _ in range(3)]
        self._planes: NDArray[np.float32] = np.zeros((1, 3, height, width), np.float32)
        self.grid = Grid(width, height)
        self._filled = (0, 0)

    def scale(self, width: int, height: int) -> float:
        """How much a picture is scaled."""
        return min(self._width / width, self._height / height)

    def fill(self, image: Image) -> NDArray[np.float32]:
        """The network input (1, 3, height, width), valid until the next call."""
        height, width = image.shape[:2]
        scale = self.scale(width, height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if size != self._filled:
            self._canvas[:] = 0
            self._filled = size
        target = self._canvas[: size[1], : size[0]]
        cv2.resize(image, size, dst=target, interpolation=_sampling(width, height, size))
        to_planes(self._canvas, self._planes[0], self._normalisation, self._channels)
        return self._planes


def _sampling(width: int, height: int, size: tuple[int, int]) -> int:
    """How to scale a picture to `size`."""
    if size[0] < width * LINEAR_SCALE_MIN:
        return cv2.INTER_AREA
    steps = (width / size[0], height / size[1])
    if steps in _ODD_STEPS:
        return cv2.INTER_NEAREST_EXACT
    return cv2.INTER_LINEAR
