"""One deployment's watchlist: entries, reference pictures and templates, and who may join them.

LMDB commits first, the gallery follows; a crash between the two loses nothing, for the gallery is
rebuilt from LMDB.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np

from cordon_server.authority.records import (
    ENTRIES,
    REFERENCE_BY_IMAGE,
    REFERENCE_IMAGES,
    REFERENCES,
    EntryRecord,
    ReferenceRecord,
    reference_key,
)
from cordon_server.domain import (
    LimitReached,
    NotFound,
    Quality,
    Reason,
    ReasonCode,
    Template,
    UnusablePicture,
)
from cordon_server.gallery import Gallery, Reference, check_template
from cordon_server.store.environment import Environment, Transaction

SIMILAR_COUNT = 5
"""How many similar references a check shows."""
REFERENCE_ID_CHARACTERS = 16


class Examined(Protocol):
    """What is kept of a reference picture."""

    @property
    def template(self) -> Template: ...
    @property
    def quality(self) -> Quality: ...
    @property
    def face_jpeg(self) -> bytes: ...


class Examiner(Protocol):
    """Finds the one face of a picture; raises `UnusablePicture`."""

    def examine(self, image: bytes, point: tuple[float, float] | None) -> Examined: ...


@dataclass(frozen=True, slots=True)
class Application:
    """A picture that asks to be on the list."""

    entry_id: str
    category: str
    threshold: float | None
    image: bytes
    face_point: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What became of it; `is_new` is False when this very picture was there already."""

    entry: EntryRecord
    reference_id: str
    is_new: bool
    warnings: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class ListRules:
    """Limits and scores of one watchlist."""

    threshold: float
    duplicate_score: float
    entries_max: int
    references_per_entry_max: int


