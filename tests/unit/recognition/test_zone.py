"""Faces outside the zone that was authorised are not searched (R7)."""

from __future__ import annotations

import pytest

from cordon_server.domain import Box
from cordon_server.recognition.zone import Zone

HALF = Zone(((0.5, 0.0), (1.0, 1.0)))
TURNED = Zone(((1.0, 1.0), (0.5, 0.0)))
TRIANGLE = Zone(((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)))


def face(x: float, y: float) -> Box:
    """A face of 10 pixels around a point."""
    return Box(x - 5, y - 5, 10, 10)


@pytest.mark.serves("R7")
@pytest.mark.parametrize("zone", [HALF, TURNED])
def test_two_points_are_the_corners_of_a_box(zone: Zone) -> None:
    assert zone.holds(face(150, 50), 200, 100)
    assert zone.holds(face(100, 50), 200, 100)
    assert not zone.holds(face(99, 50), 200, 100)


@pytest.mark.serves("R7")
def test_more_are_those_of_a_polygon() -> None:
    assert TRIANGLE.holds(face(40, 20), 200, 100)
    assert TRIANGLE.holds(face(150, 20), 200, 100)
    assert not TRIANGLE.holds(face(150, 60), 200, 100)
    assert not TRIANGLE.holds(face(190, 95), 200, 100)
