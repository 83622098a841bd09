"""All of it runs where there is no way out: in a network of its own with nothing but loopback."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.serves("R22")]

ALONE = ("unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
CORDON = (sys.executable, "-P", "-m", "cordon_client.main")


def alone(*command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a network namespace without any other interface."""
    return subprocess.run(
        [*ALONE, *command], capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture(scope="module", autouse=True)
def namespaces() -> None:
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("unshare and ip are not installed here")
    if (tried := alone("true")).returncode:
        pytest.skip(f"network namespaces are not to be had here: {tried.stderr.strip()}")


def test_there_is_no_way_out_of_where_it_is_tried() -> None:
    links = json.loads(alone("ip", "-json", "link").stdout)
    reached = alone(
        sys.executable, "-c", "import socket; socket.create_connection(('192.0.2.1', 9), 5)"
    )

    assert [link["ifname"] for link in links] == ["lo"]
    assert alone("ip", "route").stdout == ""
    assert "Network is unreachable" in reached.stderr


def test_who_is_listed_is_found_with_no_way_out(tmp_path: Path) -> None:
    done = alone(*CORDON, "demo", "--seconds", "12", "--json", "--out", str(tmp_path / "pictures"))

    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["matches"] >= 1
    assert outcome["false_matches"] == 0
