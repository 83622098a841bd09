"""Whether a camera still sees people as it did when its deployment was armed (R28). Pure.

Three measures of the people whose faces were searched, each counted once: how good the best view of
them was, how like the list those are who are no match, how often one of them raises an alert. The
first BASELINE_TRACKS after arming are the baseline; every WINDOW_TRACKS after it are compared with
them. A lens that was knocked, dirt, a lamp that failed, another crowd than was thought of: each
moves one of the three.

Of a camera where nothing has changed a measure is taken for changed in a window with a probability
of ALPHA at most, and so one of the three with FALSE_ALARM_MAX at most. That takes people for
independent of each other: somebody whose track breaks in two counts twice. The windows share one
baseline, so that false alarms come together rather than more often.
"""

from __future__ import annotations

import math
from enum import StrEnum
from statistics import NormalDist

import msgspec

from cordon_server.domain import Passed, Sums

BASELINE_TRACKS = 500
"""People after arming who say how it is here. More take longer; with fewer than twice a window
their own chance would hide half of every change."""
WINDOW_TRACKS = 250
"""People of whom each comparison is: at a busy place a quarter of an hour's. Half a standard
deviation is then noticed in 99 of 100 windows."""
ALPHA = 0.001
"""Probability, for each measure and window, of noticing what is not there; two-sided."""
EFFECT_MIN = 0.3
"""Least change of a mean that is told, in standard deviations of the baseline (Glass's delta: G. V.
Glass, Primary, secondary, and meta-analysis of research, Educational Researcher 5, 1976). Between
what Cohen calls small (0.2) and medium (0.5): with people enough the least change would be
significant, and none of anybody's business."""
CALM_WINDOWS = 2
"""Windows without it, one after the other, that clear an alarm."""
COMPARED_MIN = 30
"""Fewer people than this have no mean that is compared: strangers have no score where nobody is
listed."""


class Measure(StrEnum):
    """What is watched."""

    QUALITY = "quality"
    """Worth of each person's best view, above 0 and 1.2 at most: large, frontal and sharp."""
    SCORE = "score"
    """Similarity of whoever is no match with the nearest of the list."""
    ALERTS = "alerts"
    """Alerts for each person searched."""


FALSE_ALARM_MAX = len(Measure) * ALPHA
"""Probability, for each window of a camera, of any false alarm (Boole's inequality)."""


class Sample(msgspec.Struct, frozen=True):
    """So many people, in sums alone."""

    quality: Sums = Sums()
    score: Sums = Sums()
    alerts: int = 0

    @property
    def tracks(self) -> int:
        """People, each counted once."""
        return self.quality.count

    def value(self, measure: Measure) -> float:
        """What a measure is in it."""
        if measure is Measure.ALERTS:
            return self.alerts / self.tracks if self.tracks else 0.0
        return self.quality.mean if measure is Measure.QUALITY else self.score.mean

    def with_passed(self, passed: Passed) -> Sample:
        """It and those who have passed."""
        return Sample(self.quality + passed.quality, self.score + passed.score, self.alerts)

    def with_alerts(self, count: int) -> Sample:
        """It and so many alerts."""
        return Sample(self.quality, self.score, self.alerts + count)


def drifted(baseline: Sample, current: Sample) -> frozenset[Measure]:
    """The measures that have changed since the baseline."""
    changed = {
        Measure.QUALITY: has_mean_changed(baseline.quality, current.quality),
        Measure.SCORE: has_mean_changed(baseline.score, current.score),
        Measure.ALERTS: has_rate_changed(
            (baseline.alerts, baseline.tracks), (current.alerts, current.tracks)
        ),
    }
    return frozenset(measure for measure, is_changed in changed.items() if is_changed)


def has_mean_changed(baseline: Sums, current: Sums) -> bool:
    """Welch's test of two means (B. L. Welch, The generalization of Student's problem when several
    different population variances are involved, Biometrika 34, 1947), and EFFECT_MIN."""
    if min(baseline.count, current.count) < COMPARED_MIN or not baseline.variance > 0:
        return False
    own, others = baseline.variance / baseline.count, current.variance / current.count
    freedom = (own + others) ** 2 / (
        own**2 / (baseline.count - 1) + others**2 / (current.count - 1)
    )
    change = abs(current.mean - baseline.mean)
    return (
        change >= EFFECT_MIN * math.sqrt(baseline.variance)
        and change >= critical_t(freedom) * math.sqrt(own + others)
    )  # fmt: skip


def critical_t(freedom: float) -> float:
    """What Student's t reaches with a probability of ALPHA, either way (the first terms of 26.7.5
    in Abramowitz and Stegun, Handbook of mathematical functions, 1964)."""
    x = _CRITICAL_Z
    return x + (x**3 + x) / (4 * freedom) + (5 * x**5 + 16 * x**3 + 3 * x) / (96 * freedom**2)


_CRITICAL_Z = -NormalDist().inv_cdf(ALPHA / 2)


def has_rate_changed(baseline: tuple[int, int], current: tuple[int, int]) -> bool:
    """The exact test of two counts, each of so many (J. Przyborowski and H. Wilenski, Homogeneity
    of results in testing samples from Poisson series, Biometrika 31, 1940): where both have one
    rate, the current count of all counts is binomial, with the share of people as its
    probability. Of counts that are binomial themselves it claims less than it may."""
    (before, before_of), (now, now_of) = baseline, current
    if not (before_of and now_of and before + now):
        return False
    count, share = before + now, now_of / (before_of + now_of)
    low = math.fsum(_binomial(each, count, share) for each in range(now + 1))
    high = math.fsum(_binomial(each, count, share) for each in range(now, count + 1))
    return min(low, high) <= ALPHA / 2


def _binomial(successes: int, count: int, share: float) -> float:
    """The probability of so many successes."""
    ways = math.lgamma(count + 1) - math.lgamma(successes + 1) - math.lgamma(count - successes + 1)
    return math.exp(ways + successes * math.log(share) + (count - successes) * math.log1p(-share))
