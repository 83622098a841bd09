from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.domain import LimitReached
from cordon_server.identity import rates
from cordon_server.identity.rates import Rate, RateLimit, address_of

HERE, THERE = "10.0.0.7", "10.0.0.8"


class Seconds:
    """A clock in seconds that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def rate(seconds: Seconds) -> RateLimit:
    return RateLimit(now_s=seconds, per_key=Rate(3, 6), in_all=Rate(5, 60))


def is_let_in(rate: RateLimit, peer: str) -> bool:
    try:
        rate.check(peer)
    except LimitReached:
        return False
    return True


def test_an_address_has_its_tries_and_then_waits(rate: RateLimit, seconds: Seconds) -> None:
    assert [is_let_in(rate, HERE) for _ in range(5)] == [True] * 3 + [False] * 2

    with pytest.raises(LimitReached, match="in 10 seconds") as refused:
        rate.check(HERE)
    assert refused.value.retry_after_s == pytest.approx(10)
    seconds.now += 10
    assert [is_let_in(rate, HERE) for _ in range(2)] == [True, False]


def test_ports_of_one_address_are_one(rate: RateLimit) -> None:
    peers = [address_of(f"ipv4:10.0.0.7:{port}") for port in range(4)]

    assert [is_let_in(rate, peer) for peer in peers] == [True] * 3 + [False]


def test_all_addresses_together_have_a_bound(rate: RateLimit) -> None:
    let_in = [is_let_in(rate, f"10.0.1.{n}") for n in range(8)]

    assert let_in == [True] * 5 + [False] * 3


def test_a_try_that_turned_out_well_costs_nothing(rate: RateLimit) -> None:
    for _ in range(20):
        rate.check(HERE)
        rate.refund(HERE)

    assert is_let_in(rate, THERE)


def test_who_waits_long_has_no_more_than_a_burst(rate: RateLimit, seconds: Seconds) -> None:
    seconds.now += 1e6

    assert sum(is_let_in(rate, HERE) for _ in range(10)) == 3


def test_addresses_are_remembered_up_to_a_bound(
    seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "KEYS_MAX", 4)
    rate = RateLimit(now_s=seconds, per_key=Rate(1, 1), in_all=Rate(1000, 1000))

    for n in range(50):
        rate.check(f"10.0.2.{n}")

    assert len(rate._keys) == 4


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.7:4711", "10.0.0.7"),
        ("ipv6:[2001:db8::1]:4711", "2001:db8::/64"),
        ("ipv6:%5B2001:db8::2%5D:4711", "2001:db8::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", "fe80::/64"),
        ("ipv6:[::ffff:10.0.0.7]:1", "10.0.0.7"),
        ("unix:/run/x", "unix"),
        ("", ""),
    ],
)
def test_a_peer_is_known_by_its_address_or_its_network(peer: str, address: str) -> None:
    assert address_of(peer) == address


@given(st.text(max_size=60))
def test_any_peer_has_an_address(peer: str) -> None:
    assert isinstance(address_of(peer), str)
