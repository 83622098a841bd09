"""How long to wait before trying again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def full_jitter(base_s: float, cap_s: float) -> Iterator[float]:
    """Waits in seconds, without end: each evenly from 0 to a bound that doubles up to `cap_s`.

    Clients that lost the same server at the same moment so come back spread out.
    """
    bound_s = base_s
    while True:
        yield random.uniform(0, bound_s)
        bound_s = min(cap_s, bound_s * 2)
