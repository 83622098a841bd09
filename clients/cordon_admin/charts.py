"""Plots as SVG, drawn by hand: they stand in a page and in a PDF alike, and need no library.

Each has a title that a screen reader reads. Colours keep 4.5 : 1 against white, and nothing is said
by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 720
_LEFT, _RIGHT = 190, 90
_INK, _QUIET, _RULE = "#1b1f24", "#57606a", "#d0d7de"
_FACES, _ALERT, _LIMIT = "#2f6f9f", "#a3341f", "#7a4b00"
_FONT = "Source Sans Pro, system-ui, sans-serif"


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its interval, as a row of a plot."""

    label: str
    value: float | None
    """None where there is nothing to divide by."""
    low: float
    high: float


def bars(title: str, rows: Sequence[tuple[str, int]]) -> str:
    """One bar for each count, its number behind it."""
    height = 34 * len(rows) + 12
    most = max([count for _, count in rows] + [1])
    room = WIDTH - _LEFT - _RIGHT
    parts = []
    for at, (label, count) in enumerate(rows):
        y = 10 + 34 * at
        length = room * count / most
        parts.append(_text(_LEFT - 12, y + 16, label, anchor="end"))
        parts.append(_box(_LEFT, y, max(length, 1.0), 22, _FACES if count else _RULE))
        parts.append(_text(_LEFT + length + 8, y + 16, f"{count:,}", weight=600))
    return _drawing(title, height, parts)


def rates(
    title: str, rows: Sequence[Rate], *, limit: float | None = None, limit_told: str = ""
) -> str:
    """Shares and their intervals on a logarithmic scale, with a limit to compare them with."""
    shown = [v for row in rows for v in (row.value, row.low, row.high, limit) if v]
    low = 10.0 ** math.floor(math.log10(max(min([*shown, 1e-2]), 1e-6)))
    height = 36 * len(rows) + 62
    room = WIDTH - _LEFT - 30

    def across(value: float) -> float:
        return _LEFT + room * math.log10(max(value, low) / low) / math.log10(1.0 / low)

    bottom = height - 30
    parts = []
    for power in range(round(math.log10(low)), 1):
        x = across(10.0**power)
        parts.append(_line(x, 14, x, bottom, _RULE))
        parts.append(_text(x, bottom + 18, _share(10.0**power), anchor="middle", colour=_QUIET))
    if limit is not None:
        x = across(limit)
        parts.append(_line(x, 14, x, bottom, _LIMIT, width=2, dashes="6 4"))
        parts.append(_text(x + 6, 12, limit_told, colour=_LIMIT, size=13))
    for at, row in enumerate(rows):
        y = 40 + 36 * at
        parts.append(_text(_LEFT - 12, y + 5, row.label, anchor="end"))
        if row.value is not None:
            parts.append(_line(across(row.low), y, across(row.high), y, _INK, width=2))
            parts.extend(
                _line(across(end), y - 6, across(end), y + 6, _INK, width=2)
                for end in (row.low, row.high)
            )
            parts.append(f'<circle cx="{across(row.value):.1f}" cy="{y}" r="5" fill="{_ALERT}"/>')
    return _drawing(title, height, parts)


def timeline(
    title: str, faces: Sequence[tuple[float, int]], alerts: Sequence[float], hours: Sequence[str]
) -> str:
    """Faces seen over the deployment, from (share of its time, faces up to then), and a mark for
    each alert; `hours` label the time from its first to its last moment, evenly."""
    height, top, bottom, left = 240, 30, 200, 60
    room = WIDTH - left - 30
    most = max([count for _, count in faces] + [1])

    def across(share: float) -> float:
        return left + room * min(1.0, max(0.0, share))

    def up(count: float) -> float:
        return bottom - (bottom - top) * count / most

    parts = [_line(left, bottom, left + room, bottom, _INK)]
    for count in (most // 2, most):
        parts.append(_line(left, up(count), left + room, up(count), _RULE))
        parts.append(_text(left - 8, up(count) + 5, f"{count:,}", anchor="end", colour=_QUIET))
    points = " ".join(f"{across(share):.1f},{up(count):.1f}" for share, count in faces)
    parts.append(f'<polyline points="{points}" fill="none" stroke="{_FACES}" stroke-width="2.5"/>')
    for share in alerts:
        x = across(share)
        parts.append(f'<path d="M{x:.1f} {bottom} l-5 -11 h10 z" fill="{_ALERT}"/>')
    for at, hour in enumerate(hours):
        x = across(at / max(1, len(hours) - 1))
        anchor = "start" if at == 0 else "end" if at == len(hours) - 1 else "middle"
        parts.append(_text(x, bottom + 22, hour, anchor=anchor, colour=_QUIET))
    parts.append(
        _text(left, 16, "faces seen so far; a triangle is an alert", size=13, colour=_QUIET)
    )
    return _drawing(title, height, parts)


def _drawing(title: str, height: float, parts: Sequence[str]) -> str:
    name = escape(title, quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{name}" font-family="{_FONT}">\n<title>{name}</title>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    colour: str = _INK,
    size: int = 15,
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="{colour}">{escape(words)}</text>'
    )


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
    )


def _line(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    colour: str,
    *,
    width: float = 1,
    dashes: str = "",
) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )


def _share(value: float) -> str:
    return "all" if value >= 1.0 else f"1 in {round(1 / value):,}"
