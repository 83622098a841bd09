"""Files that are whole at every moment, also for whoever reads them after a kill or a power cut."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def write_whole(file: Path, content: bytes) -> None:
    """Replaces a file's content: afterwards the new one is on disk, before that the old one."""
    fresh = _fresh(file)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(fresh, file)
    sync_folder(file.parent)


def remove_whole(file: Path) -> None:
    """Removes what `write_whole` wrote, and what it left where it was broken off."""
    for each in (_fresh(file), file):
        each.unlink(missing_ok=True)
    sync_folder(file.parent)


def overwrite(file: Path, offset: int, content: bytes) -> None:
    """Writes over a part of a file, in its place and not beside it, through to the disk."""
    descriptor = os.open(file, os.O_WRONLY)
    try:
        os.pwrite(descriptor, content, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """What the folder names is on disk: files that came, went or were renamed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_folder(folder: Path) -> bool:
    """Removes a folder with all that is in it, through to the disk; whether there was one."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return False
    sync_folder(folder.parent)
    return True


def _fresh(file: Path) -> Path:
    return file.with_name(f"{file.name}.new")
