"""How often a password may be wrong: counted before it is compared, so that a thousand at once are
no more than a thousand in a row.

Counted for whatever name is given, so that a locked-out name tells nobody that it exists, and for
the machine that it is given on, so that one machine cannot try every name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cordon_server.domain import LimitReached

KEYS_MAX = 4096
"""Names and machines remembered; beyond it the one that was quiet longest is forgotten."""


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """How many are too many: `per_user_max` or `per_machine_max` wrong ones within `window` keep
    the name or the machine out until the first of them is that long ago."""

    per_user_max: int
    per_machine_max: int
    window: timedelta


class Attempts:
    """Wrong passwords of late, by name and by machine; the latest last."""

    def __init__(self, limits: AttemptLimits, *, clock: Callable[[], datetime]) -> None:
        self._limits = limits
        self._clock = clock
        self._times: dict[str, list[datetime]] = {}

    def begin(self, user_id: str, machine: str) -> None:
        """Counts an attempt as wrong until it is known to be right; raises `LimitReached`."""
        self._check(
            _user(user_id),
            self._limits.per_user_max,
            "have an administrator run: cordon admin user unlock NAME",
        )
        self._check(_machine(machine), self._limits.per_machine_max, "sign in on another machine")
        self._count(_user(user_id))
        self._count(_machine(machine))

    def succeeded(self, user_id: str, machine: str) -> None:
        """The password was right: the name is clear, and the machine had one attempt less. Who has
        one name cannot clear a machine that tries others."""
        self._times.pop(_user(user_id), None)
        if times := self._times.get(_machine(machine)):
            times.pop()

    def lift(self, user_id: str) -> None:
        """Ends a lock-out."""
        self._times.pop(_user(user_id), None)

    def lock_out(self, user_id: str, until: datetime) -> None:
        """Takes up a lock-out from before a restart."""
        first = until - self._limits.window
        self._times[_user(user_id)] = [first] * self._limits.per_user_max

    def locked_until(self, user_id: str) -> datetime | None:
        """Until when no password of this name is compared; None when one would be."""
        return self._until(_user(user_id), self._limits.per_user_max)

    def _check(self, key: str, count_max: int, way_out: str) -> None:
        if (until := self._until(key, count_max)) is None:
            return
        wait = until - self._clock()
        raise LimitReached(
            f"too many wrong passwords for this {key.split()[0]}; wait "
            f"{-(-wait // timedelta(minutes=1))} minutes, or {way_out}",
            reason="LOCKED_OUT",
            retry_after_s=wait.total_seconds(),
        )

    def _until(self, key: str, count_max: int) -> datetime | None:
        oldest = self._clock() - self._limits.window
        recent = [each for each in self._times.get(key, ()) if each > oldest]
        return recent[-count_max] + self._limits.window if len(recent) >= count_max else None

    def _count(self, key: str) -> None:
        count_max = max(self._limits.per_user_max, self._limits.per_machine_max)
        times = self._times.pop(key, [])
        self._times[key] = [*times, self._clock()][-count_max:]  # at the end: heard of last
        if len(self._times) > KEYS_MAX:
            del self._times[next(iter(self._times))]


def _user(user_id: str) -> str:
    return f"name {user_id}"


def _machine(machine: str) -> str:
    return f"machine {machine}"
