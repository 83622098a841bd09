"""What a list will do to strangers before it does: false matches expected, and the lowest threshold
that keeps the policy's rate (R15, R17).

The highest scores of strangers follow a generalised Pareto distribution above a high quantile
(Pickands, Statistical inference using extreme order statistics, 1975); it is fitted to the best
scores that people who are not listed got on this very list. What it cannot know is the street: it
takes passers-by for as like the list as those it was measured on, and their pictures for as good.

Pure; knows neither deployments nor galleries.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from cordon_server.authority.impostors import NO_MATCH, NonMated
from cordon_server.domain import NotReady

PROBES_MIN = 100
"""Fewer measured scores say too little; the tail that was measured with the model is taken."""
CONFIDENCE = 0.95
"""Of every interval."""

_TAIL_SHARE = 0.2
"""Of the measured scores, that the tail is fitted to."""
_TAIL_MIN = 25
_SCORE_STEP = 1e-6
_REPEATS = 400
"""Of the bootstrap: its 2.5 % quantile is then the tenth lowest."""
_SHAPE_PRIOR = 100.0
"""Scores' worth of belief in an exponential tail: the shape of few scores is mostly chance, and a
bounded one forecasts too little. On strangers drawn by chance, with lists of 400, the interval
holds what was measured in 15 of 16 draws with this weight and in 13 with a tenth of it."""
_SHAPE_NONE = 1e-6
_LOG_MAX = 50.0
_FPIR_MIN = 1e-9
"""Nothing measured on thousands speaks for less; a bounded tail would say never."""


class Basis(StrEnum):
    """What the scores of strangers were measured on."""

    LIST = "list"
    COHORT = "list and cohort"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Range:
    """What is expected, and between what bounds it lies at CONFIDENCE."""

    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Tail:
    """How often the highest of some scores of strangers reaches a value."""

    start: float
    """The score from which on it was fitted; below, it goes on as it rises, to 1 at most."""
    share: float
    """Of the scores, that reach the start."""
    scale: float
    shape: float
    count: int = 1
    """Scores of which the highest counts, each independent of the others."""

    def fpir(self, threshold: float) -> float:
        """The probability that it reaches a threshold."""
        beyond = (threshold - self.start) / self.scale
        if abs(self.shape) < _SHAPE_NONE:
            survival = math.exp(min(-beyond, _LOG_MAX))
        else:
            base = 1.0 + self.shape * beyond
            survival = math.exp(min(-math.log(base) / self.shape, _LOG_MAX)) if base > 0 else 0.0
            if base <= 0 and self.shape > 0:
                survival = 1.0 / self.share
        each = min(1.0, self.share * survival)
        whole = 1.0 if each == 1.0 else -math.expm1(self.count * math.log1p(-each))
        return max(_FPIR_MIN, whole)

    def floor(self, fpir_max: float) -> float:
        """The lowest threshold that no more than this share reach."""
        each = -math.expm1(math.log1p(-fpir_max) / self.count)
        log_ratio = math.log(each / self.share)
        if abs(self.shape) < _SHAPE_NONE:
            return self.start - self.scale * log_ratio
        return self.start + self.scale / self.shape * math.expm1(-self.shape * log_ratio)


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who will pass, and who judges."""

    faces_per_hour: float
    hours: float
    operators: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is signed: nothing in it is about a person."""

    basis: Basis
    probes: int
    """Strangers' scores that it rests on."""
    subjects: int
    references: int
    threshold: float
    crowd: Crowd
    fpir: Range
    """Share of strangers for whom somebody is matched."""
    in_all: Range
    """False matches in the whole window; the bounds hold the chance of it as well."""
    per_hour: Range
    per_operator_10_min: Range
    fpir_max: float
    """The policy's."""
    threshold_floor: float
    """The lowest threshold at which the expected FPIR is no more than that."""

    @property
    def text(self) -> str:
        """As it is signed and put on record: JSON, keys sorted, ASCII alone."""
        ranges = {
            "fpir": self.fpir,
            "false_matches": self.in_all,
            "per_hour": self.per_hour,
            "per_operator_10_min": self.per_operator_10_min,
        }
        told: dict[str, object] = {
            "basis": self.basis.value,
            "probes": self.probes,
            "subjects": self.subjects,
            "references": self.references,
            "threshold": round(self.threshold, 4),
            "fpir_max": self.fpir_max,
            "threshold_floor": self.threshold_floor,
            "faces_per_hour": self.crowd.faces_per_hour,
            "hours": _short(self.crowd.hours),
            "operators": self.crowd.operators,
        }
        for name, each in ranges.items():
            told |= {name: _short(each.expected)}
            told |= {f"{name}_low": _short(each.low), f"{name}_high": _short(each.high)}
        return json.dumps(told, sort_keys=True, separators=(",", ":"))


def is_below_floor(text: str) -> bool:
    """Whether a forecast as it was signed is of a threshold below its floor, which needs the
    authorising officer's own word (R15); without a forecast there is no floor."""
    told = json.loads(text) if text else None
    return bool(told and told["threshold"] < told["threshold_floor"])


def _short(value: float) -> float:
    """Three digits, or whatever is before the point: more would claim what nobody knows."""
    return float(f"{value:.3g}") if abs(value) < 1000 else float(round(value))


