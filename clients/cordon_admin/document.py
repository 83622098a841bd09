"""A text with tables and pictures, as a web page or for typesetting: the same words in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

LANGUAGE = "en"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; the first cell of each names its row."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing, as SVG, and what it shows for who cannot see it."""

    svg: str
    told: str


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading, in this order."""

    heading: str
    words: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    table: Table | None = None
    figure: Figure | None = None

    @property
    def record(self) -> dict[str, Any]:
        """As JSON, for typesetting."""
        return asdict(self)


def to_html(title: str, lead: str, sections: Sequence[Section], small: str = "") -> str:
    """One page that needs nothing else: no script, no picture or font from elsewhere."""
    body = "\n".join(_section(section) for section in sections)
    return f"""<!doctype html>
<html lang="{LANGUAGE}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p class="lead">{escape(lead)}</p>
{body}
</main>
<footer><p>{escape(small)}</p></footer>
</body>
</html>
"""


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.heading)}</h2>"]
    parts += [f"<p>{escape(words)}</p>" for words in section.words]
    if section.items:
        parts.append("<ul>" + "".join(f"<li>{escape(i)}</li>" for i in section.items) + "</ul>")
    if section.table is not None:
        parts.append(_table(section.table, section.heading))
    if section.figure is not None:
        parts.append(
            f"<figure>{section.figure.svg}"
            f"<figcaption>{escape(section.figure.told)}</figcaption></figure>"
        )
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _table(table: Table, caption: str) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<table><caption class="unseen">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>"
    )


_STYLE = """
:root { color-scheme: light; }
body { margin: 0; font: 1.0625rem/1.55 "Source Sans Pro", system-ui, sans-serif; color: #12202b;
  background: #fff; }
main, footer { max-width: 46rem; margin: 0 auto; padding: 0 1.25rem; }
h1 { font-size: 2.1rem; line-height: 1.15; color: #0f3450; margin: 2.5rem 0 1rem; }
h2 { font-size: 1.3rem; color: #0f3450; margin: 2rem 0 .5rem; }
.lead { font-size: 1.2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0;
  border-bottom: 1px solid #c3ced6; overflow-wrap: anywhere; }
tbody th { font-weight: 600; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
figure { margin: 1rem 0; }
svg { width: 100%; height: auto; max-height: 26rem; }
figcaption, footer { color: #44525c; font-size: .9rem; }
footer { margin: 2.5rem auto; overflow-wrap: anywhere; }
@media print { main, footer { max-width: none; } section { break-inside: avoid; } }
"""
