"""Shares of a count with their interval. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z_95 = 1.959964
"""Of the standard normal distribution, two-sided 95 %."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `of`, and between which shares the true one lies with 95 %."""

    count: int
    of: int
    low: float
    high: float


def rate(count: int, of: int) -> Rate:
    """The share with Wilson's score interval (E. B. Wilson, JASA 22, 1927): it stays within 0 and 1
    and says something of few cases too. Of none, everything is possible."""
    assert 0 <= count <= of
    if not of:
        return Rate(0, 0, 0.0, 1.0)
    share, z2 = count / of, Z_95**2
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z_95 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == of else min(1.0, centre + half)
    return Rate(count, of, low, high)
