"""Rows of any number cut into batches of the few sizes that a device was made ready for.

A device pays for every new shape, so batches are padded to a bucket. Knows neither threads nor
onnxruntime. Used from one thread.

Out of memory, the largest bucket is given up and the same rows go in smaller pieces: nothing is
lost. Where there is nothing left to give up, the device is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from cordon_server.domain import DeviceLost

__all__ = ["BATCH_S_MAX", "PAYS", "Buckets", "Device", "DeviceFull", "Kind"]

log = structlog.get_logger(__name__)

Rows = NDArray[np.float32]

PAYS = 1.1
"""A larger bucket is kept where it gives this many times the rows a second of the next smaller."""
BATCH_S_MAX = 0.05
"""Nor is one kept that holds the device for longer: it is a tenth of what a result may take."""


class Kind(NamedTuple):
    """What is batched together."""

    network: str
    row: tuple[int, ...]
    """Shape of one row of its input."""


class DeviceFull(Exception):  # noqa: N818  # named for what it is, as its neighbours
    """The device has no memory for this."""


class Device(Protocol):
    """What runs padded batches; every call is made from one thread.

    Each may raise DeviceFull, or DeviceLost where it will not work again.
    """

    def load(self, kind: Kind, size: int) -> float:
        """Makes ready for batches of that size: memory, first runs. Seconds that one takes."""

    def stage(self, kind: Kind, size: int) -> Rows:
        """Where to write the input, (size, *row); loads what is not loaded."""

    def run(self, kind: Kind, size: int) -> list[Rows]:
        """The outputs for what was staged, each (size, ...), valid until the next run."""

    def release(self, kind: Kind, size: int) -> None:
        """Gives the memory of that size back."""


class Buckets:
    """Runs any number of rows."""

    def __init__(self, device: Device, sizes: Mapping[str, tuple[int, ...]]) -> None:
        """`sizes` are to be tried, by network, in rising order."""
        self._device = device
        self._wanted = dict(sizes)
        self._sizes: dict[Kind, tuple[int, ...]] = {}
        self.seconds: dict[Kind, dict[int, float]] = {}
        """What a batch took when it was made ready, by size."""

    def sizes(self, kind: Kind) -> tuple[int, ...]:
        """The sizes in use."""
        return self._sizes.get(kind) or self._wanted[kind.network]

    def room(self, kind: Kind) -> int:
        """The most rows that go at once."""
        return self.sizes(kind)[-1]

    def limit(self, network: str, rows_max: int) -> None:
        """Tries no larger size for that network from now on; what is warm stays as it is."""
        fit = tuple(size for size in self._wanted[network] if size <= rows_max)
        self._wanted[network] = fit or self._wanted[network][:1]

    def warm_up(self, kind: Kind, rows_max: int | None = None) -> None:
        """Makes every size up to `rows_max` ready, smallest first, and keeps those that pay.

        What is warm already stays as it is.
        """
        if kind in self.seconds:
            return
        kept: list[int] = []
        seconds: dict[int, float] = {}
        for size in self._wanted[kind.network]:
            if kept and rows_max is not None and size > rows_max:
                break
            try:
                taken_s = self._device.load(kind, size)
            except DeviceFull as full:
                if not kept:
                    raise _nothing_left(kind) from full
                log.warning("device.bucket_too_large", network=kind.network, size=size)
                self._device.release(kind, size)
                break
            seconds[size] = taken_s
            if kept and not _pays(size, taken_s, kept[-1], seconds[kept[-1]]):
                self._device.release(kind, size)
                break
            kept.append(size)
        self._sizes[kind] = tuple(kept)
        self.seconds[kind] = seconds

    def run(self, kind: Kind, works: Sequence[Rows]) -> list[list[Rows]]:
        """For each of `works`, (n, *row), its outputs, each (n, ...)."""
        self._sizes.setdefault(kind, self._wanted[kind.network])
        rows = [row for work in works for row in work]
        parts: list[list[Rows]] = []
        at = 0
        while at < len(rows):
            piece = rows[at : at + self.room(kind)]
            size = self._size_for(kind, len(piece))
            try:
                parts.append(self._run(kind, piece, size))
            except DeviceFull as full:
                self._give_up(kind, size, full)
            else:
                at += len(piece)
        outputs = (
            parts[0] if len(parts) == 1 else [np.concatenate(p) for p in zip(*parts, strict=True)]
        )
        answers, start = [], 0
        for work in works:
            answers.append([output[start : start + len(work)] for output in outputs])
            start += len(work)
        return answers

    def _run(self, kind: Kind, rows: Sequence[Rows], size: int) -> list[Rows]:
        staged = self._device.stage(kind, size)
        for place, row in zip(staged, rows, strict=False):
            place[:] = row
        # Padding is whatever was there before: no row has a part in another's result.
        return [output[: len(rows)].copy() for output in self._device.run(kind, size)]

    def _size_for(self, kind: Kind, count: int) -> int:
        return next(size for size in self.sizes(kind) if size >= count)

    def _give_up(self, kind: Kind, size: int, full: DeviceFull) -> None:
        """Gives up the sizes from `size` on; at the smallest one, another kind's largest."""
        if size == self.sizes(kind)[0]:
            larger = [each for each in self._sizes if len(self._sizes[each]) > 1]
            if not larger:
                raise _nothing_left(kind) from full
            kind = max(larger, key=lambda each: self._sizes[each][-1])
            size = self._sizes[kind][-1]
        given_up = [each for each in self.sizes(kind) if each >= size]
        self._sizes[kind] = tuple(each for each in self.sizes(kind) if each < size)
        for each in given_up:
            self._device.release(kind, each)
        log.warning(
            "device.batch_halved", network=kind.network, was=given_up[-1], now=self.room(kind)
        )


def _pays(size: int, taken_s: float, before: int, before_s: float) -> bool:
    return taken_s <= BATCH_S_MAX and size / taken_s >= PAYS * before / before_s


def _nothing_left(kind: Kind) -> DeviceLost:
    return DeviceLost(
        f"The device has no memory left even for the smallest batch of the {kind.network}; end "
        "what else runs on it, then start the server again.",
        reason="DEVICE_OUT_OF_MEMORY",
    )
