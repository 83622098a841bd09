from __future__ import annotations

from itertools import islice

from cordon_client.backoff import full_jitter


def test_waits_stay_under_a_bound_that_doubles_up_to_the_cap() -> None:
    bounds = [0.5, 1, 2, 4, 4, 4, 4]
    for _ in range(50):
        waits = islice(full_jitter(0.5, 4), len(bounds))
        assert all(0 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))


def test_clients_that_failed_together_do_not_return_together() -> None:
    assert len({next(full_jitter(1, 8)) for _ in range(20)}) == 20
