"""What became of the rows of an import: collected, counted, written down."""

from __future__ import annotations

import csv
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cordon.v1 import watchlist_pb2
from cordon_admin.records import enum_word, reason_records
from cordon_client.output import Format, emit, talk, to_json

if TYPE_CHECKING:
    from pathlib import Path

    from cordon_admin.rows import BadRow, Row

COLUMNS = {
    "ROW": "row",
    "REF": "external_ref",
    "PICTURE": "image",
    "OUTCOME": "outcome",
    "REASONS": "told",
}

_CSV_COLUMNS = ("row", "external_ref", "image", "outcome", "reasons", "told", "reference")


@dataclass(frozen=True, slots=True)
class RowReport:
    """One row's fate. `reasons` are records as `reason_records` makes them."""

    row: int
    external_ref: str
    image: str
    outcome: str
    """accepted, already_enrolled or rejected."""
    reasons: list[dict[str, Any]]
    reference: str = ""
    """The reference's name where it is enrolled."""

    @classmethod
    def answered(cls, row: Row, response: watchlist_pb2.ImportReferencesResponse) -> RowReport:
        """From the server's answer."""
        outcome = watchlist_pb2.EnrolOutcome.Name(response.outcome)
        return cls(
            row=row.number,
            external_ref=row.external_ref,
            image=str(row.image),
            outcome=enum_word(outcome, "ENROL_OUTCOME"),
            reasons=reason_records(response.reasons),
            reference=response.reference,
        )

    @classmethod
    def refused(cls, row: Row | BadRow, code: str, message: str) -> RowReport:
        """Of a row that was never sent."""
        reason = {
            "code": code,
            "message": message,
            "reference": None,
            "score": None,
            "component": None,
        }
        return cls(row.number, row.external_ref, str(row.image), "rejected", [reason])

    @property
    def record(self) -> dict[str, Any]:
        """For output."""
        return {
            "name": self.reference,
            "row": self.row,
            "external_ref": self.external_ref,
            "image": self.image,
            "outcome": self.outcome,
            "reasons": self.reasons,
            "reference": self.reference or None,
        }


@dataclass(slots=True)
class Reports:
    """The reports of one import, in the order they came; JSON lines are printed as they come."""

    output: Format
    csv_path: Path | None = None
    rows: list[RowReport] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, report: RowReport) -> None:
        """Takes one in."""
        self.rows.append(report)
        self.counts[report.outcome] += 1
        if self.output is Format.JSONL:
            print(to_json(report.record), flush=True)

    @property
    def is_clean(self) -> bool:
        """Whether every row is enrolled."""
        return not self.counts["rejected"]

    def publish(self, *, dry_run: bool) -> None:
        """Prints the reports and their sum, and writes the CSV file if one was asked for."""
        rows = sorted(self.rows, key=lambda report: report.row)
        if self.output is Format.NAME:
            rows = [report for report in rows if report.reference]
        if self.output is not Format.JSONL and (rows or self.output is Format.JSON):
            records = [{**report.record, "told": told(report.reasons)} for report in rows]
            if self.output is Format.JSON:
                records = [report.record for report in rows]
            emit(records, COLUMNS, self.output)
        if self.csv_path is not None:
            _write_csv(self.csv_path, rows)
        counts = self.counts
        talk(
            f"{counts['accepted']} accepted, {counts['already_enrolled']} already enrolled, "
            f"{counts['rejected']} rejected"
            + (" (dry run: nothing was changed)" if dry_run else "")
        )


def told(reasons: list[dict[str, Any]]) -> str:
    """Reasons in one line, with the other reference and the score where there are any."""
    return "; ".join(_told(reason) for reason in reasons)


def _told(reason: dict[str, Any]) -> str:
    text = f"{reason['code']}: {reason['message']}"
    if reason["reference"]:
        text += f" ({reason['reference']} at {reason['score']:.3f})"
    return text


def _write_csv(path: Path, rows: list[RowReport]) -> None:
    # 0600: it names who is listed.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _CSV_COLUMNS)
        writer.writeheader()
        for report in rows:
            codes = " ".join(reason["code"] for reason in report.reasons)
            writer.writerow(
                {
                    "row": report.row,
                    "external_ref": report.external_ref,
                    "image": report.image,
                    "outcome": report.outcome,
                    "reasons": codes,
                    "told": told(report.reasons),
                    "reference": report.reference,
                }
            )
