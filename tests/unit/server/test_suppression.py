"""'Not this person': who is silenced after a false decision, and who is found all the same."""

from __future__ import annotations

import numpy as np
import pytest

from cordon_server.matches.records import SuppressedRecord
from cordon_server.matches.suppression import SAME_FACE_MIN, Suppressions
from tests.unit.server.rooms import facing


def judged(entry_id: str, degrees: float) -> SuppressedRecord:
    return SuppressedRecord(entry_id, facing(degrees).vector.astype("<f4").tobytes())


def score(degrees: float) -> float:
    """Of a face with the listed person's reference, which faces 0 degrees."""
    return float(facing(degrees).vector @ facing(0).vector)


@pytest.mark.serves("R10")
def test_the_same_face_is_silenced_for_that_entry_and_no_other() -> None:
    faces = Suppressions([judged("s-1", 55)])

    for degrees in (50, 55, 60, 70):
        assert faces.silences("s-1", facing(degrees).vector, score(degrees)), degrees
        assert not faces.silences("s-2", facing(degrees).vector, score(degrees))


def test_who_looks_more_like_the_listed_person_than_like_the_face_judged_is_not() -> None:
    faces = Suppressions([judged("s-1", 55)])

    for degrees in (0, 10, 20, 27):
        assert not faces.silences("s-1", facing(degrees).vector, score(degrees)), degrees


def test_who_looks_like_neither_is_not() -> None:
    faces = Suppressions([judged("s-1", 55)])
    stranger = facing(55 + 70)

    assert float(stranger.vector @ facing(55).vector) < SAME_FACE_MIN
    assert not faces.silences("s-1", stranger.vector, score(125))


def test_several_faces_may_be_judged_for_one_entry() -> None:
    faces = Suppressions([judged("s-1", 55)])
    assert not faces.silences("s-1", facing(-60).vector, score(60))

    faces.add(judged("s-1", -60))

    assert faces.silences("s-1", facing(-60).vector, score(60))
    assert faces.silences("s-1", facing(55).vector, score(55))
    assert len(faces) == 2


def test_a_face_that_is_freed_may_be_that_person_again_and_the_others_stay_silenced() -> None:
    faces = Suppressions([judged("s-1", 55), judged("s-1", -60), judged("s-2", -60)])

    faces.remove(judged("s-1", -60))
    faces.remove(judged("s-1", -60))
    faces.remove(judged("s-3", -60))

    assert len(faces) == 2
    assert not faces.silences("s-1", facing(-60).vector, score(60))
    assert faces.silences("s-1", facing(55).vector, score(55))
    assert faces.silences("s-2", facing(-60).vector, score(60))


def test_the_same_face_begins_at_the_least_likeness_and_ends_where_the_entry_is_as_near() -> None:
    face = np.zeros(len(facing(0).vector), dtype=np.float32)
    face[0] = 1.0
    faces = Suppressions([SuppressedRecord("s-1", face.astype("<f4").tobytes())])
    below = np.float32(SAME_FACE_MIN)  # the nearest that there is lies below
    above = np.nextafter(below, np.float32(1))

    assert float(below) < SAME_FACE_MIN < float(above)
    assert not faces.silences("s-1", face * below, 0.0)
    assert faces.silences("s-1", face * above, float(above) - 0.01)
    assert not faces.silences("s-1", face * above, float(above))


def test_a_candidate_without_a_template_is_never_silenced() -> None:
    assert not Suppressions([judged("s-1", 0)]).silences("s-1", None, 0.1)
