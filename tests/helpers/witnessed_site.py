"""A site whose server has a witness inside and, where there is strace, its writes on record."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cordon_server.operations.needles import Kind, Needles
from tests.helpers.site import Site
from tests.helpers.witness_server import LEAK, WITNESS

WRITES = "write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendmmsg"
BYTES_MAX = 65_536
"""Of one string that strace shows: less would hide what a large write holds."""
_STRING = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"')


@cache
def without_strace() -> str:
    """Why the writes of a server cannot be put on record here; empty where they can."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed here (Debian, Ubuntu: apt install strace)"
    tried = subprocess.run(
        [strace, "-f", "--seccomp-bpf", "-e", "trace=write", "-o", os.devnull, "true"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "" if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.strip()}"


@dataclass
class WitnessedSite(Site):
    """Everything that the server writes is below `folder`; what the witness keeps is beside it."""

    leaks_into: Path | None = None
    """Where the next server leaks the first face that it sees."""
    starts: int = 0

    @property
    def witness(self) -> Path:
        return self.folder.with_name("witness")

    @property
    def traces(self) -> Path:
        return self.folder.with_name("traces")

    def start(self, *options: str) -> None:
        temporary = self.folder / "tmp"
        for each in (self.witness, self.traces, temporary):
            each.mkdir(exist_ok=True)
        self.starts += 1
        leaks = {LEAK: str(self.leaks_into)} if self.leaks_into else {}
        config = ("--config", str(self.folder / "cordon.toml"))
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self._traced(self.traces / str(self.starts)),
                    *(sys.executable, "-m", "tests.helpers.witness_server", *config, *options),
                ],
                stdout=log,
                stderr=log,
                env=self._env(self.admin)
                | {WITNESS: str(self.witness), "TMPDIR": str(temporary), **leaks},
            )
        self._wait_until_serving()

    def _traced(self, trace: Path) -> list[str]:
        """Before a command, in whose place strace leaves it to run: its process id is the
        server's."""
        if without_strace():
            return []
        shown = ["-e", f"trace={WRITES}", "-s", str(BYTES_MAX), "-xx", "-o", str(trace)]
        return ["strace", "-D", "-f", "--seccomp-bpf", *shown]


def found_in_trace(trace: Path, needles: Needles) -> tuple[int, Counter[Kind]]:
    """How many bytes a server wrote by system calls, and what was found in them."""
    written, found = 0, Counter[Kind]()
    with trace.open("rb") as lines:
        for line in lines:
            for spelled in _STRING.findall(line):
                content = bytes.fromhex(spelled.replace(b"\\x", b"").decode())
                written += len(content)
                found += needles.found_in(content)
    return written, found
