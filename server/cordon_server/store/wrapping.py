"""The secret that the keyring is wrapped under beside the site key, and that changes whenever a key
is destroyed: what an older copy of the keyring was wrapped under is nowhere any more.

Its file must never be in a backup. It has two slots, each on a page of its own and written over in
place, so that a rotation can be broken off at any point and the keyring is readable all the same:

    1. the next secret goes into the free slot
    2. the keyring is written anew under it, and names its generation
    3. the slot of the old secret is written over
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cordon_server.domain import StorageDamaged
from cordon_server.store.durable import overwrite, sync_folder, write_whole

SECRET_BYTES = 32
SLOTS = 2
SLOT_STRIDE = 4096
"""A torn write of one slot cannot touch the other."""
GENERATION_BYTES = 8
CHECK_BYTES = 16
SLOT_BYTES = GENERATION_BYTES + SECRET_BYTES + CHECK_BYTES
FILE_NAME = "wrapping-secret"
CACHE_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# Backup programs leave out folders with this file (https://bford.info/cachedir/).\n"
    b"# What is here must never be in a backup: with it and the site's passphrase, an old copy\n"
    b"# of the keyring opens watchlists that were destroyed.\n"
)


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret; the generation counts them."""

    generation: int
    value: bytes


class WrappingSecrets:
    """The slots of the file in a folder that backups leave out."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME

    @property
    def is_there(self) -> bool:
        return self._file.exists()

    def make(self) -> Secret:
        """A new file with the first secret."""
        folder = self._file.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(folder / "CACHEDIR.TAG", CACHE_TAG)
        write_whole(self._file, bytes(SLOTS * SLOT_STRIDE))
        sync_folder(folder.parent)
        return self.add(0)

    def all(self) -> list[Secret]:
        """What the slots hold, oldest first; one that was torn holds nothing."""
        found = map(_parsed, self._contents())
        return sorted((each for each in found if each), key=lambda each: each.generation)

    def add(self, after: int) -> Secret:
        """Puts the secret after a generation into the slot that does not hold that one."""
        secret = Secret(after + 1, os.urandom(SECRET_BYTES))
        overwrite(self._file, _offset(secret.generation), _slot(secret))
        return secret

    def forget_all_but(self, generation: int) -> None:
        """Writes over every other slot."""
        for at, content in zip(_offsets(), self._contents(), strict=True):
            if at != _offset(generation) and any(content):
                overwrite(self._file, at, os.urandom(SLOT_BYTES))
                overwrite(self._file, at, bytes(SLOT_BYTES))

    def _contents(self) -> list[bytes]:
        try:
            content = self._file.read_bytes()
        except OSError as error:
            raise StorageDamaged(f"{self._file} cannot be read ({error})") from error
        return [content[at : at + SLOT_BYTES] for at in _offsets()]


def _offsets() -> range:
    return range(0, SLOTS * SLOT_STRIDE, SLOT_STRIDE)


def _offset(generation: int) -> int:
    return generation % SLOTS * SLOT_STRIDE


def _slot(secret: Secret) -> bytes:
    body = secret.generation.to_bytes(GENERATION_BYTES, "big") + secret.value
    return body + _check(body)


def _parsed(slot: bytes) -> Secret | None:
    body, check = slot[:-CHECK_BYTES], slot[-CHECK_BYTES:]
    if len(slot) != SLOT_BYTES or check != _check(body):
        return None
    return Secret(int.from_bytes(body[:GENERATION_BYTES], "big"), body[GENERATION_BYTES:])


def _check(body: bytes) -> bytes:
    return hashlib.sha256(b"cordon wrapping secret" + body).digest()[:CHECK_BYTES]
