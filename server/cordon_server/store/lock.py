"""One server per data directory: LMDB itself would let two write side by side."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cordon_server.domain import ConfigInvalid


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds a folder for this process; raises `ConfigInvalid` while another process holds it.

    The kernel lets go when the process ends, however it ends.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigInvalid(
                f"another server is running on {folder}; stop it first, or set storage.data"
            ) from error
        yield
