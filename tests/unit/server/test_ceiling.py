"""The sequential test on false alerts: found within its stated bound, and never unjust for long."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from cordon_server.authority.ceiling import PER_FACE_MAX, Ceiling
from cordon_server.cli import serving

CEILING = Ceiling(per_face=0.001, confidence=0.95)
STREAMS = 4000


@pytest.mark.serves("R16")
def test_a_stream_at_twice_the_ceiling_is_suspended_within_the_stated_faces() -> None:
    bound = CEILING.faces_until(0.95, rate=0.002)

    suspended = _share_suspended(CEILING, rate=0.002, faces=bound)

    print(f"\ntwice the ceiling: {suspended:.1%} suspended within {bound:,} faces")
    assert bound < 40_000
    assert CEILING.chance_within(bound - bound // 64, rate=0.002) < 0.95, "no further off"
    assert suspended >= 0.95 - _error(0.95)


@pytest.mark.serves("R16", "R25")
def test_a_policy_is_explained_with_the_faces_within_which_its_ceiling_suspends() -> None:
    told = CliRunner().invoke(serving.app, ["policy", "uk-police"])

    bound = CEILING.faces_until(0.95, rate=0.002)
    assert told.exit_code == 0
    assert f"suspend a deployment within {bound:,} faces" in told.stdout


@pytest.mark.serves("R16")
def test_a_stream_at_half_the_ceiling_is_practically_never_suspended() -> None:
    faces = 300_000  # days of a crowd of one face a second

    suspended = _share_suspended(CEILING, rate=0.0005, faces=faces)

    print(f"\nhalf the ceiling: {suspended:.2%} suspended within {faces:,} faces")
    assert suspended <= 0.001 + _error(0.001)
    assert CEILING.chance_within(faces, rate=0.0005) <= 0.001


@pytest.mark.serves("R16")
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_a_stream_at_the_ceiling_is_suspended_no_oftener_than_the_confidence_allows(
    confidence: float,
) -> None:
    ceiling = Ceiling(per_face=0.001, confidence=confidence)

    suspended = _share_suspended(ceiling, rate=0.001, faces=300_000)

    assert suspended <= 1 - confidence + _error(1 - confidence)


@pytest.mark.parametrize(("rate", "faces"), [(0.001, 60_000), (0.002, 12_000), (0.008, 1_500)])
def test_the_chance_that_is_reckoned_is_the_share_that_is_seen(rate: float, faces: int) -> None:
    reckoned = CEILING.chance_within(faces, rate=rate)

    assert _share_suspended(CEILING, rate=rate, faces=faces) == pytest.approx(
        reckoned, abs=_error(reckoned) + 0.005
    )


def test_no_number_of_faces_is_sure_to_suspend_a_stream_at_the_ceiling() -> None:
    with pytest.raises(AssertionError):
        CEILING.faces_until(0.95, rate=CEILING.per_face)


def test_within_few_faces_the_chance_is_that_of_so_many_alerts_among_them() -> None:
    least = next(count for count in range(1, 20) if CEILING.faces_proving(count) >= 0)
    expected = 0.5 * least

    below = sum(math.exp(-expected) * expected**k / math.factorial(k) for k in range(least))

    assert least > 1
    assert CEILING.chance_within(least, rate=0.5) == pytest.approx(1 - below)


@pytest.mark.serves("R16")
def test_a_gross_breach_is_found_after_a_few_alerts() -> None:
    assert CEILING.suspends(false_alerts=3, faces=30)
    assert not CEILING.suspends(false_alerts=1, faces=1)


@pytest.mark.parametrize(
    ("per_face", "confidence"), [(0.0, 0.95), (2 * PER_FACE_MAX, 0.95), (0.001, 0.0), (0.001, 1.0)]
)
def test_a_ceiling_that_is_none_is_a_mistake_of_ours(per_face: float, confidence: float) -> None:
    Ceiling(per_face=PER_FACE_MAX, confidence=0.95)
    with pytest.raises(AssertionError):
        Ceiling(per_face=per_face, confidence=confidence)


def test_faces_without_a_false_alert_speak_for_the_deployment() -> None:
    evidence = [CEILING.log_evidence(3, faces) for faces in (10, 100, 1000, 10_000, 100_000)]

    assert evidence == sorted(evidence, reverse=True)
    assert not CEILING.suspends(false_alerts=0, faces=0)


def test_the_boundary_is_the_last_number_of_faces_that_suspends() -> None:
    for false_alerts in (4, 10, 60):
        edge = CEILING.faces_proving(false_alerts)

        assert CEILING.suspends(false_alerts=false_alerts, faces=edge)
        assert not CEILING.suspends(false_alerts=false_alerts, faces=edge + 1)
    assert CEILING.faces_proving(1) == -1


@pytest.mark.parametrize("per_face", [0.2, 0.05, 1e-5])
def test_any_ceiling_has_a_bound(per_face: float) -> None:
    ceiling = Ceiling(per_face=per_face, confidence=0.95)

    bound = ceiling.faces_until(0.9, rate=2 * per_face)

    assert ceiling.chance_within(bound, rate=2 * per_face) >= 0.9


def _share_suspended(ceiling: Ceiling, *, rate: float, faces: int) -> float:
    """Of many streams, each face of which is falsely alerted for at this rate."""
    chance = np.random.default_rng(16)
    most = int(rate * faces + 10 * np.sqrt(rate * faces) + 10)
    edges: NDArray[np.int64] = np.array([ceiling.faces_proving(k) for k in range(1, most + 1)])
    suspended = 0
    for _ in range(STREAMS // 500):
        when = chance.geometric(rate, size=(500, most)).cumsum(axis=1)
        suspended += int(((when <= edges) & (when <= faces)).any(axis=1).sum())
    return suspended / STREAMS


def _error(share: float) -> float:
    """Four standard errors of a share of so many streams."""
    return float(4 * np.sqrt(share * (1 - share) / STREAMS))
