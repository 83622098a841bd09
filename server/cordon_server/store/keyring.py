"""One file with every data key of a site, sealed under the site key and the wrapping secret.

A key that is destroyed is gone: the file is written anew without it under another secret, and the
secret that older copies of the file were sealed under is written over (`wrapping`). Keys are named
by what they seal; this module knows no more of that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import msgspec
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cordon_server.domain import ConfigInvalid, StorageDamaged, StorageFull
from cordon_server.store.durable import write_whole
from cordon_server.store.sealing import KEY_BYTES, NONCE_BYTES
from cordon_server.store.site_key import SALT_BYTES, ScryptCost, site_key
from cordon_server.store.wrapping import Secret, WrappingSecrets

log = structlog.get_logger()

FORMAT = 1


class Label(StrEnum):
    """What a key is for."""

    DEPLOYMENT = "deployment"
    """Every value of a deployment's database."""
    AUDIT = "audit"
    """The personal parts of a deployment's record."""
    HOLD = "hold"
    """A match's record that a legal hold keeps."""


class KeyringFile(msgspec.Struct, frozen=True):
    """What is written. `sealed` is nonce and AES-256-GCM of the keys by name."""

    format: int
    generation: int
    salt: bytes
    n: int
    r: int
    p: int
    sealed: bytes

    @property
    def cost(self) -> ScryptCost:
        return ScryptCost(self.n, self.r, self.p)

    def header(self) -> bytes:
        """What is sealed with the keys, in clear."""
        return msgspec.msgpack.encode((self.format, self.generation, self.salt, *self._numbers()))

    def _numbers(self) -> tuple[int, int, int]:
        return self.n, self.r, self.p


class Keyring:
    """The open keyring. Any thread may use it: each change is on disk when its call returns."""

    def __init__(
        self, file: Path, secrets: WrappingSecrets, passphrase: str, *, cost: ScryptCost
    ) -> None:
        """Opens the file, finishing a rotation that was broken off; makes it where there is none.

        A keyring older than every secret is a copy from before a key was destroyed: nobody can read
        it, and an empty one takes its place. Raises `ConfigInvalid` for another passphrase,
        `StorageDamaged` where file or secret cannot be read.
        """
        self._file = file
        self._secrets = secrets
        self._lock = threading.RLock()
        self._keys: dict[str, bytes] = {}
        if not file.exists():
            self._begin(passphrase, secrets.make(), cost)
            return
        stored = _read(file)
        self._salt, self._cost = stored.salt, stored.cost
        self._site_key = site_key(passphrase, stored.salt, stored.cost)
        known = self._known_secrets()
        secret = next((each for each in known if each.generation == stored.generation), None)
        if secret is None:
            self._replace_lost(stored.generation, passphrase, known)
            return
        self._secret = secret
        self._keys = self._opened(stored)
        secrets.forget_all_but(secret.generation)

    def get(self, label: Label, name: str) -> bytes | None:
        """A key, or None where there is none (any more)."""
        with self._lock:
            return self._keys.get(_full(label, name))

    def get_or_make(self, label: Label, name: str) -> bytes:
        """A key; a new one is on disk before anything can be sealed with it."""
        with self._lock:
            if (known := self._keys.get(_full(label, name))) is not None:
                return known
            made = os.urandom(KEY_BYTES)
            self._write({**self._keys, _full(label, name): made}, self._secret)
            return made

    def names(self, label: Label) -> list[str]:
        """Whose keys there are."""
        with self._lock:
            start = _full(label, "")
            return sorted(name.removeprefix(start) for name in self._keys if name.startswith(start))

    def destroy(self, label: Label, names: Iterable[str]) -> list[str]:
        """Destroys keys, the copies in backups of the keyring too; those that there were."""
        with self._lock:
            gone = [name for name in names if _full(label, name) in self._keys]
            if gone:
                dropped = {_full(label, name) for name in gone}
                left = {name: key for name, key in self._keys.items() if name not in dropped}
                self._write(left, self._secrets.add(self._secret.generation))
            # Also where nothing is left to destroy: an earlier attempt may have come to here.
            self._secrets.forget_all_but(self._secret.generation)
            return gone

    def _begin(self, passphrase: str, secret: Secret, cost: ScryptCost) -> None:
        self._salt, self._cost = os.urandom(SALT_BYTES), cost
        self._site_key = site_key(passphrase, self._salt, cost)
        self._write({}, secret)
        self._secrets.forget_all_but(secret.generation)

    def _replace_lost(self, generation: int, passphrase: str, known: list[Secret]) -> None:
        newest = max((each.generation for each in known), default=0)
        if generation > newest:
            raise StorageDamaged(
                f"{self._file} was wrapped under secret {generation} and the newest there is, "
                f"{newest}, is older; bring back the folder storage.never_backed_up as it was, or "
                f"remove {self._file}: what it opened cannot be read without"
            )
        log.critical("keyring.lost", generation=generation, newest=newest)
        self._begin(passphrase, self._secrets.add(newest), self._cost)

    def _known_secrets(self) -> list[Secret]:
        if not self._secrets.is_there:
            raise StorageDamaged(
                f"{self._file} is there and the secret that it is wrapped under is not; bring back "
                "the folder storage.never_backed_up as it was, or remove the keyring: what it "
                "opened cannot be read without"
            )
        return self._secrets.all()

    def _opened(self, stored: KeyringFile) -> dict[str, bytes]:
        nonce, sealed = stored.sealed[:NONCE_BYTES], stored.sealed[NONCE_BYTES:]
        try:
            plain = self._cipher(self._secret).decrypt(nonce, sealed, stored.header())
            return msgspec.msgpack.decode(plain, type=dict[str, bytes])
        except (InvalidTag, ValueError, msgspec.MsgspecError) as error:
            raise ConfigInvalid(
                f"the site's passphrase does not open {self._file}, or the file is damaged; give "
                "the passphrase that the site was made with"
            ) from error

    def _write(self, keys: dict[str, bytes], secret: Secret) -> None:
        numbers = self._cost.n, self._cost.r, self._cost.p
        blank = KeyringFile(FORMAT, secret.generation, self._salt, *numbers, b"")
        nonce = os.urandom(NONCE_BYTES)
        plain = msgspec.msgpack.encode(keys)
        sealed = nonce + self._cipher(secret).encrypt(nonce, plain, blank.header())
        try:
            write_whole(
                self._file, msgspec.msgpack.encode(msgspec.structs.replace(blank, sealed=sealed))
            )
        except OSError as error:
            raise StorageFull(
                f"the keyring {self._file} could not be written ({error}); free disk space, then "
                "try again: the one before is untouched"
            ) from error
        self._keys, self._secret = keys, secret

    def _cipher(self, secret: Secret) -> AESGCM:
        material = self._site_key + secret.value
        return AESGCM(HKDF(SHA256(), KEY_BYTES, self._salt, b"cordon keyring").derive(material))


def _full(label: Label, name: str) -> str:
    return f"{label}/{name}"


def _read(file: Path) -> KeyringFile:
    try:
        stored = msgspec.msgpack.decode(file.read_bytes(), type=KeyringFile)
    except (OSError, msgspec.MsgspecError) as error:
        raise StorageDamaged(
            f"the keyring {file} cannot be read ({error}); remove it: what it opened is lost, and "
            "deployments have to be made again"
        ) from error
    if stored.format != FORMAT:
        raise StorageDamaged(f"the keyring {file} is of another version of Cordon; start that one")
    return stored
