"""Exact search over the references of one deployment; knows nothing of where they are stored.

The gallery is derived: LMDB is the truth, the gallery is rebuilt from it at arming and follows
every change after its commit. Searches run in many threads while one thread changes it: a search
works on an immutable snapshot, a change replaces the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import Candidate, InvalidInput, Template

NORM_TOLERANCE = 1e-3
"""How far from 1 a template's norm may be: float32 rounding stays below, a damaged one does not."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One enrolled template of a subject; `threshold` is the entry's own, or None."""

    entry_id: str
    reference_id: str
    template: Template
    category: str = ""
    threshold: float | None = None


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What one search sees. The lists are shared with later snapshots, which only append."""

    matrix: NDArray[np.float32]
    """(references, dimension), rows of unit norm."""
    subjects: NDArray[np.int32]
    """(references,) index into subject_rows."""
    references: list[tuple[str, str]]
    """(entry id, reference id) by row."""
    subject_rows: list[Reference]
    """The newest reference of each subject: its id, category and threshold."""


class Gallery:
    """The references that probes are compared with; of one model and one dimension.

    One thread changes it at a time; any number search.
    """

    def __init__(self, *, model_id: str, dimension: int, threshold: float) -> None:
        self.model_id = model_id
        self.dimension = dimension
        self._threshold = threshold
        self._known: set[tuple[str, str]] = set()
        self._position: dict[str, int] = {}
        self._matrix = np.empty((0, dimension), dtype=np.float32)
        self._subjects = np.empty(0, dtype=np.int32)
        self._snapshot = _Snapshot(self._matrix, self._subjects, [], [])

    def __len__(self) -> int:
        """How many references it holds."""
        return len(self._snapshot.matrix)

    def add(self, references: Iterable[Reference]) -> None:
        """Adds references, passing over those it has; raises `InvalidInput`, adding none, when a
        template is not finite, not of unit norm, or of another model or dimension."""
        given: dict[tuple[str, str], Reference] = {}
        for reference in references:
            given.setdefault((reference.entry_id, reference.reference_id), reference)
        fresh = [each for key, each in given.items() if key not in self._known]
        for reference in fresh:
            check_template(reference.template, self.model_id, self.dimension)
        self._reserve(len(self) + len(fresh))
        for reference in fresh:
            self._append(reference)

    def __contains__(self, entry_id: object) -> bool:
        """Whether a subject is listed."""
        return entry_id in self._position

    def remove_entry(self, entry_id: str) -> None:
        """Removes a subject with all references; the next search does not know it."""
        kept = [row for row in self._rows() if row.entry_id != entry_id]
        rebuilt = Gallery(
            model_id=self.model_id, dimension=self.dimension, threshold=self._threshold
        )
        rebuilt.add(kept)
        self.__dict__.update(rebuilt.__dict__)

    def search(self, probes: NDArray[np.float32]) -> list[Candidate | None]:
        """The best subject for each of (n, dimension) unit probes; None on an empty gallery."""
        now = self._snapshot
        if not len(now.matrix):
            return [None] * len(probes)
        return [self._best(now, scores) for scores in probes @ now.matrix.T]

    def similar(self, template: Template, count: int) -> list[tuple[str, str, float]]:
        """The `count` most similar references: (entry id, reference id, score), best first."""
        now = self._snapshot
        scores = now.matrix @ template.vector
        best = np.argsort(-scores)[:count]
        return [(*now.references[row], float(scores[row])) for row in best]

    def _best(self, now: _Snapshot, scores: NDArray[np.float32]) -> Candidate:
        row = int(scores.argmax())
        subject = int(now.subjects[row])
        others = scores[now.subjects != subject]
        entry = now.subject_rows[subject]
        score = float(scores[row])
        return Candidate(
            entry_id=entry.entry_id,
            reference_id=now.references[row][1],
            score=score,
            margin=score - float(others.max()) if others.size else score,
            threshold=self._threshold if entry.threshold is None else entry.threshold,
            category=entry.category,
        )

    def _append(self, reference: Reference) -> None:
        now, row = self._snapshot, len(self)
        subject = self._position.setdefault(reference.entry_id, len(now.subject_rows))
        now.subject_rows[subject : subject + 1] = [reference]
        now.references.append((reference.entry_id, reference.reference_id))
        self._known.add((reference.entry_id, reference.reference_id))
        self._matrix[row] = reference.template.vector
        self._subjects[row] = subject
        self._snapshot = replace(
            now, matrix=self._matrix[: row + 1], subjects=self._subjects[: row + 1]
        )

    def _reserve(self, rows: int) -> None:
        if rows <= len(self._matrix):
            return
        size = max(64, rows, 2 * len(self._matrix))
        matrix = np.empty((size, self.dimension), dtype=np.float32)
        subjects = np.empty(size, dtype=np.int32)
        matrix[: len(self)], subjects[: len(self)] = self._snapshot.matrix, self._snapshot.subjects
        self._matrix, self._subjects = matrix, subjects

    def _rows(self) -> Iterator[Reference]:
        now = self._snapshot
        for vector, subject, (entry, reference) in zip(
            now.matrix, now.subjects, now.references, strict=True
        ):
            known = now.subject_rows[subject]
            template = Template(vector, self.model_id)
            yield Reference(entry, reference, template, known.category, known.threshold)


def check_template(template: Template, model_id: str, dimension: int) -> None:
    """The gate every template passes on its way in: one NaN among the references spoils the
    ranking of all. Raises `InvalidInput`."""
    vector = template.vector
    if template.model_id != model_id:
        raise InvalidInput(
            f"this template was made by model {template.model_id}, the server runs {model_id}; "
            "enrol the picture again",
            field="template",
        )
    if vector.shape != (dimension,) or not np.isfinite(vector).all():
        raise InvalidInput(f"a template is {dimension} finite numbers", field="template")
    # In float64, where the square of no float32 overflows.
    if not abs(float(np.linalg.norm(vector.astype(np.float64))) - 1.0) <= NORM_TOLERANCE:
        raise InvalidInput("a template has unit norm", field="template")
