"""A real server with one armed deployment and one camera, for whoever measures it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cordon_demo.portraits import asset_path
from tests.bench.harness import Bench
from tests.helpers.site import Site, make_site


@dataclass(frozen=True, slots=True)
class ServerUnderTest:
    """A running server and a camera's identity folder."""

    site: Site
    camera: Path

    @property
    def pid(self) -> int:
        assert self.site.process is not None
        return self.site.process.pid

    def memory_mb(self, what: str) -> float:
        """Of the server process: "VmRSS" is resident now, "VmHWM" the most since its start."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{what}:"))
        return int(line.split()[1]) / 1024


@contextmanager
def server_under_test(bench: Bench) -> Iterator[ServerUnderTest]:
    """Made by the commands that an operator uses; one person is listed, who is in no frame."""
    with make_site(bench.folder / "site", "--provider", bench.provider) as site:
        camera, identity = site.add_camera("bench")
        deployment = site.add_deployment(camera)
        portrait = str(asset_path("astronaut"))
        enrol = ("admin", "watchlist", "enrol", deployment, "portrait", portrait)
        site.cordon(*enrol, "--category", "wanted")
        site.arm(deployment)
        yield ServerUnderTest(site, identity)
        site.stop(signal.SIGTERM)
