"""Rows go in batches of few sizes; without memory in smaller ones, and none is lost."""

from __future__ import annotations

import numpy as np
import pytest
import structlog.testing
from numpy.typing import NDArray

from cordon_server.domain import DeviceLost
from cordon_server.recognition.models.buckets import BATCH_S_MAX, Buckets, Kind
from tests.helpers.devices import ScriptedDevice

SIZES = {"faces": (1, 2, 4, 8), "frames": (1, 2)}
FACES, FRAMES = Kind("faces", (3, 2)), Kind("frames", (5,))


def works(*counts: int, kind: Kind = FACES) -> list[NDArray[np.float32]]:
    chance = np.random.default_rng(7)
    return [chance.normal(size=(count, *kind.row)).astype(np.float32) for count in counts]


def check(buckets: Buckets, given: list[NDArray[np.float32]], kind: Kind = FACES) -> None:
    """Every row has its own answer, in its place."""
    answers = buckets.run(kind, given)
    assert len(answers) == len(given)
    for work, (doubles, sums) in zip(given, answers, strict=True):
        flat = work.reshape(len(work), -1)
        np.testing.assert_array_equal(doubles, 2 * flat)
        np.testing.assert_allclose(sums[:, 0], flat.sum(axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ((1,), [1]),
        ((3,), [4]),
        ((1, 2, 2), [8]),
        ((8,), [8]),
        ((9,), [8, 1]),
        ((5, 14), [8, 8, 4]),
        ((), []),
    ],
)
def test_rows_are_padded_to_the_next_size_and_each_caller_gets_its_own(
    counts: tuple[int, ...], sizes: list[int]
) -> None:
    device = ScriptedDevice()
    buckets = Buckets(device, SIZES)

    if counts:
        check(buckets, works(*counts))

    assert [size for _, size in device.runs] == sizes


def test_an_answer_is_the_callers_own_and_outlives_the_next_batch() -> None:
    buckets = Buckets(ScriptedDevice(), SIZES)
    first, second = works(2, 2)

    ((doubles, _),) = buckets.run(FACES, [first])
    buckets.run(FACES, [second])

    np.testing.assert_array_equal(doubles, 2 * first.reshape(2, -1))


def test_out_of_memory_halves_the_largest_batch_and_loses_nothing() -> None:
    device = ScriptedDevice()
    buckets = Buckets(device, SIZES)
    buckets.warm_up(FACES)
    device.room = lambda kind: 2

    with structlog.testing.capture_logs() as logs:
        check(buckets, works(3, 5, 3))

    assert buckets.sizes(FACES) == (1, 2)
    assert device.released == [("faces", 8), ("faces", 4)]
    halved = [(each["was"], each["now"]) for each in logs if each["event"] == "device.batch_halved"]
    assert halved == [(8, 4), (4, 2)]
    device.room = lambda kind: 100
    check(buckets, works(11))  # what was given up is not tried again
    assert max(size for _, size in device.runs) == 2


def test_without_memory_for_one_row_another_networks_largest_batch_goes_first() -> None:
    device = ScriptedDevice()
    buckets = Buckets(device, SIZES)
    buckets.warm_up(FACES)
    buckets.warm_up(FRAMES)
    # One frame fits only when batches of faces are down to two.
    device.room = lambda kind: 8 if kind == FACES or ("faces", 4) in device.released else 0

    check(buckets, works(1, kind=FRAMES), FRAMES)

    assert buckets.sizes(FACES) == (1, 2)
    assert buckets.sizes(FRAMES) == (1, 2)


def test_where_nothing_is_left_to_give_up_the_device_is_lost() -> None:
    device = ScriptedDevice()
    buckets = Buckets(device, SIZES)
    buckets.warm_up(FACES)
    buckets.warm_up(FRAMES)
    device.room = lambda kind: 0

    with pytest.raises(DeviceLost, match="no memory left") as lost:
        buckets.run(FACES, works(5))

    assert lost.value.reason == "DEVICE_OUT_OF_MEMORY"


def test_a_warm_up_keeps_the_sizes_that_pay() -> None:
    # Twice the rows in twice the time is no gain from 4 to 8.
    device = ScriptedDevice(seconds={1: 0.001, 2: 0.0011, 4: 0.0015, 8: 0.003})
    buckets = Buckets(device, SIZES)

    buckets.warm_up(FACES)

    assert buckets.sizes(FACES) == (1, 2, 4)
    assert device.released == [("faces", 8)]
    assert buckets.seconds[FACES][8] == 0.003


def test_a_warm_up_keeps_no_size_that_holds_the_device_for_long() -> None:
    device = ScriptedDevice(seconds={1: BATCH_S_MAX, 2: BATCH_S_MAX * 1.01})
    buckets = Buckets(device, SIZES)

    buckets.warm_up(FACES)

    assert buckets.sizes(FACES) == (1,)


def test_a_warm_up_stops_where_memory_does_and_at_what_is_asked_for() -> None:
    device = ScriptedDevice(room=lambda kind: 4)
    buckets = Buckets(device, SIZES)

    buckets.warm_up(FACES)
    buckets.warm_up(FRAMES, rows_max=1)

    assert buckets.sizes(FACES) == (1, 2, 4)
    assert buckets.sizes(FRAMES) == (1,)
    check(buckets, works(7))


def test_a_warm_up_without_memory_for_one_row_is_a_lost_device() -> None:
    with pytest.raises(DeviceLost, match="no memory left"):
        Buckets(ScriptedDevice(room=lambda kind: 0), SIZES).warm_up(FACES)


def test_a_limit_keeps_larger_sizes_from_being_tried_and_never_the_smallest() -> None:
    device = ScriptedDevice()
    buckets = Buckets(device, SIZES)

    buckets.limit("faces", 3)
    buckets.limit("frames", 0)
    buckets.warm_up(FACES)

    assert buckets.sizes(FACES) == (1, 2)
    assert buckets.room(FRAMES) == 1
    assert device.loaded == [("faces", 1), ("faces", 2)]
