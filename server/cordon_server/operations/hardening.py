"""Keeps what is in the server's memory there: no core file, no reading by other processes.

Debuggers and profilers that attach (gdb, py-spy) are refused to all but root; stop the server and
start it under them.
"""

from __future__ import annotations

import ctypes
import resource

import structlog

from cordon_server.domain import ConfigInvalid

log = structlog.get_logger()

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4


def keep_memory_private() -> None:
    """No core file, whatever the limits and the pattern for cores are outside, and no other process
    of this account may look in: `RLIMIT_CORE` 0 and `PR_SET_DUMPABLE` 0 (prctl(2)).

    Raises `ConfigInvalid` where the kernel does not do it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) or prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0):
        raise ConfigInvalid(
            "this kernel does not keep the server's memory private (PR_SET_DUMPABLE)"
        )
    log.info("memory.private", core_bytes_max=resource.getrlimit(resource.RLIMIT_CORE)[0])
