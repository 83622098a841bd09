"""The decision rule: which candidates are matches. Pure; knows neither pictures nor models.

A face is a match for a subject when, for its template (its own, or a track's best shots fused):

1. the score reaches the subject's threshold;
2. no other subject comes within the margin, the rule's and that of the subject itself;
3. enough observations agree: shots whose own best candidate is that subject;
4. within a frame, no other face is a better match for the same subject;
5. the subject was not matched on another track within the cool-down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import Candidate


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """The parameters of the rule; the threshold is the entry's or the deployment's."""

    margin_min: float = 0.04
    """Least lead over the best other subject. Higher refuses look-alikes, and some who are listed.
    Measured by `python -m tests.bench.decisions`."""
    observations_min: int = 2
    """Agreeing shots that a track needs; stills have one and need one."""
    agreement_slack: float = 0.05
    """A shot may stay below the threshold by this much and still agree: one blurred shot is no
    disagreement."""
    improvement_min: float = 0.03
    """A match is updated when a better shot raises the score that was logged by this."""
    cool_down_s: float = 30.0
    """A subject matched on one track raises no new match on another for this long. 0: never
    silent."""


STILLS_RULE = DecisionRule(observations_min=1, cool_down_s=0.0)
"""Pictures that have nothing to do with each other."""


class Gallery(Protocol):
    """The listed templates, as recognition asks for them. Called from several threads at once."""

    def search(self, probes: NDArray[np.float32]) -> list[Candidate | None]:
        """The best candidate for each of the probes, (n, dimension) unit vectors, in order.

        None where nobody is listed.
        """
        ...


def passes(candidate: Candidate | None, rule: DecisionRule, observations: int = 1) -> bool:
    """Whether a candidate is a match by itself (1-3). NaN never is."""
    return (
        candidate is not None
        and candidate.score >= candidate.threshold
        and candidate.margin >= max(rule.margin_min, candidate.margin_min)
        and observations >= rule.observations_min
    )


def agrees(shot: Candidate | None, with_subject: str, rule: DecisionRule) -> bool:
    """Whether a shot's own candidate speaks for a subject."""
    return (
        shot is not None
        and shot.entry_id == with_subject
        and shot.score >= shot.threshold - rule.agreement_slack
    )


def best_of_each(candidates: Mapping[int, Candidate]) -> list[int]:
    """Of the passing candidates by face, those that stand: each subject once, the best score (4).

    A person is in a picture once.
    """
    best: dict[str, int] = {}
    for position, candidate in candidates.items():
        held = best.get(candidate.entry_id)
        if held is None or candidate.score > candidates[held].score:
            best[candidate.entry_id] = position
    return sorted(best.values())


def matches(candidates: Sequence[Candidate | None], rule: DecisionRule = STILLS_RULE) -> list[int]:
    """Which faces of one still picture are matches, by position."""
    passing = {at: each for at, each in enumerate(candidates) if each and passes(each, rule)}
    return best_of_each(passing)


def is_cooling(matched_s: float | None, now_s: float, rule: DecisionRule) -> bool:
    """Whether a subject last matched at `matched_s` is still to be passed over (5)."""
    return matched_s is not None and now_s - matched_s < rule.cool_down_s
