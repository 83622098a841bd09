"""The running table on standard error, and the summary. Knows the tally, not where it is from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cordon_demo.tally import percentile

if TYPE_CHECKING:
    from pathlib import Path

    from cordon_demo.tally import CameraTally, Tally


class Screen:
    """Says what happens; on a terminal the table is redrawn in place."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._live: Live | None = None

    def step(self, words: str) -> None:
        """One line about what is being done."""
        self._console.print(Text("› ", "cyan") + Text(words))

    def show(self, tally: Tally, elapsed_s: float, seconds: float, latest: str) -> None:
        """The table as it stands."""
        if not self._console.is_terminal:
            return
        page = Group(table(tally, elapsed_s), Text(_footer(elapsed_s, seconds, latest), "dim"))
        if self._live is None:
            self._live = Live(page, console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(page, refresh=True)

    def close(self, tally: Tally | None = None, elapsed_s: float = 0.0) -> None:
        """Leaves the last table standing."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        elif tally is not None:
            self._console.print(table(tally, elapsed_s))


def table(tally: Tally, elapsed_s: float) -> Table:
    """One row a camera and one for all."""
    made = Table(header_style="bold", footer_style="bold", show_footer=True)
    total = tally.total
    rows = [_cells(each, elapsed_s) for each in tally.cameras.values()]
    sums = _cells(total, elapsed_s)
    headings = ("frames", "frames/s", "faces", "matches", "p50 ms", "p99 ms")
    made.add_column("camera", footer="all")
    for heading, total_cell in zip(headings, sums, strict=True):
        made.add_column(heading, footer=total_cell, justify="right")
    for name, cells in zip(tally.cameras, rows, strict=True):
        made.add_row(name, *cells)
    return made


def _cells(camera: CameraTally, elapsed_s: float) -> tuple[str, ...]:
    rate = camera.frames / elapsed_s if elapsed_s > 0 else 0.0
    return (
        str(camera.frames),
        f"{rate:.1f}",
        str(camera.faces),
        str(camera.matches),
        _ms(percentile(camera.latencies_ms, 0.50)),
        _ms(percentile(camera.latencies_ms, 0.99)),
    )


def _footer(elapsed_s: float, seconds: float, latest: str) -> str:
    return f"{min(elapsed_s, seconds):.0f} of {seconds:g} s   {latest}"


def summary(outcome: dict[str, Any], folder: Path) -> str:
    """The outcome in a person's words."""
    p50, p99 = _ms(outcome["latency_ms_p50"]), _ms(outcome["latency_ms_p99"])
    lines = [
        f"{outcome['frames']} frames and {outcome['faces']} faces in {outcome['seconds']:.1f} s, "
        f"{outcome['matches']} matches.",
        _missed_words(outcome),
        _false_words(outcome),
    ]
    if outcome["matches"]:
        lines += [
            f"From capture to match: p50 {p50} ms, p99 {p99} ms; "
            f"first match {outcome['first_match_s']:.1f} s after the start.",
            f"Pictures: {folder}",
        ]
    return "\n".join(lines)


def _missed_words(outcome: dict[str, Any]) -> str:
    missed, expected = outcome["missed"], outcome["expected"]
    if not expected:
        return "Nobody listed was expected to be seen for long enough."
    what = "passes of listed people" if outcome["rendered"] else "listed people"
    return f"{expected - missed} of {expected} {what} matched, {missed} missed."


def _false_words(outcome: dict[str, Any]) -> str:
    if outcome["false_matches"] is None:
        return "Whether a match is false only you can tell: look at the pictures."
    return f"{outcome['false_matches']} strangers matched."


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
