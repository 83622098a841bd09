"""The forecast of false matches, against strangers that were never measured."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from cordon_server.authority.forecast import (
    PROBES_MIN,
    Basis,
    Comparisons,
    Crowd,
    Forecast,
    Tail,
    false_matches,
    fit,
    forecast,
    is_below_floor,
)
from cordon_server.authority.impostors import NO_MATCH, PROBES_MAX, NonMated, non_mated
from cordon_server.domain import Template
from cordon_server.gallery import Reference, Rows
from cordon_server.gallery.rows import RowStore

DIMENSION = 32
MODEL = "model"
CROWD = Crowd(faces_per_hour=1200, hours=6, operators=2)
PACK = Comparisons(
    expected=Tail(start=0.3, share=0.01, scale=0.03, shape=0.0),
    low=Tail(start=0.3, share=0.005, scale=0.03, shape=0.0),
    high=Tail(start=0.3, share=0.02, scale=0.035, shape=0.0),
)


@pytest.mark.serves("R17")
@pytest.mark.parametrize("fpir", [0.05, 0.01, 0.002])
def test_strangers_are_matched_as_often_as_was_forecast(fpir: float) -> None:
    agreed = 0
    for seed in range(20):
        chance = np.random.default_rng(seed)
        rows = _rows(_people(chance, 400))
        strangers = _people(chance, 20_000)
        threshold = float(np.quantile((strangers @ rows.matrix.T).max(axis=1), 1 - fpir))

        told = _forecast(rows, threshold).fpir

        agreed += told.low <= fpir <= told.high
        assert fpir / 6 < told.expected < fpir * 6
    # 95 in 100 by its own claim; fewer would be chance once in a thousand such runs.
    assert agreed >= 15


@pytest.mark.serves("R17")
def test_a_longer_list_matches_more_strangers() -> None:
    people = _people(np.random.default_rng(1), 1200)

    short, long = (_forecast(_rows(people[:count]), 0.62) for count in (300, 1200))

    assert 2 < long.fpir.expected / short.fpir.expected < 8


@pytest.mark.serves("R17")
def test_expectations_follow_the_crowd_and_the_operators() -> None:
    rows = _rows(_people(np.random.default_rng(2), 200))

    told = _forecast(rows, 0.6)
    twice = _forecast(rows, 0.6, crowd=Crowd(2400, 6, 4))

    assert told.per_hour.expected == pytest.approx(1200 * told.fpir.expected)
    assert told.in_all.expected == pytest.approx(6 * told.per_hour.expected)
    assert told.per_operator_10_min.expected == pytest.approx(told.per_hour.expected / 12)
    assert twice.in_all.expected == pytest.approx(2 * told.in_all.expected)
    assert twice.per_operator_10_min.expected == pytest.approx(told.per_operator_10_min.expected)
    assert told.in_all.low <= told.in_all.expected <= told.in_all.high


@pytest.mark.serves("R15")
def test_the_floor_is_the_lowest_threshold_that_keeps_the_policys_rate() -> None:
    rows = _rows(_people(np.random.default_rng(3), 300))

    floor = _forecast(rows, 0.6).threshold_floor

    assert _forecast(rows, floor).fpir.expected <= 0.01
    assert _forecast(rows, floor - 0.002).fpir.expected > 0.01
    assert is_below_floor(_forecast(rows, floor - 0.002).text)
    assert not is_below_floor(_forecast(rows, floor).text)


def test_the_same_list_is_forecast_the_same() -> None:
    rows = _rows(_people(np.random.default_rng(4), 150))

    assert _forecast(rows, 0.6) == _forecast(rows, 0.6)


@pytest.mark.serves("R17")
@pytest.mark.parametrize("leading", [0.3, 0.15, 0.05])
def test_who_can_be_no_match_is_no_part_of_the_tail(leading: float) -> None:
    chance = np.random.default_rng(14)
    scores = np.full(2000, NO_MATCH)
    count = round(leading * 2000)
    scores[:count] = 0.3 + chance.exponential(0.04, count)

    told = forecast(
        NonMated(scores, np.arange(2000)),
        None,
        subjects=2000,
        references=2000,
        has_cohort=False,
        threshold=0.42,
        fpir_max=0.001,
        crowd=CROWD,
    )

    truth = leading * np.exp(-0.12 / 0.04)
    assert told.fpir.low < truth < told.fpir.high
    assert told.fpir.expected == pytest.approx(truth, rel=0.5)
    assert told.threshold_floor == pytest.approx(0.3 + 0.04 * np.log(leading / 0.001), abs=0.03)


def test_a_list_on_which_hardly_anybody_leads_takes_the_models_tail() -> None:
    one = _people(np.random.default_rng(15), 1)
    rows = _rows(np.repeat(one, PROBES_MIN, axis=0))

    told = _forecast(rows, 0.5, margin_min=0.04)

    assert told.basis is Basis.MODEL


def test_a_list_too_short_to_measure_takes_the_models_tail() -> None:
    people = _people(np.random.default_rng(5), PROBES_MIN)

    one, few, enough = (_forecast(_rows(people[:n]), 0.5) for n in (1, PROBES_MIN - 1, PROBES_MIN))

    assert (one.basis, few.basis, enough.basis) == (Basis.MODEL, Basis.MODEL, Basis.LIST)
    assert one.fpir.expected == pytest.approx(PACK.expected.fpir(0.5))
    assert few.fpir.expected == pytest.approx((PROBES_MIN - 1) * one.fpir.expected, rel=0.1)
    assert one.fpir.low < one.fpir.expected < one.fpir.high


def test_a_cohort_of_strangers_is_measured_too() -> None:
    people = _people(np.random.default_rng(6), 800)

    told = _forecast(_rows(people[:20]), 0.6, cohort=people[20:])

    assert told.basis is Basis.COHORT
    assert told.probes == 800


def test_more_strangers_measured_make_the_interval_narrower() -> None:
    people = _people(np.random.default_rng(7), 4000)

    few, many = (_forecast(_rows(people[:100]), 0.6, cohort=people[100:n]) for n in (300, 4000))

    assert many.fpir.high / many.fpir.low < few.fpir.high / few.fpir.low


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_a_tail_is_found_again_in_what_was_drawn_from_it(shape: float) -> None:
    chance = np.random.default_rng(8)
    beyond = np.expm1(-shape * np.log(chance.random(20_000))) / shape if shape else None
    drawn = chance.exponential(1.0, 20_000) if beyond is None else beyond
    scores = np.concatenate([0.4 + 0.02 * drawn, chance.uniform(0.0, 0.4, 80_000)])

    tail = fit(scores)

    assert tail.share == pytest.approx(0.2)
    for threshold in (0.42, 0.45):
        assert tail.fpir(threshold) == pytest.approx((scores >= threshold).mean(), rel=0.1)


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_a_rate_falls_as_the_threshold_rises_and_is_a_share(shape: float) -> None:
    tail = Tail(start=0.3, share=0.2, scale=0.04, shape=shape, count=5)

    rates = [tail.fpir(threshold) for threshold in np.linspace(0.0, 1.0, 101)]

    assert all(0 < rate <= 1 for rate in rates)
    assert rates == sorted(rates, reverse=True)
    assert tail.fpir(tail.floor(0.001)) == pytest.approx(0.001)


@pytest.mark.serves("R17")
def test_the_number_of_false_matches_holds_the_chance_of_it() -> None:
    told = false_matches(0.001, np.full(400, 0.001), 5000)

    assert told.expected == pytest.approx(5.0)
    assert (told.low, told.high) == (1.0, 10.0)  # the Poisson distribution's own


def test_nobody_is_compared_with_himself() -> None:
    people = _people(np.random.default_rng(9), 3)
    rows = _rows(np.concatenate([people, people]), names=["a", "b", "c", "a", "b", "c"])

    measured = _measured(rows)

    assert len(measured) == 3
    assert (measured.scores < 0.99).all()


def test_a_match_without_the_margin_is_none() -> None:
    one = _people(np.random.default_rng(10), 1)
    rows = _rows(np.concatenate([one, one, one]))

    assert (_measured(rows, margin_min=0.04).scores == -1.0).all()
    assert _measured(rows, margin_min=0.0).scores == pytest.approx([1.0, 1.0, 1.0])


def test_an_entrys_own_threshold_counts_as_so_much_less_of_a_score() -> None:
    people = _people(np.random.default_rng(11), 2)
    plain, raised = _rows(people), _rows(people, thresholds=[0.6, 0.6])

    assert _measured(raised).scores == pytest.approx(_measured(plain).scores - 0.1)


def test_an_entrys_own_margin_counts_beside_the_rules() -> None:
    near = np.array([[1, 0, 0], [0.9, 0.1, 0], [0.9, 0, 0.13]], np.float32)
    vectors = np.zeros((3, DIMENSION), np.float32)
    vectors[:, :3] = near / np.linalg.norm(near, axis=1, keepdims=True)
    plain, apart = _measured(_rows(vectors)), _measured(_rows(vectors, margins=[0.08] * 3))

    assert (plain.scores > 0.9).all()
    assert (apart.scores == -1.0).all()


def test_two_that_are_each_others_likeness_are_one_group() -> None:
    near = np.array([[1, 0, 0], [0.9, 0.1, 0], [0, 1, 0.2]], np.float32)
    vectors = np.zeros((3, DIMENSION), np.float32)
    vectors[:, :3] = near / np.linalg.norm(near, axis=1, keepdims=True)

    groups = _measured(_rows(vectors)).groups

    assert groups[0] == groups[1] != groups[2]


def test_of_a_long_list_so_many_are_compared() -> None:
    rows = _rows(_people(np.random.default_rng(12), PROBES_MAX + 500))

    assert len(_measured(rows)) == PROBES_MAX


def test_an_empty_list_matches_nobody() -> None:
    assert len(_measured(_rows(_people(np.random.default_rng(13), 0)))) == 0


def _forecast(
    rows: Rows,
    threshold: float,
    *,
    crowd: Crowd = CROWD,
    cohort: NDArray[np.float32] | None = None,
    margin_min: float = 0.0,
) -> Forecast:
    return forecast(
        non_mated(rows, threshold=threshold, margin_min=margin_min, cohort=cohort),
        PACK,
        subjects=len(rows.subjects),
        references=len(rows),
        has_cohort=cohort is not None,
        threshold=threshold,
        fpir_max=0.01,
        crowd=crowd,
    )


def _measured(rows: Rows, margin_min: float = 0.0) -> NonMated:
    return non_mated(rows, threshold=0.5, margin_min=margin_min)


def _people(chance: np.random.Generator, count: int) -> NDArray[np.float32]:
    vectors = chance.standard_normal((count, DIMENSION)).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _rows(
    vectors: NDArray[np.float32],
    *,
    names: list[str] | None = None,
    thresholds: list[float] | None = None,
    margins: list[float] | None = None,
) -> Rows:
    store = RowStore(MODEL, vectors.shape[1])
    store.append(
        Reference(
            names[at] if names else f"s{at:05}",
            f"r{at:05}",
            Template(vector, MODEL),
            threshold=thresholds[at] if thresholds else None,
            margin_min=margins[at] if margins else 0.0,
        )
        for at, vector in enumerate(vectors)
    )
    return store.now
