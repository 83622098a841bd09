"""Files, each sealed under a key of its own: for what outlives a deployment's database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cordon_server.domain import NotFound, StorageFull
from cordon_server.store.durable import remove_whole, write_whole
from cordon_server.store.keyring import Keyring, Label
from cordon_server.store.sealing import DeploymentSealer, joined


@dataclass(frozen=True, slots=True)
class SealedFiles:
    """A folder of them. Names must be fit for files and keys alike."""

    folder: Path
    keyring: Keyring
    label: Label

    def put(self, name: str, content: bytes) -> None:
        """Writes a file, replacing what it held; on disk when it returns. Raises `StorageFull`."""
        sealer = self._sealer(self.keyring.get_or_make(self.label, name))
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self.folder / name, sealer.seal(self._place(name), content))
        except OSError as error:
            raise StorageFull(
                f"{self.folder / name} could not be written ({error}); free disk space, then try "
                "again"
            ) from error

    def get(self, name: str) -> bytes:
        """What was written; raises `NotFound`, or `StorageDamaged` where it is something else."""
        key = self.keyring.get(self.label, name)
        try:
            stored = (self.folder / name).read_bytes()
        except FileNotFoundError:
            stored = b""
        if key is None or not stored:
            raise NotFound(f"what {self.label} {name} kept is not here any more")
        return self._sealer(key).unseal(self._place(name), stored)

    def remove(self, name: str) -> None:
        """Destroys the key, then the file; nothing happens where neither is there."""
        self.keyring.destroy(self.label, [name])
        if self.folder.exists():
            remove_whole(self.folder / name)

    def kept(self) -> set[str]:
        """Of which a key or a file is here."""
        files = {each.stem for each in self.folder.iterdir()} if self.folder.exists() else set()
        return files | set(self.keyring.names(self.label))

    def _sealer(self, key: bytes) -> DeploymentSealer:
        return DeploymentSealer(key, model_id="")

    def _place(self, name: str) -> bytes:
        return joined(self.label.encode(), name.encode())
