"""The one place between the capture thread and the sender."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition

from cordon_camera.sources.picture import Picture


class Slot:
    """Holds one picture. What full means is the slot's own rule:

    newest wins: a new picture takes the waiting one's place, which is counted in `replaced`;
    every picture: `put` waits until the waiting one was taken.
    """

    def __init__(self, *, newest_wins: bool, filled: Callable[[], None] = lambda: None) -> None:
        self._newest_wins = newest_wins
        self._filled = filled
        self._condition = Condition()
        self._picture: Picture | None = None
        self._closed = False
        self.replaced = 0

    def put(self, picture: Picture) -> bool:
        """Offers a picture, from the capture thread; False when the slot was closed."""
        with self._condition:
            if not self._newest_wins:
                self._condition.wait_for(lambda: self._picture is None or self._closed)
            if self._closed:
                return False
            was_empty = self._picture is None
            self.replaced += not was_empty
            self._picture = picture
        if was_empty:
            self._filled()
        return True

    def take(self) -> Picture | None:
        """The waiting picture, from the sender; None when there is none."""
        with self._condition:
            picture, self._picture = self._picture, None
            self._condition.notify_all()
        return picture

    @property
    def is_empty(self) -> bool:
        """Whether no picture waits."""
        return self._picture is None

    def close(self) -> None:
        """Ends waiting; nothing is taken in any more, what waits may still be taken."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
