"""How much of the machine others took while something was measured. Linux only."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path

SHARE_MAX = 0.08
"""Above this a round says more about the others than about what was measured."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Watch:
    """From its making on: all that the machine did, less this process, its ended children and one
    process that goes on."""

    lasting_pid: int | None
    _began_s: float = field(init=False)
    _machine_s: float = field(init=False)
    _own_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._began_s = time.monotonic()
        self._machine_s, self._own_s = _machine_s(), self._ours_s()

    def others_share(self) -> float:
        """Of all cores, 0 to 1."""
        others_s = (_machine_s() - self._machine_s) - (self._ours_s() - self._own_s)
        had_s = (time.monotonic() - self._began_s) * (os.cpu_count() or 1)
        return max(0.0, others_s / had_s)

    def _ours_s(self) -> float:
        parts = [
            resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        ]
        own_s = sum(part.ru_utime + part.ru_stime for part in parts)
        return own_s if self.lasting_pid is None else own_s + _process_s(self.lasting_pid)


def _process_s(pid: int) -> float:
    """CPU time of another process since its start."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / _TICKS_PER_S


def _machine_s() -> float:
    """CPU time of everybody since boot, stolen time included."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S
