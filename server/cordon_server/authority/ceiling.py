"""The ceiling on false alerts (R16): when those that people found false prove a rate above it.

A test that may be looked at after every alert. Its evidence is a mixture of likelihood ratios: how
much better the alerts so far fit twice and four times the ceiling than the ceiling itself.
At or below the ceiling that is a test supermartingale from 1, so by Ville's inequality it ever
reaches 1 / (1 - confidence) with a probability of 1 - confidence at most, however often one looks
(Wald, Sequential Tests of Statistical Hypotheses, 1945; Robbins, Statistical methods related to the
law of the iterated logarithm, 1970; Ramdas et al., Game-theoretic statistics, 2023). Alerts that
nobody has judged yet are not counted: late judgements make it slower and never unjust.

Pure; knows neither people nor streams.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ALTERNATIVES = ((2, 0.75), (4, 0.25))
"""(multiple of the ceiling, prior weight). Twice is the least breach that has to be found soon;
four times finds a gross one at the third alert, and larger ones do it little sooner."""
PER_FACE_MAX = 0.2
"""Of a ceiling: its multiples are shares too."""
_FACES_MAX = 2**40


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The policy's ceiling, and how sure one has to be that it is breached."""

    per_face: float
    """False alerts for each face seen, above 0 and PER_FACE_MAX at most."""
    confidence: float
    """Of a suspension being just, above 0 and below 1."""

    def __post_init__(self) -> None:
        assert 0 < self.per_face <= PER_FACE_MAX
        assert 0 < self.confidence < 1

    def suspends(self, *, false_alerts: int, faces: int) -> bool:
        """Whether so many false alerts among so many faces seen prove a breach."""
        return self.log_evidence(false_alerts, faces) >= -math.log1p(-self.confidence)

    def log_evidence(self, false_alerts: int, faces: int) -> float:
        """Natural logarithm of the evidence against the ceiling; 0 where none was seen."""
        assert false_alerts >= 0
        assert faces >= 0
        # More alerts than faces would be no rate; a face that alerts twice is two of each.
        faces = max(faces, false_alerts)
        return _log_sum(
            [
                math.log(weight)
                + false_alerts * math.log(multiple)
                + (faces - false_alerts)
                * (math.log1p(-multiple * self.per_face) - math.log1p(-self.per_face))
                for multiple, weight in _ALTERNATIVES
            ]
        )

    def faces_proving(self, false_alerts: int) -> int:
        """The most faces among which so many false alerts suspend; -1 where no number does.

        The evidence falls as faces pass without one, so the boundary is a single number.
        """
        if not self.suspends(false_alerts=false_alerts, faces=false_alerts):
            return -1
        low, high = false_alerts, _FACES_MAX
        while high - low > 1:
            middle = (low + high) // 2
            if self.suspends(false_alerts=false_alerts, faces=middle):
                low = middle
            else:
                high = middle
        return low

    def chance_within(self, faces: int, *, rate: float) -> float:
        """The probability that a stream with this true rate is suspended within so many faces.

        Exact, but for taking the false alerts as a Poisson process: they are rare.
        """
        going = np.ones(1)
        """Probability of each number of false alerts so far without a suspension."""
        seen, count = 0, 1
        while (edge := self.faces_proving(count)) < faces:
            if edge >= 0:
                # Suspended by the edge is whoever has so many by then.
                going = _passed(going, rate * (edge - seen), below=count)
                seen = edge
            count += 1
        return 1.0 - float(_passed(going, rate * (faces - seen), below=count).sum())

    def faces_until(self, probability: float, *, rate: float) -> int:
        """The faces within which a stream with this true rate, well above the ceiling, is suspended
        with this probability: the bound that R16 asks for."""
        assert rate > self.per_face
        low, high = 0, math.ceil(1 / self.per_face)
        while self.chance_within(high, rate=rate) < probability:
            low, high = high, 2 * high
        while high - low > max(1, high // 256):
            middle = (low + high) // 2
            if self.chance_within(middle, rate=rate) < probability:
                low = middle
            else:
                high = middle
        return high


def _passed(going: NDArray[np.float64], expected: float, *, below: int) -> NDArray[np.float64]:
    """The probabilities after a stretch with so many false alerts expected; those that reach
    `below` are dropped."""
    ratios = np.append(1.0, expected / np.arange(1, below))
    return np.convolve(going, math.exp(-expected) * ratios.cumprod())[:below]


def _log_sum(logarithms: list[float]) -> float:
    """log(sum(exp(x))) without overflow."""
    highest = max(logarithms)
    return highest + math.log(sum(math.exp(each - highest) for each in logarithms))