class Watchlist:
    """The list of one deployment that has not ended."""

    def __init__(
        self,
        environment: Environment,
        new_gallery: Callable[[], Gallery],
        rules: ListRules,
        *,
        examiner: Examiner,
        executor: Executor,
        clock: Callable[[], datetime],
    ) -> None:
        self._environment = environment
        self._examiner = examiner
        self._executor = executor
        self._rules = rules
        self._clock = clock
        self._change = asyncio.Lock()
        self._new_gallery = new_gallery
        self.gallery = new_gallery()

    async def load(self) -> None:
        """Builds the gallery from LMDB, away from the event loop; changes wait until it is there.

        Raises `InvalidInput` on a template that fails the gate.
        """
        async with self._change:
            gallery = self._new_gallery()
            await self._environment.read(lambda txn: gallery.add(_stored_references(txn)))
            self.gallery = gallery

    async def examine(self, image: bytes, point: tuple[float, float] | None) -> Examined:
        """Finds the face to enrol, away from the event loop; raises `UnusablePicture`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._examiner.examine, image, point)

    async def known(self, application: Application) -> Enrolment | None:
        """The enrolment of this very picture if it is there, whoever sends it again.

        Raises `UnusablePicture` (DUPLICATE) when it is there under another entry.
        """
        digest = hashlib.sha256(application.image).hexdigest()
        return await self._environment.read(lambda txn: _known(txn, application, digest))

    async def enrol(
        self, application: Application, examined: Examined, *, dry_run: bool
    ) -> Enrolment:
        """Puts the face on the list; when it returns, that is on disk.

        Raises `UnusablePicture` (DUPLICATE), `LimitReached`, or `InvalidInput` for a template that
        fails the gallery's gate.
        """
        check_template(examined.template, self.gallery.model_id, self.gallery.dimension)
        digest = hashlib.sha256(application.image).hexdigest()
        async with self._change:
            warnings = self._neighbours(application.entry_id, examined.template)
            now = self._clock()

            def act(txn: Transaction) -> Enrolment:
                if (known := _known(txn, application, digest)) is not None:
                    return known
                entry = self._entry_for(txn, application, now)
                reference_id = _picture_key(txn, digest).decode()[:REFERENCE_ID_CHARACTERS]
                record = _reference_record(entry.entry_id, reference_id, digest, examined, now)
                if not dry_run:
                    _put(txn, entry, record, examined.face_jpeg)
                return Enrolment(entry, record.reference_id, is_new=True, warnings=warnings)

            enrolment = await self._environment.write(act)
            if enrolment.is_new and not dry_run:
                self.gallery.add([_as_reference(enrolment, examined.template)])
            return enrolment

    async def remove(self, entry_id: str, *, dry_run: bool) -> int:
        """Removes a subject; the number of references that went. Raises `NotFound`."""

        def act(txn: Transaction) -> int:
            _found(txn, entry_id)
            records = _references_of(txn, entry_id)
            if not dry_run:
                _erase(txn, entry_id, records)
            return len(records)

        async with self._change:
            removed = await self._environment.write(act)
            if not dry_run:
                self.gallery.remove_entry(entry_id)
            return removed

    async def get(self, entry_id: str) -> tuple[EntryRecord, list[ReferenceRecord]]:
        """A subject and its references; raises `NotFound`."""
        return await self._environment.read(
            lambda txn: (_found(txn, entry_id), _references_of(txn, entry_id))
        )

    async def page(self, after: str, count: int) -> list[tuple[EntryRecord, list[ReferenceRecord]]]:
        """Up to `count` subjects by external reference, after the one named."""

        def act(txn: Transaction) -> list[tuple[EntryRecord, list[ReferenceRecord]]]:
            scan = txn.scan(ENTRIES, after=after.encode())
            page = [record for (_, record), _ in zip(scan, range(count), strict=False)]
            return [(record, _references_of(txn, record.entry_id)) for record in page]

        return await self._environment.read(act)

    async def image(self, entry_id: str, reference_id: str) -> bytes:
        """JPEG of a reference's face; raises `NotFound`."""
        key = reference_key(entry_id, reference_id)
        image = await self._environment.read(lambda txn: txn.get(REFERENCE_IMAGES, key))
        if image is None:
            raise NotFound(f"the picture of {entry_id} was removed from the list")
        return image

    async def counts(self) -> tuple[int, int]:
        """How many entries and references there are."""
        return await self._environment.read(lambda txn: (txn.count(ENTRIES), txn.count(REFERENCES)))

    def similar(self, template: Template) -> list[tuple[str, str, float]]:
        """The most similar references: (entry id, reference id, score), best first."""
        return self.gallery.similar(template, SIMILAR_COUNT)

    def _neighbours(self, entry_id: str, template: Template) -> tuple[Reason, ...]:
        """Look-alike warnings; raises `UnusablePicture` when one is a duplicate."""
        # The entry's own pictures may well fill the first places.
        count = SIMILAR_COUNT + self._rules.references_per_entry_max
        close = [
            (f"{entry}/{reference}", entry, score)
            for entry, reference, score in self.gallery.similar(template, count)
            if entry != entry_id and score >= self._rules.threshold
        ][:SIMILAR_COUNT]
        for name, entry, score in close:
            if score >= self._rules.duplicate_score:
                raise duplicate(
                    f"the same face is enrolled as {entry} (score {score:.3f}); add the picture "
                    "there, or remove that entry first",
                    name,
                    score,
                )
        return tuple(
            Reason(
                ReasonCode.LOOK_ALIKE,
                f"looks like {entry} (score {score:.3f}): take care with matches on either",
                name,
                score,
            )
            for name, entry, score in close
        )

    def _entry_for(self, txn: Transaction, application: Application, now: datetime) -> EntryRecord:
        entry = txn.get(ENTRIES, application.entry_id.encode())
        if entry is None:
            if txn.count(ENTRIES) >= self._rules.entries_max:
                raise LimitReached(
                    f"the list holds {self._rules.entries_max} entries, as many as "
                    "limits.entries_max allows; remove entries first"
                )
            return EntryRecord(
                application.entry_id, application.category, now, application.threshold
            )
        if len(_references_of(txn, entry.entry_id)) >= self._rules.references_per_entry_max:
            raise LimitReached(
                f"{entry.entry_id} has {self._rules.references_per_entry_max} pictures, as many as "
                "limits.references_per_entry_max allows; send the best ones only"
            )
        return entry


