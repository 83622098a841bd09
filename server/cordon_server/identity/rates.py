"""How often something may be tried: per address or machine, and in all, so that it costs little.

It knows times and keys, not what is tried.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from cordon_server.domain import LimitReached

KEYS_MAX = 4096
"""Keys remembered; the one that tried longest ago is forgotten first."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and afterwards so many a minute."""

    burst: int
    per_minute: float


ENROLMENTS_PER_ADDRESS, ENROLMENTS_IN_ALL = Rate(100, 60), Rate(300, 300)
"""Tokens cannot be guessed: this keeps the work down. Good ones are not counted."""
RENEWALS_PER_MACHINE, RENEWALS_IN_ALL = Rate(10, 2), Rate(2000, 2000)
"""Every renewal stays on record. A machine with the shortest life renews once in forty seconds."""


@dataclass(slots=True)
class _Bucket:
    left: float
    moment_s: float


class RateLimit:
    """Counts tries. Used from the event loop alone."""

    def __init__(
        self,
        *,
        now_s: Callable[[], float],
        per_key: Rate,
        in_all: Rate,
    ) -> None:
        self._now_s = now_s
        self._per_key = per_key
        self._in_all = in_all
        self._all = _Bucket(in_all.burst, now_s())
        self._keys: OrderedDict[str, _Bucket] = OrderedDict()

    def check(self, key: str) -> None:
        """Counts a try; raises `LimitReached` for one too many."""
        bucket = self._of(key)
        wait_s = max(self._wait_s(bucket, self._per_key), self._wait_s(self._all, self._in_all))
        if wait_s > 0:
            raise LimitReached(
                f"too many tries; try again in {wait_s:.0f} seconds",
                reason="TOO_MANY_TRIES",
                retry_after_s=wait_s,
            )
        bucket.left -= 1
        self._all.left -= 1

    def refund(self, key: str) -> None:
        """Gives a try back that turned out well: who holds good tokens is not kept waiting."""
        for bucket, rate in ((self._of(key), self._per_key), (self._all, self._in_all)):
            bucket.left = min(bucket.left + 1, rate.burst)

    def _of(self, key: str) -> _Bucket:
        bucket = self._keys.get(key)
        if bucket is None:
            bucket = self._keys[key] = _Bucket(self._per_key.burst, self._now_s())
            if len(self._keys) > KEYS_MAX:
                self._keys.popitem(last=False)
        self._keys.move_to_end(key)
        return bucket

    def _wait_s(self, bucket: _Bucket, rate: Rate) -> float:
        """Fills the bucket up to now; how long until it holds one try."""
        now_s = self._now_s()
        bucket.left = min(
            bucket.left + (now_s - bucket.moment_s) * rate.per_minute / 60, rate.burst
        )
        bucket.moment_s = now_s
        return max((1 - bucket.left) * 60 / rate.per_minute, 0.0) if bucket.left < 1 else 0.0


def address_of(peer: str) -> str:
    """The address in a gRPC peer's name; of IPv6 the network of one site (/64)."""
    kind, _, rest = peer.partition(":")
    host = rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return kind
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
