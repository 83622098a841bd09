"""Drift is noticed within the people it is said to take, and hardly ever where there is none."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cordon_server.domain import Passed, Sums, sums
from cordon_server.matches import drift
from cordon_server.matches.drift import (
    ALPHA,
    BASELINE_TRACKS,
    COMPARED_MIN,
    FALSE_ALARM_MAX,
    WINDOW_TRACKS,
    Measure,
    Sample,
    critical_t,
    drifted,
    has_mean_changed,
    has_rate_changed,
)

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
DRAWS: dict[str, Draw] = {
    "normal": lambda chance, count: chance.normal(0.4, 0.1, count),
    "skewed": lambda chance, count: chance.beta(1.5, 8.0, count),
    "two crowds": lambda chance, count: chance.choice([0.2, 0.9], count, p=[0.9, 0.1]),
    "capped": lambda chance, count: np.minimum(1.0, chance.lognormal(-1.0, 0.6, count)),
}


def a_sample(values: NDArray[np.float64], alerts: int = 0) -> Sample:
    return Sample(sums(values.tolist()), sums((values / 2).tolist()), alerts)


@pytest.mark.parametrize(("freedom", "told"), [(29, 3.659), (60, 3.46), (120, 3.373), (1e9, 3.291)])
def test_students_t_is_what_the_tables_say(freedom: float, told: float) -> None:
    assert critical_t(freedom) == pytest.approx(told, abs=0.003)


@pytest.mark.serves("R28")
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_where_nothing_changes_a_mean_raises_no_more_false_alarms_than_stated(
    draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The test alone has to keep to it, without the least effect that is told.
    monkeypatch.setattr(drift, "EFFECT_MIN", 0.0)
    chance, repeats = np.random.default_rng(28), 6000
    false_alarms = 0
    for _ in range(repeats):
        first, later = draw(chance, BASELINE_TRACKS), draw(chance, WINDOW_TRACKS)
        false_alarms += has_mean_changed(_sums(first), _sums(later))

    assert false_alarms <= ALPHA * repeats + 3 * math.sqrt(ALPHA * repeats)


@pytest.mark.serves("R28")
@pytest.mark.parametrize("rate", [0.0005, 0.002, 0.01, 0.05, 0.2])
def test_at_one_rate_of_alerts_the_exact_chance_of_a_false_alarm_is_below_the_stated(
    rate: float,
) -> None:
    before, now = (_pmf(people, rate) for people in (BASELINE_TRACKS, WINDOW_TRACKS))

    false_alarm = sum(
        first * later
        for count, first in before.items()
        for others, later in now.items()
        if has_rate_changed((count, BASELINE_TRACKS), (others, WINDOW_TRACKS))
    )

    left_out = 2 - sum(before.values()) - sum(now.values())
    assert left_out < ALPHA / 100
    assert false_alarm + left_out <= ALPHA


@pytest.mark.serves("R28")
def test_a_camera_where_nothing_changes_raises_hardly_any_alarm() -> None:
    chance, windows, alarms = np.random.default_rng(5), 0, 0
    for _ in range(100):
        baseline = _street(chance, BASELINE_TRACKS)
        for _ in range(20):
            windows += 1
            alarms += bool(drifted(baseline, _street(chance, WINDOW_TRACKS)))

    assert alarms <= FALSE_ALARM_MAX * windows


@pytest.mark.serves("R28")
@pytest.mark.parametrize(
    ("measure", "change"),
    [
        (Measure.QUALITY, {"quality": -0.5}),
        (Measure.QUALITY, {"quality": 0.5}),
        (Measure.SCORE, {"score": 0.5}),
        (Measure.ALERTS, {"rate": 0.06}),
    ],
)
def test_a_planted_shift_is_noticed_within_two_windows(
    measure: Measure, change: dict[str, float]
) -> None:
    """Half a standard deviation of a mean; alerts of six in a hundred people after two in a
    thousand."""
    chance, repeats, first, second = np.random.default_rng(7), 200, 0, 0
    for _ in range(repeats):
        baseline = _street(chance, BASELINE_TRACKS)
        in_first = measure in drifted(baseline, _street(chance, WINDOW_TRACKS, **change))
        in_second = measure in drifted(baseline, _street(chance, WINDOW_TRACKS, **change))
        first += in_first
        second += in_first or in_second

    assert first >= 0.9 * repeats
    assert second >= 0.98 * repeats


def test_a_change_too_small_to_matter_is_not_told_however_sure_it_is() -> None:
    chance = np.random.default_rng(3)
    before, now = chance.normal(0.5, 0.1, 100_000), chance.normal(0.52, 0.1, 100_000)

    assert not has_mean_changed(_sums(before), _sums(now))
    assert has_mean_changed(_sums(before), _sums(now + 0.02))


def test_of_few_people_or_none_nothing_is_told() -> None:
    few = sums([0.1, 0.2] * ((COMPARED_MIN - 1) // 2))
    many = sums([0.8, 0.9] * 100)

    assert not has_mean_changed(many, few)
    assert not has_mean_changed(Sums(), Sums())
    assert not has_mean_changed(sums([0.5] * 100), sums([0.6] * 100))
    assert not has_rate_changed((0, 500), (0, 250))
    assert not drifted(Sample(), Sample())


def test_more_alerts_than_people_are_no_error() -> None:
    assert has_rate_changed((1, BASELINE_TRACKS), (WINDOW_TRACKS + 5, WINDOW_TRACKS))


def test_sums_of_parts_are_the_sums_of_all() -> None:
    values = np.random.default_rng(1).normal(0.3, 0.2, 50)
    whole = Sample()
    for each in values.tolist():
        whole = whole.with_passed(Passed(sums([each]), Sums()))

    assert whole.tracks == 50
    assert whole.value(Measure.QUALITY) == pytest.approx(values.mean())
    assert whole.quality.variance == pytest.approx(values.var(ddof=1))


def _street(
    chance: np.random.Generator,
    people: int,
    *,
    quality: float = 0.0,
    score: float = 0.0,
    rate: float = 0.002,
) -> Sample:
    """People as they pass; quality and score moved by so many of their standard deviations."""
    return Sample(
        sums((chance.beta(2, 5, people) + quality * 0.16).tolist()),
        sums(chance.normal(0.3 + score * 0.08, 0.08, people).tolist()),
        int(chance.binomial(people, rate)),
    )


def _sums(values: NDArray[np.float64]) -> Sums:
    return Sums(len(values), float(values.sum()), float((values * values).sum()))


def _pmf(people: int, rate: float) -> dict[int, float]:
    """How probable each number of alerts is, those that hardly ever are left out."""
    each = {
        count: math.comb(people, count) * rate**count * (1 - rate) ** (people - count)
        for count in range(people + 1)
    }
    return {count: probability for count, probability in each.items() if probability > 1e-9}
