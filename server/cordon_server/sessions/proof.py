"""Proves on this installation that strangers leave nothing and that what ended is gone (R1, R2).

Pictures of people who agreed to it go the way that all go: some are listed in a deployment of their
own, sealed as every deployment is; all are shown to the recognition that runs. Every file of the
server's data is then searched for them, the deployment ended, and everything searched again,
together with a backup from before the end.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from cordon_server.authority.watchlist_records import REFERENCE_IMAGES, REFERENCES
from cordon_server.domain import InvalidInput, NotReady, Template
from cordon_server.gallery import Gallery, Reference
from cordon_server.matches.records import MATCH_IMAGES
from cordon_server.operations.needles import Kind, Needles, search_files
from cordon_server.recognition.scheduler import Outcome, Scheduler
from cordon_server.sessions.deployment import TABLES, DeploymentOpener
from cordon_server.sessions.showing import showing
from cordon_server.store.environment import Table, Transaction
from cordon_server.store.keyring import Label
from cordon_server.store.remains import open_values

if TYPE_CHECKING:
    from cordon_server.domain import Image

PICTURES_MIN = 2
CAMERA = "proof-of-forgetting"
THRESHOLD = 0.5
"""A listed person's own picture passes it; whoever else does changes nothing of the proof."""
_FIRST_LINE = "cordon proof of forgetting"
_REFERENCE_VECTORS = Table(REFERENCES.name, bytes)
"""The table of references; what is proved of is the template alone."""


class Seen(Protocol):
    """What examining a picture gives."""

    @property
    def template(self) -> Template: ...
    @property
    def face_jpeg(self) -> bytes: ...
    @property
    def crop(self) -> Image: ...


class Examiner(Protocol):
    """Finds the one face of a picture; raises `UnusablePicture`."""

    def examine(self, image: bytes, point: tuple[float, float] | None = None) -> Seen: ...


