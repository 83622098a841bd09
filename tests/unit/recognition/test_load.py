"""What cameras are advised under load: stepped against simulated cameras and workers, no clock."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon_server.recognition.load import (
    HIGH,
    LOW,
    STEP_S,
    Advice,
    Ask,
    Load,
    LoadRules,
    fair_rates,
)

RULES = LoadRules()
TYPICAL_S = 0.05


@dataclass
class Camera:
    """A simulated camera: its picture rate, what a frame of it costs, what it was told."""

    fps: float
    cost_s: float
    weight: float = 1.0
    stills: bool = False
    serial: bool = False
    decode_share: float = 0.0
    obeys: bool = True
    advice: Advice | None = None
    owed: float = 0.0

    @property
    def sends_fps(self) -> float:
        limit = self.advice.fps_max if self.advice and self.obeys else 0.0
        return min(self.fps, limit) if limit else self.fps


class Bench:
    """Cameras that send for steps on end; every advice they hear is kept."""

    def __init__(self, workers: int, cameras: list[Camera], rules: LoadRules = RULES) -> None:
        self.load = Load(workers, rules, TYPICAL_S)
        self.cameras = {str(n): camera for n, camera in enumerate(cameras)}
        self.heard: list[tuple[int, str, Advice]] = []
        self.steps = 0
        for key, camera in self.cameras.items():
            camera.advice = self.load.join(
                key, weight=camera.weight, stills=camera.stills, serial=camera.serial
            )

    def run(self, steps: int) -> list[tuple[int, str, Advice]]:
        """What was heard in these steps."""
        before = len(self.heard)
        for _ in range(steps):
            self.steps += 1
            for key, camera in self.cameras.items():
                self._send(key, camera)
            for key, advice in self.load.step(STEP_S).items():
                self.cameras[key].advice = advice
                self.heard.append((self.steps, key, advice))
        return self.heard[before:]

    def _send(self, key: str, camera: Camera) -> None:
        camera.owed += camera.sends_fps * STEP_S
        frames, camera.owed = int(camera.owed), camera.owed % 1
        for _ in range(frames):
            self.load.note(key, camera.cost_s, camera.cost_s * camera.decode_share)


def fps_of(bench: Bench) -> list[float]:
    return [camera.sends_fps for camera in bench.cameras.values()]


cameras = st.lists(
    st.builds(
        Camera,
        fps=st.floats(0.5, 60),
        cost_s=st.floats(0.002, 0.25),
        weight=st.sampled_from([0.5, 1.0, 2.0, 4.0]),
        serial=st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=50)
@given(workers=st.integers(1, 8), cameras=cameras)
def test_advice_settles_within_the_band_never_below_the_minimum_and_recovers(
    workers: int, cameras: list[Camera]
) -> None:
    bench = Bench(workers, cameras)

    bench.run(120)
    late = bench.run(60)
    needed = sum(min(c.fps, RULES.fps_min) * c.cost_s for c in cameras) / workers

    assert all(advice.fps_max >= RULES.fps_min for _, _, advice in bench.heard if advice.fps_max)
    assert not late, "it swings"
    assert bench.load.load <= max(HIGH, 1.05 * needed) + 0.1

    for camera in bench.cameras.values():
        camera.cost_s /= 200
    bench.run(200)
    assert all(camera.sends_fps == camera.fps for camera in bench.cameras.values())


def test_at_three_times_the_load_it_fits_after_a_few_steps_and_workers_stay_busy() -> None:
    bench = Bench(2, [Camera(30, 0.05) for _ in range(4)])  # 3 times what 2 workers can do

    heard = bench.run(10)
    quiet = bench.run(40)

    assert {key for _, key, _ in heard} == set(bench.cameras)
    assert not quiet
    assert 0.9 <= bench.load.load <= HIGH


def test_a_load_inside_the_band_changes_nothing() -> None:
    bench = Bench(2, [Camera(11, 0.1), Camera(11, 0.1)])

    assert LOW < 1.1 < HIGH
    assert bench.run(50) == []


def test_one_camera_that_asks_for_ten_times_as_much_is_the_one_that_is_slowed() -> None:
    bench = Bench(2, [Camera(100, 0.05), *(Camera(5, 0.05) for _ in range(3))])

    bench.run(20)

    assert fps_of(bench)[1:] == [5, 5, 5]
    assert fps_of(bench)[0] == pytest.approx(25, rel=0.1)


def test_a_camera_that_does_not_obey_takes_nothing_from_those_that_do() -> None:
    bench = Bench(2, [Camera(100, 0.05, obeys=False), *(Camera(5, 0.05) for _ in range(3))])

    bench.run(40)

    assert fps_of(bench)[1:] == [5, 5, 5]


def test_shares_follow_the_weights() -> None:
    bench = Bench(1, [Camera(60, 0.02, weight=1), Camera(60, 0.02, weight=3)])

    bench.run(20)

    light, heavy = fps_of(bench)
    assert heavy == pytest.approx(3 * light, rel=0.25)


def test_a_tracked_camera_is_asked_for_no_more_than_one_worker_can_do() -> None:
    bench = Bench(8, [Camera(60, 0.05, serial=True)])

    bench.run(20)

    assert fps_of(bench) == [pytest.approx(20, rel=0.15)]


def test_a_newcomer_starts_at_the_limit_of_those_who_have_one() -> None:
    bench = Bench(1, [Camera(60, 0.05) for _ in range(2)])
    bench.run(20)

    late = bench.load.join("late", weight=1.0, stills=False, serial=False)

    assert 0 < late.fps_max <= 12


def test_stills_are_not_advised_and_keep_no_video_camera_from_its_share() -> None:
    bench = Bench(2, [Camera(1000, 0.05, stills=True), Camera(60, 0.05)])

    heard = bench.run(30)

    assert {key for _, key, _ in heard} <= {"1"}
    assert fps_of(bench)[1] >= 0.5 * 2 / 0.05 * 0.9


def test_where_decoding_costs_most_pictures_get_smaller_before_they_get_fewer() -> None:
    bench = Bench(1, [Camera(30, 0.06, decode_share=0.7)])

    first = bench.run(2)[0][2]

    assert (first.fps_max, first.side_px_max, first.jpeg_quality) == (0, 1440, 75)
    bench.run(20)
    assert bench.heard[-1][2].side_px_max == 960
    assert bench.heard[-1][2].fps_max > 0


def test_pictures_get_their_size_back_when_it_fits() -> None:
    bench = Bench(1, [Camera(30, 0.06, decode_share=0.7)])
    bench.run(20)

    bench.cameras["0"].cost_s = 0.005
    bench.run(60)

    assert bench.cameras["0"].advice == Advice(0.0, 1920, 85)


def test_a_camera_is_let_in_only_where_all_keep_the_minimum() -> None:
    load = Load(1, LoadRules(fps_min=2.0), typical_s=0.1)
    let_in = 0
    while load.has_room():
        load.join(str(let_in), weight=1.0, stills=False, serial=True)
        let_in += 1

    assert let_in == 4  # 4 cameras x 2 frames x 0.1 s; a fifth would take more than FULL
    load.leave("0")
    assert load.has_room()


def test_the_first_camera_is_let_in_however_slow_the_machine() -> None:
    assert Load(1, LoadRules(), typical_s=60.0).has_room()


@given(
    st.lists(
        st.builds(Ask, fps=st.floats(0, 100), cost_s=st.floats(1e-4, 1), weight=st.floats(0.1, 10)),
        min_size=1,
    ),
    st.floats(0.01, 64),
)
def test_fair_rates_cost_no_more_than_there_is_and_starve_nobody(
    asks: list[Ask], budget_s: float
) -> None:
    rates = fair_rates(asks, budget_s)

    assert sum(r * a.cost_s for r, a in zip(rates, asks, strict=True)) <= budget_s * 1.0001
    assert all(r <= a.fps for r, a in zip(rates, asks, strict=True))
    shares = [r / a.weight for r, a in zip(rates, asks, strict=True)]
    least_of_limited = [s for s, r, a in zip(shares, rates, asks, strict=True) if r < a.fps * 0.999]
    assert not least_of_limited or max(shares) <= min(least_of_limited) * 1.001 + 1e-6
