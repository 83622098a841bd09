"""What a gallery holds, as rows: the owner of the references and the snapshots searches work on.

Knows nothing of how rows are searched, nor of where references are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import InvalidInput, Template
from cordon_server.gallery.coarse import to_bytes

NORM_TOLERANCE = 1e-3
"""How far from 1 a template's norm may be: float32 rounding stays below, a damaged one does not."""

_AT_ONCE = 4096
_CAPACITY_MIN = 64


@dataclass(frozen=True, slots=True)
class Reference:
    """One enrolled template of a subject; `threshold` is the entry's own, or None."""

    entry_id: str
    reference_id: str
    template: Template
    category: str = ""
    threshold: float | None = None
    margin_min: float = 0.0
    """Least margin of a match on the entry, beside the rule's."""
    look_alikes: tuple[str, ...] = ()
    """Entries that look like it, the nearest first."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a candidate says of its entry, as its newest reference has it."""

    entry_id: str
    category: str
    threshold: float | None
    margin_min: float
    look_alikes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """What one search sees. The lists are shared with later snapshots, which only append.

    `serials` ascend and are never given twice, so what an index knows by serial is found here, or
    is found to be removed, however the rows have moved.
    """

    matrix: NDArray[np.float32]
    """(references, dimension), rows of unit norm."""
    coarse: NDArray[np.int8]
    """(references, dimension), the same in bytes."""
    subject_of: NDArray[np.int32]
    """(references,) index into `subjects`."""
    serials: NDArray[np.int64]
    """(references,) ascending."""
    names: list[tuple[str, str]]
    """(entry id, reference id) by row."""
    subjects: list[Subject | None]
    """None where a subject was removed."""

    def __len__(self) -> int:
        return len(self.matrix)

    def since(self, serial: int) -> int:
        """The first row whose serial is not below `serial`."""
        return int(np.searchsorted(self.serials, serial))

    def rows_of(self, serials: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where serials are now, and whether they are; a row without meaning where not."""
        rows = np.searchsorted(self.serials, serials).clip(0, max(0, len(self) - 1))
        return rows, self.serials[rows] == serials


class RowStore:
    """Owns the references; `now` is replaced whole by every change. One thread changes it."""

    def __init__(self, model_id: str, dimension: int) -> None:
        self._model_id = model_id
        self._dimension = dimension
        self._known: set[tuple[str, str]] = set()
        self._position: dict[str, int] = {}
        self._free: list[int] = []
        self._serial_next = 0
        self._arrays = _Arrays.of(0, dimension)
        self.now = self._arrays.first(0, [], [])

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._position

    def subject(self, entry_id: str) -> Subject | None:
        """What a candidate says of an entry; None where it is not listed."""
        position = self._position.get(entry_id)
        return None if position is None else self.now.subjects[position]

    def append(self, references: Iterable[Reference]) -> None:
        """Adds all of them at once, passing over those it has; raises `InvalidInput`, adding none,
        when one fails the gate. Amortised constant time for each."""
        given: dict[tuple[str, str], Reference] = {}
        for reference in references:
            given.setdefault((reference.entry_id, reference.reference_id), reference)
        fresh = [each for key, each in given.items() if key not in self._known]
        check_templates([each.template for each in fresh], self._model_id, self._dimension)
        if not fresh:
            return
        start, end = len(self.now), len(self.now) + len(fresh)
        self._reserve(end)
        arrays = self._arrays
        for row, reference in enumerate(fresh, start):
            arrays.matrix[row] = reference.template.vector
            arrays.subject_of[row] = self._place(reference)
        for first in range(start, end, _AT_ONCE):
            some = slice(first, min(first + _AT_ONCE, end))
            arrays.coarse[some] = to_bytes(arrays.matrix[some])
        arrays.serials[start:end] = np.arange(self._serial_next, self._serial_next + len(fresh))
        self._serial_next += len(fresh)
        self.now = arrays.first(end, self.now.names, self.now.subjects)

    def remove(self, entry_id: str) -> bool:
        """Removes a subject's rows, their templates with them; False where there are none.

        Copies what stays (searches may still read what was): 15 ms at 100,000 references.
        """
        position = self._position.pop(entry_id, None)
        if position is None:
            return False
        now = self.now
        keep = now.subject_of != position
        names = list(compress(now.names, keep))
        self._known.difference_update(compress(now.names, ~keep))
        subjects = now.subjects.copy()
        subjects[position] = None
        self._free.append(position)
        self._arrays = _Arrays.of(len(names), self._dimension)
        end = 0
        for run in _runs(keep):
            start, end = end, end + (run.stop - run.start)
            self._arrays.put(start, end, now, run)
        self.now = self._arrays.first(end, names, subjects)
        return True

    def _place(self, reference: Reference) -> int:
        """Notes a reference's names and its subject; the subject's position."""
        subjects, names = self.now.subjects, self.now.names
        position = self._position.get(reference.entry_id)
        if position is None:
            # Snapshots that share the list know no row of a free place.
            position = self._free.pop() if self._free else len(subjects)
            self._position[reference.entry_id] = position
        subject = Subject(
            reference.entry_id,
            reference.category,
            reference.threshold,
            reference.margin_min,
            reference.look_alikes,
        )
        subjects[position : position + 1] = [subject]
        names.append((reference.entry_id, reference.reference_id))
        self._known.add(names[-1])
        return position

    def _reserve(self, rows: int) -> None:
        if rows <= len(self._arrays.matrix):
            return
        used = len(self.now)
        size = max(_CAPACITY_MIN, rows, 2 * len(self._arrays.matrix))
        self._arrays = _Arrays.of(size, self._dimension)
        self._arrays.put(0, used, self.now, slice(0, used))


@dataclass(frozen=True, slots=True)
class _Arrays:
    """Room for rows; snapshots are its first ones."""

    matrix: NDArray[np.float32]
    coarse: NDArray[np.int8]
    subject_of: NDArray[np.int32]
    serials: NDArray[np.int64]

    @classmethod
    def of(cls, size: int, dimension: int) -> _Arrays:
        return cls(
            np.empty((size, dimension), np.float32),
            np.empty((size, dimension), np.int8),
            np.empty(size, np.int32),
            np.empty(size, np.int64),
        )

    def put(self, start: int, end: int, rows: Rows, run: slice) -> None:
        """Copies a stretch of a snapshot."""
        self.matrix[start:end] = rows.matrix[run]
        self.coarse[start:end] = rows.coarse[run]
        self.subject_of[start:end] = rows.subject_of[run]
        self.serials[start:end] = rows.serials[run]

    def first(
        self, rows: int, names: list[tuple[str, str]], subjects: list[Subject | None]
    ) -> Rows:
        return Rows(
            self.matrix[:rows],
            self.coarse[:rows],
            self.subject_of[:rows],
            self.serials[:rows],
            names,
            subjects,
        )


def check_template(template: Template, model_id: str, dimension: int) -> None:
    """The gate every template passes on its way in: one NaN among the references spoils the
    ranking of all. Raises `InvalidInput`."""
    check_templates([template], model_id, dimension)


def check_templates(templates: Sequence[Template], model_id: str, dimension: int) -> None:
    """The same for many, all or none."""
    for template in templates:
        if template.model_id != model_id:
            raise InvalidInput(
                f"this template was made by model {template.model_id}, the server runs {model_id}; "
                "enrol the picture again",
                field="template",
            )
        if template.vector.shape != (dimension,):
            raise _not_numbers(dimension)
    for start in range(0, len(templates), _AT_ONCE):
        some = templates[start : start + _AT_ONCE]
        # In float64, where the square of no float32 overflows.
        vectors = np.stack([template.vector for template in some]).astype(np.float64)
        if not np.isfinite(vectors).all():
            raise _not_numbers(dimension)
        if not (abs(np.linalg.norm(vectors, axis=1) - 1.0) <= NORM_TOLERANCE).all():
            raise InvalidInput("a template has unit norm", field="template")


def _not_numbers(dimension: int) -> InvalidInput:
    return InvalidInput(f"a template is {dimension} finite numbers", field="template")


def _runs(keep: NDArray[np.bool_]) -> list[slice]:
    """The stretches of kept rows: copying them whole is far faster than choosing row by row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
