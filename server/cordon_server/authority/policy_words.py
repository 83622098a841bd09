"""A policy in words: what each thing that it says means, and which requirements it serves (R25)."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from cordon_server.authority.policy import Policy


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that a policy says."""

    key: str
    value: str
    meaning: str
    requirements: str


MEANINGS: dict[str, tuple[str, str]] = {
    "watchlist.entries_max": ("people on a list at most", "R17"),
    "watchlist.review_age_h_max": (
        "hours since an officer went through the list, at arming; 0: the authority is the review",
        "R5",
    ),
    "watchlist.image_age_d_max": ("days since a picture was taken; 0: any age", "R23"),
    "watchlist.rationale_characters_min": ("characters of a reason to be listed", "R6, R26"),
    "watchlist.fields_needed": ("what every entry has to state", "R6, R18"),
    "watchlist.proposal_rows_min": (
        "pictures since a review from which a second person applies a proposal; 0: never",
        "R6",
    ),
    "threshold.fpir_max": ("share of strangers for whom somebody may be matched", "R15"),
    "false_alerts.ceiling_per_face": ("false alerts for each face seen at most", "R16"),
    "false_alerts.confidence": ("how sure a breach is when it suspends a deployment", "R16"),
    "adjudication.reviewers": ("people who judge a match", "R10, R11"),
    "adjudication.blind": ("whether name, category and score wait for the judgement", "R11"),
    "authority.window_h_max": ("hours of a deployment at most", "R2, R7"),
    "authority.urgent_h_max": ("hours of an urgent authority; 0: there is none", "R9"),
    "authority.impact_assessment": ("whether a valid assessment has to be referred to", "R24"),
    "authority.forecast": ("whether false alerts have to be forecast", "R17"),
    "notice.needed": ("whether the public has to be told before arming", "R19"),
    "notice.exemption": ("whether an authority may exempt from that", "R19"),
    "retention.match_h_max": ("hours that a match is kept, undecided", "R4"),
    "retention.true_match_h_max": ("hours that a match is kept, found true", "R4"),
    "retention.false_match_h_max": ("hours that a match is kept, found false", "R4"),
    "measurement.preflight_tpir_min": (
        "share of known pictures that each camera has to recognise before arming; 0: no test",
        "R28",
    ),
}


def explain(policy: Policy) -> list[Line]:
    """Everything a policy says, in its own order."""
    said = msgspec.to_builtins(policy)
    lines = [
        Line(f"purposes.{name}", title, "a deployment may be for this", "R7, R32")
        for name, title in said["purposes"].items()
    ]
    for name, category in said["categories"].items():
        minors = "minors too, each approved by a second person" if category["minors"] else "adults"
        meaning = f"people may be listed as this: {category['entries_max']} at most, {minors}"
        lines.append(Line(f"categories.{name}", category["title"], meaning, "R6, R18"))
    for key, (meaning, requirements) in MEANINGS.items():
        section, field = key.split(".")
        lines.append(Line(key, _word(said[section][field]), meaning, requirements))
    return lines


def _word(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(map(str, value)) or "nothing"
    return str(value)
