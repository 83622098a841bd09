"""Where a running camera's words go: a line that stays, log lines, or JSON for programs."""

from __future__ import annotations

import json
import sys
from typing import Protocol, TextIO

from cordon_camera.status import Tally, status_line
from cordon_client.errors import ClientError

_LOG_EVERY_S = 30


class Report(Protocol):
    """Hears what happens; never waits for anyone."""

    def note(self, event: str, message: str) -> None:
        """Something happened that a person may want to know."""

    def tick(self, tally: Tally, skipped: int, now_s: float) -> None:
        """Another second went by."""

    def summary(self, tally: Tally, skipped: int, lost: int) -> None:
        """It is over."""


class LineReport:
    """One line on a terminal that is written over, events above it."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._shown = False

    def note(self, event: str, message: str) -> None:
        self._print(f"{event}: {message}\n")
        self._shown = False

    def tick(self, tally: Tally, skipped: int, now_s: float) -> None:
        self._print(status_line({**tally.counts(), "skipped": skipped}, tally.fps(now_s)))
        self._shown = True

    def summary(self, tally: Tally, skipped: int, lost: int) -> None:
        self.note("done", _summary_text(tally, skipped, lost))

    def _print(self, text: str) -> None:
        clear = "\r\x1b[K" if self._shown else ""
        self._out.write(f"{clear}{text}")
        self._out.flush()


class LogReport:
    """Events and a status every half minute as structured log lines on standard error."""

    def __init__(self, out: TextIO | None = None) -> None:
        import structlog

        self._log = structlog.wrap_logger(
            structlog.PrintLogger(out or sys.stderr),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
            ],
        )
        self._ticks = 0

    def note(self, event: str, message: str) -> None:
        self._log.info(f"camera.{event}", message=message)

    def tick(self, tally: Tally, skipped: int, now_s: float) -> None:
        self._ticks += 1
        if self._ticks % _LOG_EVERY_S == 0:
            fps = round(tally.fps(now_s), 1)
            self._log.info("camera.status", fps=fps, skipped=skipped, **tally.counts())

    def summary(self, tally: Tally, skipped: int, lost: int) -> None:
        self._log.info("camera.summary", skipped=skipped, lost=lost, **tally.counts())
        for each in tally.rejections:
            self._log.warning(
                "camera.rejected", name=each.name, reason=each.reason, message=each.message
            )


class JsonReport:
    """One JSON object a second on standard output, and one at the end."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def note(self, event: str, message: str) -> None:
        self._print({"event": event, "message": message})

    def tick(self, tally: Tally, skipped: int, now_s: float) -> None:
        fps = round(tally.fps(now_s), 2)
        self._print({"event": "status", "fps": fps, **tally.counts(), "skipped": skipped})

    def summary(self, tally: Tally, skipped: int, lost: int) -> None:
        rejections = [
            {"name": r.name, "reason": r.reason, "message": r.message} for r in tally.rejections
        ]
        self._print(
            {
                "event": "summary",
                **tally.counts(),
                "skipped": skipped,
                "lost": lost,
                "rejections": rejections,
            }
        )

    def _print(self, value: dict[str, object]) -> None:
        print(json.dumps(value), file=self._out, flush=True)


def choose_report(as_json: bool) -> Report:
    """JSON where asked, a live line on a terminal, log lines elsewhere."""
    if as_json:
        return JsonReport()
    return LineReport() if sys.stderr.isatty() else LogReport()


def in_one_line(error: ClientError) -> str:
    """What went wrong, why, and the next step."""
    return " ".join(part for part in (error.what, error.why, error.hint) if part)


def _summary_text(tally: Tally, skipped: int, lost: int) -> str:
    counts = {**tally.counts(), "skipped": skipped, "lost": lost}
    lines = [", ".join(f"{name} {value}" for name, value in counts.items())]
    lines += [f"  rejected {r.name or 'a frame'}: {r.message}" for r in tally.rejections]
    return "\n".join(lines)
