"""A deployment's report in words, tables and plots, from its numbers alone (R20)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from cordon_admin import charts
from cordon_admin.document import LANGUAGE, Figure, Section, Table, to_html
from cordon_admin.typeset import pdf

Report = Mapping[str, Any]


def to_page(report: Report) -> str:
    """The report as a web page."""
    return to_html(title(report), lead(report), sections(report), small(report))


def to_pdf(report: Report) -> bytes:
    """The report as a tagged PDF; raises `ClientError` where nothing is installed to make one."""
    return pdf(
        "report",
        {
            "lang": LANGUAGE,
            "title": title(report),
            "author": "Cordon",
            "lead": lead(report),
            "sections": [section.record for section in sections(report)],
            "small": small(report),
        },
    )


def title(report: Report) -> str:
    """What the document is called."""
    return f"Live facial recognition: {report['place'] or report['deployment']}"


def lead(report: Report) -> str:
    """The deployment in one sentence."""
    faces, alerts = report["faces"], report["alerts"]
    return (
        f"{number(faces['seen'])} faces were seen and {number(faces['searched'])} of them compared "
        f"with a list of {number(report['list']['entries'])}; that raised "
        f"{number(alerts['raised'])} alerts, of which people found {number(alerts['true'])} true "
        f"and {number(alerts['false'])} false."
    )


def small(report: Report) -> str:
    """What the report is of, for who checks it."""
    record = report.get("record") or {}
    told = f"Deployment {report['deployment']}, policy {report['policy']['name']}"
    if record:
        told += f"; record of {record['size']} leaves with root {record['root']}"
    return f"{told}. Every number can be computed again from the exported record."


def sections(report: Report) -> list[Section]:
    """Everything below the lead."""
    return [
        _where(report),
        _made_of(report),
        _list(report),
        _faces(report),
        _alerts(report),
        _rates(report),
        _checks(report),
    ]


def number(value: float) -> str:
    """With separators, as people read it."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def one_in(share: Mapping[str, Any]) -> str:
    """A share in words, with its interval."""
    if share["value"] is None:
        return "nothing to divide by"
    told = f"{number(share['count'])} of {number(share['of'])}"
    low, high = _in_words(share["low"]), _in_words(share["high"])
    return f"{told}, {_in_words(share['value'])} (95 %: {low} to {high})"


def _in_words(value: float) -> str:
    if value == 0:
        return "none"
    return f"{value:.1%}" if value >= 0.01 else f"1 in {round(1 / value):,}"


def _where(report: Report) -> Section:
    policy = report["policy"]
    rows = [
        ("Place", report["place"]),
        ("Use case", report["use_case"]),
        ("Window", f"{_time(report['window']['start'])} to {_time(report['window']['end'])}"),
        ("Policy", f"{policy['name']} {policy['version']}, {policy['digest'][:16]}"),
        ("Authority", report["authority_digest"][:16]),
    ]
    moves = [
        (each["state"].capitalize(), _time(each["time"], seconds=True) + _because(each["reason"]))
        for each in report["life"]
    ]
    told = tuple((name, words) for name, words in [*rows, *moves] if words)
    return Section("What was authorised, and when", table=Table(("What", "As recorded"), told))


def _because(reason: str) -> str:
    return f" ({reason.lower().replace('_', ' ')})" if reason else ""


def _made_of(report: Report) -> Section:
    rows: list[tuple[str, ...]] = []
    for each in report["made_of"]:
        rows.append(("Component list", f"from {_time(each['time'])}", _grouped(each["components"])))
        for name in ("detector", "embedder"):
            part = each[name]
            which = f"{part['name']} ({part['licence']})"
            rows.append((name.capitalize(), which, _grouped(part["sha256"])))
    if not rows:
        return Section("What recognised", ("The record names nothing that recognised.",))
    words = (
        "The component list names every package and network of the server with its licence and "
        "hash; whoever answers for the deployment has it under this digest."
    )
    return Section(
        "What recognised", (words,), table=Table(("Part", "Which", "SHA-256"), tuple(rows))
    )


def _grouped(digest: str) -> str:
    """So that it can be compared by eye, and a line can end within it."""
    return " ".join(digest[at : at + 16] for at in range(0, len(digest), 16))


def _list(report: Report) -> Section:
    listed, forecast = report["list"], report["forecast"]
    words = [
        f"{number(listed['entries'])} people were listed with {number(listed['references'])} "
        f"pictures. The threshold was {report['threshold']}."
    ]
    if forecast:
        words.append(
            f"Before it began, {forecast['false_matches']:.1f} false matches were forecast "
            f"(95 %: {forecast['false_matches_low']:g} to "
            f"{forecast['false_matches_high']:g}) for {forecast['faces_per_hour']:,.0f} "
            "faces an hour."
        )
    rows = tuple((name, number(count)) for name, count in listed["by_category"].items())
    return Section("Who was looked for", tuple(words), table=Table(("Category", "Listed"), rows))


