"""Gates, the decision rule, and which face of a photograph is meant."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.domain import (
    Box,
    Candidate,
    Face,
    FaceFate,
    Quality,
    ReasonCode,
    UnusablePicture,
)
from cordon_server.recognition.decide import STILLS_RULE, matches, passes
from cordon_server.recognition.enrol import pick
from cordon_server.recognition.gates import ENROLMENT_GATE, PROBE_GATE, reasons

GOOD = Quality(0.9, inter_eye_px=60, sharpness=80, luminance=110, yaw_degrees=5, roll_degrees=2)


def _candidate(score: float, entry: str = "a", threshold: float = 0.47) -> Candidate:
    return Candidate(entry, f"{entry}/1", score, margin=0.1, threshold=threshold)


def _face(x: float, y: float, width: float) -> Face:
    return Face(Box(x, y, width, width), np.zeros((5, 2), np.float32), 0.9)


def test_a_good_face_passes_both_gates() -> None:
    assert PROBE_GATE.misfits(GOOD) == ()
    assert ENROLMENT_GATE.misfits(GOOD) == ()
    assert reasons(GOOD, ENROLMENT_GATE) == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"inter_eye_px": 10.0}, ReasonCode.TOO_SMALL),
        ({"sharpness": 1.0}, ReasonCode.BLURRED),
        ({"luminance": 5.0}, ReasonCode.TOO_DARK),
        ({"luminance": 250.0}, ReasonCode.TOO_BRIGHT),
        ({"yaw_degrees": -70.0}, ReasonCode.POSE),
        ({"roll_degrees": 70.0}, ReasonCode.POSE),
        ({"inter_eye_px": math.nan}, ReasonCode.TOO_SMALL),
        ({"sharpness": math.nan}, ReasonCode.BLURRED),
    ],
)
def test_each_limit_has_its_code_and_a_sentence(change: dict[str, float], code: ReasonCode) -> None:
    poor = dataclasses.replace(GOOD, **change)

    assert code in PROBE_GATE.misfits(poor)
    assert {reason.code for reason in reasons(poor, ENROLMENT_GATE)} >= {code}
    assert all("give a" in r.message for r in reasons(poor, ENROLMENT_GATE))


@pytest.mark.serves("R23")
@pytest.mark.parametrize(
    ("change", "component"),
    [
        ({"inter_eye_px": 10.0}, "InterEyeDistance"),
        ({"sharpness": 1.0}, "Sharpness"),
        ({"luminance": 5.0}, "UnderExposurePrevention"),
        ({"luminance": 250.0}, "OverExposurePrevention"),
        ({"yaw_degrees": -70.0}, "HeadPoseYaw"),
        ({"roll_degrees": 70.0}, "HeadPoseRoll"),
        ({"detection_score": 0.6}, "FaceOcclusionPrevention"),
    ],
)
def test_each_limit_is_named_as_iso_29794_5_names_it(
    change: dict[str, float], component: str
) -> None:
    poor = dataclasses.replace(GOOD, **change)

    assert [reason.component for reason in reasons(poor, ENROLMENT_GATE)] == [component]


def test_the_enrolment_gate_lets_nothing_through_that_the_probe_gate_refuses() -> None:
    for name in (
        "inter_eye_px_min",
        "sharpness_min",
        "luminance_min",
        "detection_score_min",
    ):
        assert getattr(ENROLMENT_GATE, name) >= getattr(PROBE_GATE, name)
    for name in ("luminance_max", "yaw_degrees_max", "roll_degrees_max"):
        assert getattr(ENROLMENT_GATE, name) <= getattr(PROBE_GATE, name)


def test_a_small_face_is_too_small_before_it_is_too_poor() -> None:
    small = dataclasses.replace(GOOD, inter_eye_px=3.0, yaw_degrees=80.0)

    assert PROBE_GATE.geometry_fate(small) is FaceFate.TOO_SMALL
    assert PROBE_GATE.geometry_fate(dataclasses.replace(small, inter_eye_px=50)) is (
        FaceFate.TOO_POOR
    )


@given(st.floats(allow_nan=True), st.floats(-1, 1))
def test_only_a_score_that_reaches_its_threshold_is_a_match(score: float, threshold: float) -> None:
    is_match = passes(_candidate(score, threshold=threshold), STILLS_RULE)

    assert is_match == (not math.isnan(score) and score >= threshold)


def test_nan_never_matches_and_nobody_listed_is_no_match() -> None:
    assert not passes(_candidate(math.nan), STILLS_RULE)
    assert not passes(_candidate(0.9, threshold=math.nan), STILLS_RULE)
    assert not passes(None, STILLS_RULE)


def test_of_two_faces_that_match_one_subject_the_better_stands() -> None:
    found = [_candidate(0.6), None, _candidate(0.8), _candidate(0.5, "b"), _candidate(0.4, "c")]

    assert matches(found) == [2, 3]


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.builds(_candidate, st.floats(-1, 1) | st.just(math.nan), st.sampled_from("abc")),
        )
    )
)
def test_each_subject_is_matched_at_most_once_and_by_its_best_score(
    found: list[Candidate | None],
) -> None:
    chosen = [found[i] for i in matches(found)]

    assert len({c.entry_id for c in chosen if c}) == len(chosen)
    for entry in "abc":
        scores = [c.score for c in found if c and c.entry_id == entry and passes(c, STILLS_RULE)]
        kept = [c.score for c in chosen if c and c.entry_id == entry]
        assert kept == ([max(scores)] if scores else [])


def test_the_large_central_face_stands_out_among_bystanders() -> None:
    central, aside = _face(80, 80, 90), _face(0, 0, 70)

    assert pick([aside, central], 250, 250, None) is central


def test_two_faces_of_like_size_are_several() -> None:
    with pytest.raises(UnusablePicture) as caught:
        pick([_face(50, 100, 60), _face(140, 100, 60)], 250, 250, None)

    assert [r.code for r in caught.value.reasons] == [ReasonCode.SEVERAL_FACES]
    assert "point" in caught.value.message


def test_a_point_picks_the_face_that_holds_it() -> None:
    left, right = _face(50, 100, 60), _face(140, 100, 60)

    assert pick([left, right], 250, 250, (170, 130)) is right
    with pytest.raises(UnusablePicture) as caught:
        pick([left, right], 250, 250, (5, 5))
    assert caught.value.reasons[0].code is ReasonCode.NO_FACE


def test_no_face_is_said_so() -> None:
    with pytest.raises(UnusablePicture) as caught:
        pick([], 250, 250, None)

    assert caught.value.reasons[0].code is ReasonCode.NO_FACE
