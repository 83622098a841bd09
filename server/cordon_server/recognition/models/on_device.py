"""Both networks of a pack behind one lane: callers of many threads share batches on one device."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from cordon_server.domain import DeviceLost, ProviderUnavailable
from cordon_server.recognition.models.buckets import Buckets, Device, Kind
from cordon_server.recognition.models.lane import Lane
from cordon_server.recognition.models.prepare import CROP_SIZE

__all__ = ["DETECTOR", "EMBEDDER", "SIZES", "OnDevice", "OpenedDevice"]

log = structlog.get_logger(__name__)

Planes = NDArray[np.float32]

DETECTOR, EMBEDDER = "detector", "embedder"
SIZES = {DETECTOR: (1, 2, 4, 8, 16, 32), EMBEDDER: (1, 2, 4, 8, 16, 32, 64)}
"""Batches that are tried. Powers of two: less than half of one is padding, and giving the largest
up halves it. More frames than 32 would be more than a server's cameras have under way at once."""
SQUARES_MAX = 4
"""Square pictures are those of enrolment, and come one or a few at a time."""


class OpenedDevice(Device, Protocol):
    """A device with its sessions."""

    def open(self) -> None: ...

    def graphs(self, kind: Kind) -> list[int]: ...


class OnDevice:
    """Networks on one device, on a thread of its own. Any number of threads may call it."""

    def __init__(self, device: OpenedDevice) -> None:
        """Opens the device; raises what its `open` does."""
        self._device = device
        self._buckets = Buckets(device, SIZES)
        self._lane: Lane[Planes, list[Planes]] = Lane("device", self._run, room=self._room)
        self._faces_max = SIZES[EMBEDDER][-1]
        try:
            # On the lane's thread, as all that follows: graphs belong to one thread.
            self._lane.do(device.open)
        except BaseException:
            self._lane.stop()
            raise

    @property
    def batches(self) -> tuple[int, ...]:
        """Any number of faces up to the largest batch: padding is this module's."""
        return tuple(range(1, self._faces_max + 1))

    def limit_batch(self, faces_max: int) -> None:
        self._faces_max = min(self._faces_max, max(1, faces_max))
        self._buckets.limit(EMBEDDER, faces_max)

    def detect(self, planes: Planes) -> list[Planes]:
        return self._ask(DETECTOR, planes)

    def embed(self, crops: Planes) -> Planes:
        return self._ask(EMBEDDER, crops)[0]

    def warm_up(self, shapes: tuple[tuple[int, int], ...]) -> None:
        """Makes every batch size ready and keeps those that pay; seconds, mostly CUDA's own.

        Raises ProviderUnavailable where the device fails at it.
        """
        try:
            self._make_all_ready(shapes)
        except DeviceLost as lost:
            raise ProviderUnavailable(
                f"CUDA does not work here: {lost.message} Look at it with nvidia-smi, or choose "
                "the provider cpu.",
                reason=lost.reason,
                field="provider",
            ) from lost

    def _make_all_ready(self, shapes: tuple[tuple[int, int], ...]) -> None:
        for height, width in dict.fromkeys(shapes):
            is_square = height == width
            self._make_ready(Kind(DETECTOR, (3, height, width)), SQUARES_MAX if is_square else None)
        faces = Kind(EMBEDDER, (3, CROP_SIZE, CROP_SIZE))
        self._make_ready(faces)
        self._faces_max = self._buckets.room(faces)

    def _make_ready(self, kind: Kind, rows_max: int | None = None) -> None:
        self._lane.do(lambda: self._buckets.warm_up(kind, rows_max))
        seconds = self._buckets.seconds[kind]
        log.info(
            "device.ready",
            network=kind.network,
            row=kind.row,
            batch_ms={size: round(taken_s * 1000, 2) for size, taken_s in seconds.items()},
            batches=self._buckets.sizes(kind),
            graphs=self._device.graphs(kind),
        )

    def watch(self, on_lost: Callable[[DeviceLost], None]) -> None:
        self._lane.watch(on_lost)

    def close(self) -> None:
        self._lane.stop()

    def _ask(self, network: str, rows: Planes) -> list[Planes]:
        return self._lane.ask(Kind(network, rows.shape[1:]), rows, len(rows))

    def _run(self, kind: Hashable, works: Sequence[Planes]) -> list[list[Planes]]:
        assert isinstance(kind, Kind)
        return self._buckets.run(kind, works)

    def _room(self, kind: Hashable) -> int:
        assert isinstance(kind, Kind)
        return self._buckets.room(kind)
