"""What is in the real server's memory stays there, also when the server dies of it."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.site import Site

OPENS_THE_MEMORY = ": < /proc/$0/mem"
NOBODY = 65534


@pytest.fixture
def cores_allowed() -> Iterator[None]:
    """What is started inside inherits the leave to write core files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@pytest.mark.slow
@pytest.mark.serves("R1")
@pytest.mark.usefixtures("cores_allowed")
def test_a_server_that_crashes_leaves_no_core_and_lets_nobody_look_in(own_site: Site) -> None:
    assert own_site.process is not None
    proc = Path(f"/proc/{own_site.process.pid}")

    limits = (proc / "limits").read_text()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE)
    assert '"memory.private"' in own_site.log
    own_site.process.send_signal(signal.SIGSEGV)
    _, status = os.waitpid(own_site.process.pid, 0)
    own_site.process.returncode = status  # waited for here, and by nobody else
    own_site.process = None

    assert os.WTERMSIG(status) == signal.SIGSEGV
    assert not os.WCOREDUMP(status)


@pytest.mark.slow
@pytest.mark.serves("R1")
def test_another_process_of_the_same_account_cannot_read_the_servers_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BESIDE], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["before", "read", "after", "refused"]


_BESIDE = f"""
import os, subprocess, sys
from cordon_server.operations.hardening import keep_memory_private

def look():
    # As one of many processes of an account without privileges.
    done = subprocess.run(
        ["/bin/sh", "-c", {OPENS_THE_MEMORY!r}, str(os.getpid())], capture_output=True, text=True
    )
    assert not done.returncode or "Permission denied" in done.stderr, done.stderr
    print("refused" if done.returncode else "read")

if not os.getuid():
    os.setgid({NOBODY}); os.setuid({NOBODY})
    import ctypes
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # which setuid has taken away
print("before"); look()
sys.stdout.flush()
import structlog; structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
keep_memory_private()
print("after"); look()
"""
