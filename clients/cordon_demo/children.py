"""The processes that the demo starts: each with a log file, all gone when the demo goes.

Knows processes, not what they do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cordon_client.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_GRACE_S = 8.0
_TAIL_LINES = 8

CORDON = (sys.executable, "-P", "-m", "cordon_client.main")
"""The command `cordon` of this very installation, wherever its script lies."""


@dataclass(frozen=True, slots=True)
class Child:
    """A started process; what it says on either stream goes to its log."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def send(self, number: signal.Signals) -> None:
        """Signals the process and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Children:
    """Starts processes, each in a group of its own; leaving the block ends them, last one first."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[Child] = []
        self._lasting: list[Child] = []
        """Those whose end is an error."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._stop_all()
        finally:
            # A second Ctrl-C ends the patience, and still leaves no process behind.
            for child in self._running:
                child.send(signal.SIGKILL)

    async def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        lasts: bool = True,
    ) -> Child:
        """Starts a process; one that `lasts` runs until it is stopped, others `finish`."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                # Ctrl-C reaches the demo alone, which then ends them in order.
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            )
        child = Child(name, process, log)
        self._running.append(child)
        if lasts:
            self._lasting.append(child)
        return child

    async def finish(self, child: Child, timeout_s: float) -> None:
        """Waits for a process that ends by itself; anything but success is an error."""
        try:
            async with asyncio.timeout(timeout_s):
                code = await child.process.wait()
        except TimeoutError as error:
            raise ClientError(
                f"{child.name} took more than {timeout_s:.0f} s.", child.last_words()
            ) from error
        self._running.remove(child)
        if code:
            raise _died(child, code)

    async def watch(self) -> None:
        """Raises when a process that should last has ended; else never returns."""
        while True:
            for child in self._lasting:
                if child.process.returncode is not None:
                    raise _died(child, child.process.returncode)
            await asyncio.sleep(0.2)

    async def stop(self, child: Child) -> None:
        """Asks the process to end, waits, and ends it if it will not."""
        if child in self._lasting:
            self._lasting.remove(child)
        if child.process.returncode is None:
            child.send(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(child.process.wait(), _GRACE_S)
        child.send(signal.SIGKILL)
        await child.process.wait()
        if child in self._running:
            self._running.remove(child)

    async def _stop_all(self) -> None:
        for child in reversed(list(self._running)):
            await self.stop(child)


def _died(child: Child, code: int) -> ClientError:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return ClientError(
        f"The process {child.name} {how}.",
        f"Its last words:\n{child.last_words() or '(none)'}",
        "cordon demo --keep (keeps the site folder with every log)",
    )