def _faces(report: Report) -> Section:
    faces = report["faces"]
    rows = [
        ("Faces seen", number(faces["seen"])),
        ("Compared with the list", number(faces["searched"])),
        ("Not compared", number(faces["not_searched"])),
        ("Frames", number(faces["frames"])),
        ("Detections in all frames", number(faces["detections"])),
    ]
    rows += [
        (f"of them {fate.replace('_', ' ')}", number(count))
        for fate, count in faces["detections_by_fate"].items()
    ]
    words = "A face that is followed from frame to frame is one face seen, however many detections."
    figure = None
    if report["timeline"]:
        figure = Figure(_timeline(report), "Faces seen over time, and when alerts were raised.")
    return Section("Faces", (words,), table=Table(("What", "Number"), tuple(rows)), figure=figure)


def _timeline(report: Report) -> str:
    points = [(_moment(each["time"]), each["faces_seen"]) for each in report["timeline"]]
    alerts = [_moment(each) for each in report["alert_times"]]
    start, end = min([points[0][0], *alerts]), max([points[-1][0], *alerts])
    whole = max(end - start, timedelta(seconds=1))
    return charts.timeline(
        "Faces seen over time, and when alerts were raised",
        [(0.0, 0), *(((at - start) / whole, count) for at, count in points)],
        [(at - start) / whole for at in alerts],
        [f"{(start + part * whole / 4).astimezone():%H:%M}" for part in range(5)],
    )


def _alerts(report: Report) -> Section:
    alerts = report["alerts"]
    rows = [
        ("Raised", alerts["raised"]),
        ("Found true", alerts["true"]),
        ("Found false", alerts["false"]),
        ("Unresolved", alerts["unresolved"]),
    ]
    told = [(name, number(count)) for name, count in rows]
    told += [(f"Raised in category {name}", number(n)) for name, n in alerts["by_category"].items()]
    told += [
        (f"Outcome: {name.replace('_', ' ')}", number(n)) for name, n in report["outcomes"].items()
    ]
    told.append(("Receipts given to people stopped", number(report["receipts"])))
    drawn = charts.bars("Alerts by what people found", rows)
    words = [
        "Every alert is for people to judge before anybody acts on it. Unresolved are those that "
        f"nobody could decide ({number(alerts['undecided'])}) or that nobody judged."
    ]
    seeded = report["seeded"]
    if seeded["shown"]:
        words.append(
            f"Beside these, {number(seeded['shown'])} known cases were shown to measure the people "
            f"who judge; {number(seeded['right'])} of {number(seeded['judged'])} were judged right."
        )
    return Section(
        "Alerts, and what became of them",
        tuple(words),
        table=Table(("What", "Number"), tuple(told)),
        figure=Figure(drawn, "Alerts raised, and what people found of them."),
    )


_RATES = {
    "alerts_per_face": "Alerts per face seen",
    "false_per_face": "False per face seen",
    "false_per_face_searched": "False per face compared",
    "false_per_alert": "False per alert",
    "false_per_resolved_alert": "False per alert resolved",
    "true_per_resolved_alert": "True per alert resolved",
}


def _rates(report: Report) -> Section:
    rates, ceiling = report["rates"], report["ceiling"]
    rows = tuple((told, one_in(rates[name])) for name, told in _RATES.items())
    limit = ceiling["per_face"] if ceiling else None
    drawn = charts.rates(
        "Rates of alerts with their intervals",
        [
            charts.Rate(told, rates[name]["value"], rates[name]["low"], rates[name]["high"])
            for name, told in _RATES.items()
        ],
        limit=limit,
        limit_told=f"ceiling: {_in_words(limit)} of faces" if limit else "",
    )
    words = [
        "Both denominators: how many of the faces seen, and how many of the alerts. The intervals "
        "are Wilson's, at 95 %."
    ]
    if limit:
        words.append(
            f"The policy's ceiling on false alerts is {_in_words(limit)} of faces seen; a test "
            "suspends the deployment when the alerts found false prove a higher rate."
        )
    told = "Rates and their intervals on a logarithmic scale."
    return Section(
        "Rates", tuple(words), table=Table(("What", "Share"), rows), figure=Figure(drawn, told)
    )


def _checks(report: Report) -> Section:
    name = report["deployment"]
    return Section(
        "How to check this report",
        (
            "Ask for the exported record. It holds no face, no name and no picture. Either of "
            "these computes every number again and refuses a record that was altered; the second "
            "needs no more of Cordon than that one file:",
        ),
        items=(
            f"cordon admin deployment report {name} --export record.jsonl --out reports",
            f"python verifier.py record.jsonl --report {name}-report.json",
        ),
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _time(text: str, *, seconds: bool = False) -> str:
    if not text:
        return ""
    form = "%Y-%m-%d %H:%M:%S %Z" if seconds else "%Y-%m-%d %H:%M %Z"
    return _moment(text).astimezone().strftime(form)
