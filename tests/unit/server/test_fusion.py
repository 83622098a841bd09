"""How judgements become a decision, and what shares of few cases say."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.matches.fusion import fuse
from cordon_server.matches.rates import rate
from cordon_server.matches.records import Decision

T, F, U = Decision.TRUE, Decision.FALSE, Decision.UNDECIDED
TABLE = {
    (T, T): T,
    (T, F): U,
    (T, U): U,
    (F, T): U,
    (F, F): F,
    (F, U): U,
    (U, T): U,
    (U, F): U,
    (U, U): U,
}


@pytest.mark.serves("R11")
def test_two_judgements_are_fused_by_the_table() -> None:
    assert set(TABLE) == set(product(Decision, repeat=2))
    assert {pair: fuse(pair, 2) for pair in TABLE} == TABLE


@pytest.mark.serves("R10", "R11")
def test_fewer_judgements_than_the_policy_wants_are_no_decision() -> None:
    assert fuse((), 1) is None
    assert fuse((), 2) is None
    for decision in Decision:
        assert fuse((decision,), 1) is decision
        assert fuse((decision,), 2) is None


@given(st.integers(1, 500).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_an_interval_holds_the_share_and_stays_within_bounds(case: tuple[int, int]) -> None:
    count, of = case
    found = rate(count, of)

    assert 0 <= found.low <= count / of <= found.high <= 1


def test_intervals_are_wilsons() -> None:
    # By hand, with z = 1.96 and three digits.
    found = rate(1, 10)
    assert found.low == pytest.approx(0.0179, abs=1e-4)
    assert found.high == pytest.approx(0.4042, abs=1e-4)
    assert rate(0, 10).high == pytest.approx(0.2775, abs=1e-4)
    assert (rate(0, 0).low, rate(0, 0).high) == (0, 1)
