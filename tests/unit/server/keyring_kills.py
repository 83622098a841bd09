"""Changes a keyring and is killed on the way: `python -m tests.unit.server.keyring_kills FOLDER`.

Each change is made in a child that kills itself before its n-th call to the operating system that
a file is changed by, for every n until one gets through. Prints as JSON, for each, what the keyring
held when it was opened again.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cordon_server.store.keyring import Keyring, Label
from tests.unit.server.rooms import open_keyring

CALLS = ("open", "fdopen", "fsync", "replace", "pwrite", "close")
CHANGES: dict[str, Callable[[Keyring], object]] = {
    "make": lambda ring: ring.get_or_make(Label.DEPLOYMENT, "new"),
    "destroy": lambda ring: ring.destroy(Label.DEPLOYMENT, ["old"]),
}


def main(folder: Path) -> None:
    ring = open_keyring(folder / "before")
    kept = ring.get_or_make(Label.AUDIT, "old")
    ring.get_or_make(Label.DEPLOYMENT, "old")
    runs = [
        run
        for name, change in CHANGES.items()
        for run in _killed_everywhere(folder, name, change, kept)
    ]
    print(json.dumps(runs))


def _killed_everywhere(
    folder: Path, name: str, change: Callable[[Keyring], object], kept: bytes
) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = []
    for calls in itertools.count():
        copy = folder / f"{name}-{calls}"
        shutil.copytree(folder / "before", copy)
        was_killed = _in_a_child(lambda: change(open_keyring(copy)), calls)  # noqa: B023  # called here
        ring = open_keyring(copy)
        names = ring.names(Label.DEPLOYMENT)
        is_kept = ring.get(Label.AUDIT, "old") == kept
        # And it can be changed on: nothing of the broken change stands in the way.
        ring.destroy(Label.DEPLOYMENT, ["old", "new"])
        is_kept = is_kept and open_keyring(copy).get(Label.AUDIT, "old") == kept
        runs.append({"change": name, "killed": was_killed, "names": names, "kept": is_kept})
        if not was_killed:
            return runs
    raise AssertionError


def _in_a_child(act: Callable[[], object], calls: int) -> bool:
    """Runs it, killed before it makes one more call than these; whether it came to that."""
    child = os.fork()
    if not child:
        _kill_after(calls)
        act()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


def _kill_after(calls: int) -> None:
    left = itertools.count(calls, -1)

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **named: Any) -> Any:
            if not next(left):
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return counting

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
