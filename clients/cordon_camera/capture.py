"""The capture thread: reads the source into the slot, and opens it again where that may help."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

from cordon_camera.faults import SourceError
from cordon_camera.slot import Slot
from cordon_camera.sources.picture import Source
from cordon_client.backoff import full_jitter

_JOIN_S = 2.0


class Capture:
    """Runs from `start` to the source's end or `stop`.

    `ended` is called once, in the capture thread, with the error or None; `waiting` before each
    pause until a live source is opened again. A source that never gave a picture is opened again
    only where waiting may mend its fault: a wrong password is said at once.
    """

    def __init__(
        self,
        open_source: Callable[[], Source],
        slot: Slot,
        *,
        is_live: bool,
        ended: Callable[[BaseException | None], None],
        waiting: Callable[[SourceError], None],
    ) -> None:
        self._open_source = open_source
        self._slot = slot
        self._is_live = is_live
        self._ended = ended
        self._waiting = waiting
        self._stop = Event()
        self._source: Source | None = None
        self._any_picture = False
        # A daemon: a read that hangs in the driver must not keep the program from ending.
        self._thread = Thread(target=self._run, name="capture", daemon=True)

    def start(self) -> None:
        """Begins reading."""
        self._thread.start()

    def stop(self) -> None:
        """Ends reading; waits a moment for the thread, not forever."""
        self._stop.set()
        self._slot.close()
        source = self._source
        if source is not None:
            source.close()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            self._read_until_stopped()
        except Exception as error:  # noqa: BLE001 - handed to the owner, who raises it
            self._ended(error)
        else:
            self._ended(None)

    def _read_until_stopped(self) -> None:
        waits_s = full_jitter(0.5, 30.0)
        while not self._stop.is_set():
            try:
                self._read()
                return
            except SourceError as failed:
                if not (self._is_live and (failed.may_pass or self._any_picture)):
                    raise
                self._waiting(failed)
                if self._came_back():
                    waits_s = full_jitter(0.5, 30.0)
                self._stop.wait(next(waits_s))

    def _came_back(self) -> bool:
        """Whether the last opening gave a picture."""
        came, self._fresh = self._fresh, False
        return came

    _fresh = False

    def _read(self) -> None:
        self._source = source = self._open_source()
        try:
            for picture in source.frames():
                self._any_picture = self._fresh = True
                if not self._slot.put(picture):
                    return
                del picture
        finally:
            source.close()
            self._source = None