@dataclass(frozen=True, slots=True)
class Comparisons:
    """How often one comparison of two people reaches a score, as it was measured with the model:
    the tail over all that were compared, and of the sets of people that it did best and worst on.
    """

    expected: Tail
    low: Tail
    high: Tail


def forecast(
    measured: NonMated,
    model: Comparisons | None,
    *,
    subjects: int,
    references: int,
    has_cohort: bool,
    threshold: float,
    fpir_max: float,
    crowd: Crowd,
) -> Forecast:
    """What a list does to this crowd at a threshold; the same for the same list, always.

    Raises `NotReady` (FORECAST_IMPOSSIBLE) for a list too short to be measured where nothing was
    measured with the model either.
    """
    matchable = _matchable(measured.scores)
    if len(measured) >= PROBES_MIN and matchable >= _TAIL_MIN:
        basis = Basis.COHORT if has_cohort else Basis.LIST
        expected, others = fit(measured.scores), _resampled(measured)
    elif model is None:
        raise NotReady(
            f"{len(measured)} strangers' scores, {matchable} of them with a lead, are too few to "
            f"forecast from (it takes {PROBES_MIN}, and {_TAIL_MIN} with one) and the model pack "
            "says nothing of strangers; give the server a cohort, or the pack an [impostors] table",
            reason="FORECAST_IMPOSSIBLE",
        )
    else:
        basis = Basis.MODEL
        whole = max(1, references)
        expected, *others = (
            replace(each, count=whole) for each in (model.expected, model.low, model.high)
        )
    rate = expected.fpir(threshold)
    rates = np.array([tail.fpir(threshold) for tail in others])
    per_operator = crowd.faces_per_hour / 6 / crowd.operators
    return Forecast(
        basis=basis,
        probes=len(measured),
        subjects=subjects,
        references=references,
        threshold=threshold,
        crowd=crowd,
        fpir=_range(rate, rates, 1.0),
        in_all=false_matches(rate, rates, crowd.faces_per_hour * crowd.hours),
        per_hour=_range(rate, rates, crowd.faces_per_hour),
        per_operator_10_min=_range(rate, rates, per_operator),
        fpir_max=fpir_max,
        threshold_floor=_rounded_up(expected.floor(fpir_max)),
    )


def fit(scores: NDArray[np.float64]) -> Tail:
    """The tail of strangers' best scores, of which two at least are of a match at some threshold.

    By Zhang and Stephens (A new and efficient estimation method for the generalized Pareto
    distribution, Technometrics 51, 2009), whose estimate always exists.
    """
    ordered = np.sort(scores)
    wanted = max(_TAIL_MIN, round(_TAIL_SHARE * len(ordered)))
    count = min(wanted, _matchable(ordered) - 1)  # NO_MATCH is no score, and no part of a tail.
    start = ordered[-count - 1]
    beyond = np.maximum(ordered[-count:] - start, _SCORE_STEP)
    grid = np.arange(1, 31 + math.isqrt(count)) - 0.5
    inverse = 1.0 / beyond[-1] + (1.0 - np.sqrt(len(grid) / grid)) / (
        3.0 * beyond[(count + 2) // 4 - 1]
    )
    shapes = np.log1p(-inverse[:, None] * beyond).mean(axis=1)
    likelihood = count * (np.log(-inverse / shapes) - shapes - 1.0)
    weights = np.exp(likelihood - likelihood.max())
    best = float((inverse * weights).sum() / weights.sum())
    shape = float(np.log1p(-best * beyond).mean()) * count / (count + _SHAPE_PRIOR)
    # The scale that has the mean of these scores with that shape.
    scale = float(beyond.mean()) * (1.0 - shape)
    return Tail(start=float(start), share=count / len(ordered), scale=scale, shape=shape)


def false_matches(rate: float, rates: NDArray[np.float64], faces: float) -> Range:
    """Among so many strangers: what is expected of a rate, and between what bounds their number
    lies, by what is not known of the rate and by chance."""
    chance = np.random.default_rng(0)
    counts = chance.poisson(np.repeat(rates * faces, max(1, 10_000 // len(rates))))
    low, high = _bounds(counts.astype(np.float64))
    return Range(rate * faces, min(low, rate * faces), max(high, rate * faces))


def _resampled(measured: NonMated) -> list[Tail]:
    """The tails of as many samples that could as well have been drawn (Efron's bootstrap, with a
    Poisson weight for each group of probes that belong together)."""
    chance = np.random.default_rng(0)
    names, group = np.unique(measured.groups, return_inverse=True)
    tails: list[Tail] = []
    while len(tails) < _REPEATS:
        drawn = np.repeat(measured.scores, chance.poisson(1.0, len(names))[group])
        if _matchable(drawn) > 1:
            tails.append(fit(drawn))
    return tails


def _matchable(scores: NDArray[np.float64]) -> int:
    return int(np.count_nonzero(scores > NO_MATCH))


def _range(rate: float, rates: NDArray[np.float64], times: float) -> Range:
    low, high = _bounds(rates)
    return Range(rate * times, min(low, rate) * times, max(high, rate) * times)


def _bounds(values: NDArray[np.float64]) -> tuple[float, float]:
    beyond = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(values, (beyond, 1.0 - beyond))
    return float(low), float(high)


def _rounded_up(score: float) -> float:
    """To three decimals, as thresholds are written, and within what a threshold may be."""
    return min(1.0, max(0.0, math.ceil(score * 1000.0) / 1000.0))