def duplicate(message: str, reference: str, score: float) -> UnusablePicture:
    """The refusal of a face that is enrolled under another entry."""
    return UnusablePicture(message, (Reason(ReasonCode.DUPLICATE, message, reference, score),))


def _known(txn: Transaction, application: Application, digest: str) -> Enrolment | None:
    key = txn.get(REFERENCE_BY_IMAGE, _picture_key(txn, digest))
    if key is None:
        return None
    entry_id, reference_id = key.decode().split("/")
    if entry_id != application.entry_id:
        raise duplicate(
            f"this very picture is enrolled as {entry_id}; one picture shows one subject",
            f"{entry_id}/{reference_id}",
            1.0,
        )
    return Enrolment(_found(txn, entry_id), reference_id, is_new=False)


def _found(txn: Transaction, entry_id: str) -> EntryRecord:
    entry = txn.get(ENTRIES, entry_id.encode())
    if entry is None:
        raise NotFound(
            f"there is no entry {entry_id} on this watchlist; see: cordon admin watchlist list"
        )
    return entry


def _references_of(txn: Transaction, entry_id: str) -> list[ReferenceRecord]:
    return [record for _, record in txn.scan(REFERENCES, prefix=f"{entry_id}/".encode())]


def _put(txn: Transaction, entry: EntryRecord, record: ReferenceRecord, face_jpeg: bytes) -> None:
    key = reference_key(record.entry_id, record.reference_id)
    txn.put(ENTRIES, entry.entry_id.encode(), entry)
    txn.put(REFERENCES, key, record)
    txn.put(REFERENCE_IMAGES, key, face_jpeg)
    txn.put(REFERENCE_BY_IMAGE, _picture_key(txn, record.image_sha256), key)


def _erase(txn: Transaction, entry_id: str, records: list[ReferenceRecord]) -> None:
    txn.delete(ENTRIES, entry_id.encode())
    for record in records:
        key = reference_key(entry_id, record.reference_id)
        txn.delete(REFERENCES, key)
        txn.delete(REFERENCE_IMAGES, key)
        txn.delete(REFERENCE_BY_IMAGE, _picture_key(txn, record.image_sha256))


def _picture_key(txn: Transaction, image_sha256: str) -> bytes:
    """What stands for a picture in keys, which are not sealed: nobody who has the picture can tell
    by it that the picture was enrolled."""
    return txn.digest(bytes.fromhex(image_sha256)).hex().encode()


def _reference_record(
    entry_id: str, reference_id: str, digest: str, examined: Examined, now: datetime
) -> ReferenceRecord:
    return ReferenceRecord(
        entry_id=entry_id,
        reference_id=reference_id,
        image_sha256=digest,
        quality=examined.quality,
        create_time=now,
        model_id=examined.template.model_id,
        vector=examined.template.vector.astype("<f4").tobytes(),
    )


def _as_reference(enrolment: Enrolment, template: Template) -> Reference:
    entry = enrolment.entry
    return Reference(
        entry.entry_id, enrolment.reference_id, template, entry.category, entry.threshold
    )


def _stored_references(txn: Transaction) -> list[Reference]:
    entries = {record.entry_id: record for _, record in txn.scan(ENTRIES)}
    return [
        Reference(
            record.entry_id,
            record.reference_id,
            Template(np.frombuffer(record.vector, dtype="<f4").astype(np.float32), record.model_id),
            entries[record.entry_id].category,
            entries[record.entry_id].threshold,
        )
        for _, record in txn.scan(REFERENCES)
    ]
