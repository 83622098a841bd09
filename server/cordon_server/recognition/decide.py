"""The decision rule: which candidates are matches. Pure; knows neither pictures nor models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import Candidate


class Gallery(Protocol):
    """The listed templates, as recognition asks for them. Called from several threads at once."""

    def search(self, probes: NDArray[np.float32]) -> list[Candidate | None]:
        """The best candidate for each of the probes, (n, dimension) unit vectors, in order.

        None where nobody is listed.
        """
        ...


def decide(candidate: Candidate | None) -> bool:
    """Whether a candidate is a match: its score reaches its threshold. NaN never does."""
    return candidate is not None and candidate.score >= candidate.threshold


def matches(candidates: Sequence[Candidate | None]) -> list[int]:
    """Which faces of one frame are matches, by position, each listed subject at most once.

    A person is in a picture once: where two faces match the same subject, the better score stands.
    """
    best: dict[str, int] = {}
    for position, candidate in enumerate(candidates):
        if candidate is None or not decide(candidate):
            continue
        held = best.get(candidate.entry_id)
        rival = None if held is None else candidates[held]
        if rival is None or candidate.score > rival.score:
            best[candidate.entry_id] = position
    return sorted(best.values())
