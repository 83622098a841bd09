"""How answers are printed: tables for people, JSON and names for programs; on standard output."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Record = Mapping[str, Any]
    """One object; its keys are JSON's, its times are aware datetimes, `name` is its name."""


class Format(StrEnum):
    """Of an answer."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    NAME = "name"


def emit(
    records: Sequence[Record],
    columns: Mapping[str, str],
    output: Format,
    *,
    single: bool = False,
    empty: str = "",
) -> None:
    """Prints records on standard output.

    `columns` maps a table's headings to keys. `single` is one object rather than a list: a JSON
    object, and a table that stands upright. `empty` is said on standard error instead of a table
    without rows.
    """
    match output:
        case Format.JSON:
            print(to_json(records[0] if single else list(records), indent=2))
        case Format.JSONL:
            for record in records:
                print(to_json(record))
        case Format.NAME:
            for record in records:
                print(record["name"])
        case Format.TABLE if not records:
            talk(empty or "Nothing there.")
        case Format.TABLE if single:
            _upright(records[0], columns)
        case Format.TABLE:
            _table(records, columns)


def talk(text: str) -> None:
    """A word to the person, on standard error: never part of the data."""
    print(text, file=sys.stderr, flush=True)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON with times in RFC 3339, UTC."""
    return json.dumps(value, indent=indent, default=_plain, ensure_ascii=False)


def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds, as 2026-01-31T12:00:00.000Z."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def local_time(moment: datetime) -> str:
    """As a person reads it here: the day, the time, the zone where it is not clear."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def cell(value: Any) -> str:
    """A value as a table shows it."""
    match value:
        case None | "" | [] | ():
            return "-"
        case datetime():
            return local_time(value)
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3f}"
        case list() | tuple():
            return ", ".join(cell(item) for item in value)
        case _:
            return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _table(records: Sequence[Record], columns: Mapping[str, str]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading, key in columns.items():
        numeric = all(isinstance(r.get(key), int | float) for r in records)
        table.add_column(heading, overflow="fold", justify="right" if numeric else "left")
    for record in records:
        table.add_row(*(_literal(record.get(key)) for key in columns.values()))
    _print(table)


def _upright(record: Record, columns: Mapping[str, str]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for heading, key in columns.items():
        if record.get(key) is not None:
            table.add_row(heading, _literal(record[key]))
    _print(table)


def _literal(value: Any) -> Any:
    """Text that rich does not read markup into: names come from outside."""
    from rich.text import Text

    return Text(cell(value))


def _print(table: Any) -> None:
    from rich.console import Console

    # Into a pipe nothing is wrapped or cut: the next program wants whole names, one row a line.
    width = None if sys.stdout.isatty() else 10_000
    console = Console(width=width, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
