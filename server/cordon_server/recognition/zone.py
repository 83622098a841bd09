"""Where in a camera's picture faces are searched (R7). Knows neither pictures nor deployments."""

from __future__ import annotations

from dataclasses import dataclass

from cordon_server.domain import Box

Point = tuple[float, float]
"""(x, y) as fractions of a picture's width and height, from its top left."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A polygon; two points are the opposite corners of a box."""

    points: tuple[Point, ...]

    def holds(self, box: Box, width: int, height: int) -> bool:
        """Whether the middle of a face lies in it, in a picture of this size in pixels."""
        x, y = (box.x + box.width / 2) / width, (box.y + box.height / 2) / height
        if len(self.points) == 2:
            (x1, y1), (x2, y2) = self.points
            return min(x1, x2) <= x <= max(x1, x2) and min(y1, y2) <= y <= max(y1, y2)
        return _is_inside(self.points, x, y)


def _is_inside(corners: tuple[Point, ...], x: float, y: float) -> bool:
    """Whether a ray to the right crosses an odd number of edges."""
    inside = False
    for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], corners[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside
