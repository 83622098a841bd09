"""Rounds, alternating what is compared; one that others disturb is done again, within reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

from tests.bench.contention import SHARE_MAX, Watch
from tests.bench.harness import Bench, Row

_TRIES = 2
"""Times the rounds asked for, at most, when others disturb."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Round(Generic[Result]):
    """What a round gave, and how much of the machine others took meanwhile."""

    result: Result
    others: float


def undisturbed(
    bench: Bench, server_pid: int | None, run: Callable[[], Result]
) -> list[Round[Result]]:
    """As many rounds as asked for, those in which others took the least of the machine."""
    rounds: list[Round[Result]] = []
    for number in range(1, bench.rounds * _TRIES + 1):
        watch = Watch(server_pid)
        result = run()
        rounds.append(Round(result, watch.others_share()))
        bench.say(f"round {number}: {result}, others took {rounds[-1].others:.0%} of the machine")
        if sum(each.others <= SHARE_MAX for each in rounds) >= bench.rounds:
            break
    return sorted(rounds, key=lambda each: each.others)[: bench.rounds]


def middle(rounds: Sequence[Round[Result]], value: Callable[[Result], float]) -> float:
    """The median over the rounds."""
    return median(value(each.result) for each in rounds)


def others_row(key: str, rounds: Sequence[Round[Result]]) -> Row:
    """How disturbed the worst round was."""
    worst = max(each.others for each in rounds)
    return Row(f"{key}_others", "  CPU taken by others, worst round", worst)
