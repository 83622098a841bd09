"""Passwords: which are good enough, what is kept of them, and how they are compared."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from cordon_server.domain import InvalidInput, LimitReached

LENGTH_MIN = 12
LENGTH_MAX = 128
"""Characters. Longer ones would only be work: what is compared is a hash."""
SCORE_MIN = 3
"""Of zxcvbn's 0 to 4; 3 takes more than 10^8 guesses to whoever knows how people choose."""
WAITING_MAX = 32
"""Comparisons that may wait their turn."""

HASHER = PasswordHasher(time_cost=2, memory_cost=46 * 1024, parallelism=1)
"""argon2id: 46 MiB and 0.09 s of a core a comparison."""
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
T = TypeVar("T")


class Passwords:
    """Hashes and compares, off the event loop. Full means: refuse."""

    def __init__(self, executor: Executor, hasher: PasswordHasher = HASHER) -> None:
        self._executor = executor
        self._hasher = hasher
        self._waiting = 0
        self._nobodys = hasher.hash(secrets.token_hex())
        self.comparisons = 0
        """Made so far."""

    async def hash(self, password: str) -> str:
        """What to keep of a password; raises `LimitReached`."""
        return await self.run(lambda: self._hasher.hash(password))

    async def is_right(self, kept: str | None, password: str) -> bool:
        """Whether it is the password that was kept; takes as long where none was."""
        self.comparisons += 1
        is_equal = await self.run(lambda: self._is_equal(kept or self._nobodys, password))
        return is_equal and kept is not None

    async def run(self, act: Callable[[], T]) -> T:
        """What `act` returns, worked out beside the comparisons; raises `LimitReached`."""
        if self._waiting >= WAITING_MAX:
            raise LimitReached("too many sign in at this moment; try again", retry_after_s=1.0)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, act)
        finally:
            self._waiting -= 1

    def _is_equal(self, kept: str, password: str) -> bool:
        try:
            return self._hasher.verify(kept, password)
        except VerificationError:
            return False


def check_acceptable(password: str, *, known: Iterable[str] = (), field: str = "password") -> None:
    """Raises `InvalidInput` for a password that is too short, too long or easy to guess.

    `known` are words that a guesser would try first: the person's names, the site's.
    """
    if len(password) < LENGTH_MIN:
        raise InvalidInput(f"{field} must have {LENGTH_MIN} characters at least", field=field)
    if len(password) > LENGTH_MAX:
        raise InvalidInput(f"{field} must have {LENGTH_MAX} characters at most", field=field)
    # Late, for its word lists take 0.2 s to read.
    from zxcvbn import zxcvbn

    found = zxcvbn(password, user_inputs=list(known), max_length=LENGTH_MAX)
    if found["score"] < SCORE_MIN:
        raise InvalidInput(
            f"{field} is easy to guess{_because(found['feedback']['warning'])}; take four words "
            "that do not belong together, or let a password manager make one",
            field=field,
        )


def make_password() -> str:
    """A first password to hand over: 98 bits, and nothing that is mistaken for something else."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


def _because(warning: str) -> str:
    return f" ({warning.rstrip('.').lower()})" if warning else ""
