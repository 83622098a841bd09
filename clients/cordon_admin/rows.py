"""Pictures to enrol, read from a folder or a CSV file; knows files, not the server."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cordon_admin.particulars import NAMES, NOTHING_SAID, Particulars, particulars
from cordon_client.errors import ClientError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

REQUIRED = ("external_ref", "image")
OPTIONAL = ("category", "threshold", "face_x", "face_y", *NAMES)


@dataclass(frozen=True, slots=True)
class Row:
    """One picture to enrol."""

    number: int
    """Its line in the CSV file, or its place in the folder, from 1."""
    external_ref: str
    image: Path
    category: str
    threshold: float | None = None
    """None: the deployment's."""
    face: tuple[float, float] | None = None
    """A point inside the wanted face, pixels from the top left."""
    said: Particulars = NOTHING_SAID


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot even be sent."""

    number: int
    external_ref: str
    image: str
    message: str


@dataclass(frozen=True, slots=True)
class Rows:
    """What was found, sorted into what can be sent and what cannot."""

    good: list[Row]
    bad: list[BadRow]


def read_rows(path: Path, category: str) -> Rows:
    """The rows of a folder (`<external_ref>/*.jpg`) or a CSV file."""
    if path.is_dir():
        rows = _from_folder(path, category)
    elif path.is_file():
        rows = _from_csv(path, category)
    else:
        raise _unusable(f"{path} is neither a folder nor a file.")
    if not rows.good and not rows.bad:
        raise _unusable(f"There is nothing to import in {path}.")
    return rows


def rows_of(external_ref: str, images: Iterable[Path], category: str) -> list[Row]:
    """The pictures of one subject."""
    return [Row(n, external_ref, image, category) for n, image in enumerate(images, start=1)]


def _from_folder(path: Path, category: str) -> Rows:
    if not category:
        raise _unusable(f"The pictures in {path} have no category.", "Give one with --category.")
    rows = Rows([], [])
    number = 0
    for subject in sorted(entry for entry in path.iterdir() if entry.is_dir()):
        images = sorted(f for f in subject.iterdir() if f.suffix.lower() in PICTURE_SUFFIXES)
        for image in images:
            number += 1
            rows.good.append(Row(number, subject.name, image, category))
        if not images:
            number += 1
            message = "the folder holds no .jpg, .png or .webp picture"
            rows.bad.append(BadRow(number, subject.name, str(subject), message))
    return rows


def _from_csv(path: Path, category: str) -> Rows:
    rows = Rows([], [])
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front.
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            file.seek(0)
            # Spreadsheets in half of Europe separate with semicolons.
            delimiter = ";" if ";" in heading and "," not in heading else ","
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            _check_heading(path, reader.fieldnames or ())
            for cells in reader:
                row = _row(reader.line_num, cells, path.parent, category)
                if isinstance(row, Row):
                    rows.good.append(row)
                else:
                    rows.bad.append(row)
    except UnicodeDecodeError as error:
        raise _unusable(f"{path} is not UTF-8 text.", "Save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise _unusable(f"{path} is not a CSV file.", f"{error}.") from error
    return rows


def _check_heading(path: Path, found: Iterable[str]) -> None:
    names = list(found)
    missing = [name for name in REQUIRED if name not in names]
    unknown = [name for name in names if name not in REQUIRED + OPTIONAL]
    if missing or unknown:
        wrong = [f"{name} is missing" for name in missing]
        wrong += [f"{name!r} is not known" for name in unknown]
        raise _unusable(
            f"The first line of {path} does not name the columns: {', '.join(wrong)}.",
            f"Needed: {', '.join(REQUIRED)}. Allowed: {', '.join(OPTIONAL)}.",
        )


def _row(
    number: int, cells: dict[str | None, str | list[str] | None], base: Path, category: str
) -> Row | BadRow:
    if None in cells:
        return BadRow(number, "", "", "the line has more cells than the heading")
    text = {key: (value or "").strip() for key, value in cells.items() if isinstance(key, str)
            and not isinstance(value, list)}  # fmt: skip
    try:
        return Row(
            number=number,
            external_ref=_present(text, "external_ref"),
            image=_file(base, _present(text, "image")),
            category=text.get("category") or category or _present(text, "category"),
            threshold=_threshold(text.get("threshold", "")),
            face=_face(text.get("face_x", ""), text.get("face_y", "")),
            said=particulars(text),
        )
    except ValueError as error:
        return BadRow(number, text.get("external_ref", ""), text.get("image", ""), str(error))


def _present(text: dict[str, str], column: str) -> str:
    value = text.get(column, "")
    if not value:
        raise ValueError(f"{column} is empty")
    return value


def _file(base: Path, given: str) -> Path:
    if "\0" in given:
        raise ValueError("image is not a path")
    image = base / given
    if not image.is_file():
        raise ValueError(f"there is no file {image}")
    return image


def _threshold(given: str) -> float | None:
    if not given:
        return None
    value = _number(given, "threshold")
    if not -1 < value <= 1:
        raise ValueError(f"threshold {given} is not between -1 and 1")
    return value


def _face(x: str, y: str) -> tuple[float, float] | None:
    if not x and not y:
        return None
    if not x or not y:
        raise ValueError("face_x and face_y go together")
    return _number(x, "face_x"), _number(y, "face_y")


def _number(given: str, column: str) -> float:
    try:
        value = float(given)
    except ValueError:
        raise ValueError(
            f"{column} {given!r} is not a number (a decimal point, no comma)"
        ) from None
    if not math.isfinite(value):
        raise ValueError(f"{column} {given!r} is not a number")
    return value


def _unusable(what: str, why: str = "") -> ClientError:
    return ClientError(
        what,
        why
        or "A folder holds one folder a subject, with that subject's pictures; a CSV file "
        f"has the columns {', '.join(REQUIRED)}.",
        hint="cordon admin watchlist import --help",
        exit_code=ExitCode.USAGE,
    )