class NoteSigner(Protocol):
    """Signs text with the key of the audit record."""

    def sign(self, text: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search of all files came to."""

    bytes_read: int
    found: dict[str, int]
    """Pieces, by kind; none where nothing is."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup from before the end still gives, with every key that there is now."""

    values: int
    values_opened_before: int
    """With the key that there was: all of them, or the proof shows nothing."""
    values_opened: int
    searched: Searched


@dataclass(frozen=True, slots=True)
class Findings:
    """The whole result."""

    listed: int
    strangers: int
    faces_seen: int
    matches: int
    pieces: int
    """Looked for."""
    while_armed: Searched
    after_end: Searched
    backup: Backup
    is_key_gone: bool
    is_folder_gone: bool
    took_s: float

    @property
    def is_forgotten(self) -> bool:
        searches = (self.while_armed, self.after_end, self.backup.searched)
        return (
            not any(each.found for each in searches)
            and self.is_key_gone
            and self.is_folder_gone
            and self.backup.values_opened == 0
            and self.backup.values_opened_before == self.backup.values > 0
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """The findings, signed."""

    note: str
    is_forgotten: bool


class Prover:
    """Makes proofs, one at a time. Used from the event loop."""

    def __init__(
        self,
        opener: DeploymentOpener,
        examiner: Examiner,
        scheduler: Scheduler,
        signer: NoteSigner,
        *,
        data: Path,
        site: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._opener = opener
        self._examiner = examiner
        self._scheduler = scheduler
        self._signer = signer
        self._data = data
        self._site = site
        self._clock = clock
        self._proving = asyncio.Lock()

    async def examine(self, pictures: Sequence[bytes]) -> list[Seen]:
        """The faces of the pictures; raises `InvalidInput` for too few, `UnusablePicture`."""
        if len(pictures) < PICTURES_MIN:
            raise InvalidInput(
                f"a proof takes {PICTURES_MIN} pictures at least: one to list, one to pass by",
                field="pictures",
            )
        loop, own = asyncio.get_running_loop(), self._opener.examining
        return [await loop.run_in_executor(own, self._examiner.examine, each) for each in pictures]

    async def prove(self, pictures: Sequence[bytes]) -> Proof:
        """The proof; raises as `examine` does, and `NotReady` where recognition did not look at
        every picture: what it has not seen it cannot have kept."""
        seen = await self.examine(pictures)
        async with self._proving:
            findings = await self._findings(pictures, seen)
        content = {
            "site": self._site,
            "time": self._clock().isoformat(),
            "model": self._opener.model_id,
            "is_forgotten": findings.is_forgotten,
            **asdict(findings),
        }
        text = f"{_FIRST_LINE}\n{json.dumps(content, sort_keys=True)}\n"
        return Proof(self._signer.sign(text), findings.is_forgotten)

    async def _findings(self, pictures: Sequence[bytes], seen: Sequence[Seen]) -> Findings:
        began_s = time.monotonic()
        name = f"proof-{secrets.token_hex(8)}"
        needles = await asyncio.to_thread(_needles, pictures, seen)
        listed = len(seen) // 2
        try:
            environment = await self._opener.environment(name)
            try:
                await environment.write(lambda txn: _enrol(txn, seen[:listed]))
                faces, probes = await self._show(pictures, seen[:listed])
                await environment.write(lambda txn: _log(txn, probes))
                while_armed = await asyncio.to_thread(self._search, needles)
            finally:
                await environment.close()
            # Among the deployments, where a start removes what a kill has left of it.
            with TemporaryDirectory(prefix="proof-", dir=self._opener.folder) as folder:
                copy = Path(folder) / name
                await asyncio.to_thread(shutil.copytree, self._opener.folder / name, copy)
                key = self._opener.keyring.get(Label.DEPLOYMENT, name)
                before = await asyncio.to_thread(self._values_opened, copy, [key] if key else [])
                await asyncio.to_thread(self._opener.erase, name)
                after_end = await asyncio.to_thread(self._search, needles)
                backup = await asyncio.to_thread(self._tried, copy, before, needles)
        finally:
            await asyncio.to_thread(self._opener.erase, name)
        return Findings(
            listed=listed,
            strangers=len(seen) - listed,
            faces_seen=faces,
            matches=len(probes),
            pieces=len(needles),
            while_armed=while_armed,
            after_end=after_end,
            backup=backup,
            is_key_gone=self._opener.keyring.get(Label.DEPLOYMENT, name) is None,
            is_folder_gone=not (self._opener.folder / name).exists(),
            took_s=round(time.monotonic() - began_s, 3),
        )

    async def _show(
        self, pictures: Sequence[bytes], listed: Sequence[Seen]
    ) -> tuple[int, list[bytes]]:
        """Shows all pictures to recognition; how many faces it searched, and the probes of its
        matches."""
        gallery = Gallery(
            model_id=self._opener.model_id,
            dimension=self._opener.dimension,
            threshold=THRESHOLD,
        )
        gallery.add(
            Reference(f"p-{at}", "0", each.template, "proof", None)
            for at, each in enumerate(listed)
        )
        outcomes = await self._outcomes(pictures, gallery)
        results = [each.result for each in outcomes if each.result and each.result.counts.searched]
        if len(results) < len(pictures):
            raise NotReady(
                f"recognition looked at {len(results)} of the {len(pictures)} faces: nothing is "
                "proven of the others; try again when less is going on, or with other pictures"
            )
        probes = [each.probe_jpeg for result in results for each in result.sightings]
        return sum(result.counts.searched for result in results), probes

    async def _outcomes(self, pictures: Sequence[bytes], gallery: Gallery) -> list[Outcome]:
        with showing(self._scheduler, CAMERA, gallery, clock=self._clock) as show:
            return [await show(jpeg) for jpeg in pictures]

    def _search(self, needles: Needles) -> Searched:
        return _searched(*search_files(self._data, needles))

    def _tried(self, copy: Path, before: tuple[int, int], needles: Needles) -> Backup:
        keyring = self._opener.keyring
        keys = [keyring.get(label, name) for label in Label for name in keyring.names(label)]
        _, opened = self._values_opened(copy, [key for key in keys if key])
        searched = _searched(*search_files(copy, needles))
        return Backup(before[0], before[1], opened, searched)

    def _values_opened(self, copy: Path, keys: Sequence[bytes]) -> tuple[int, int]:
        tried = open_values(
            copy,
            TABLES,
            keys,
            model_id=self._opener.model_id,
            size_bytes_max=self._opener.size_bytes_max,
        )
        return tried.values, len(tried.opened)


def _needles(pictures: Sequence[bytes], seen: Sequence[Seen]) -> Needles:
    needles = Needles()
    for picture, each in zip(pictures, seen, strict=True):
        needles.add_picture(picture)
        needles.add_picture(each.face_jpeg)
        needles.add_crop(each.crop)
        needles.add_template(each.template.vector)
    return needles


def _enrol(txn: Transaction, listed: Sequence[Seen]) -> None:
    for at, each in enumerate(listed):
        key = f"p-{at}/0".encode()
        txn.put(_REFERENCE_VECTORS, key, each.template.vector.astype("<f4").tobytes())
        txn.put(REFERENCE_IMAGES, key, each.face_jpeg)


def _log(txn: Transaction, probes: Sequence[bytes]) -> None:
    for at, probe in enumerate(probes):
        txn.put(MATCH_IMAGES, at.to_bytes(8, "big"), probe)


def _searched(read: int, found: Counter[Kind]) -> Searched:
    return Searched(read, {kind.value: count for kind, count in sorted(found.items())})
