"""A measured server with an armed deployment and as many cameras as a figure needs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cordon.v1 import camera_pb2, machine_pb2
from cordon.v1.camera_pb2_grpc import CameraServiceStub
from cordon.v1.machine_pb2_grpc import MachineServiceStub
from cordon_client.channel import call, new_request_id, open_channel
from cordon_client.identity import load_identity, make_key_and_csr, save_identity
from cordon_demo.portraits import asset_path
from tests.bench.harness import Bench
from tests.helpers.site import Site, free_port, init_site

_ANSWER_S_MAX = 10.0
_FPS_MIN = 0.01

Enrol = Callable[[Site, str], None]
"""Puts subjects on the watchlist of a deployment."""


@dataclass(frozen=True, slots=True)
class Stages:
    """What analysing frames took, frame by frame, since the server's start or since another."""

    stage_s: list[float]
    """Of each frame: the sum of its stages by the clock."""
    cpu_s: list[float]
    """Of each frame: processor time of the thread that analysed it."""
    stages: dict[str, float]
    """By the clock, of all frames together."""

    def since(self, earlier: Stages) -> Stages:
        return Stages(
            self.stage_s[len(earlier.stage_s) :],
            self.cpu_s[len(earlier.cpu_s) :],
            {name: value - earlier.stages.get(name, 0.0) for name, value in self.stages.items()},
        )


@dataclass
class MeasuredSite(Site):
    """A site whose server process is `measured_server`."""

    openings: tuple[str, ...] = ()
    """Options of `measured_server`."""

    def start(self, *options: str) -> None:
        config, stages = str(self.folder / "cordon.toml"), str(self.stages_file)
        module = ("-m", "tests.bench.measured_server", "--config", config, "--stages", stages)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *module, *self.openings, *options],
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )
        self._wait_until_serving()

    @property
    def stages_file(self) -> Path:
        return self.folder / "stages.json"


@dataclass(frozen=True, slots=True)
class MeasuredServer:
    """A running server, its deployment, and its cameras' identity folders."""

    site: MeasuredSite
    deployment: str
    cameras: tuple[Path, ...]

    @property
    def pid(self) -> int:
        assert self.site.process is not None
        return self.site.process.pid

    @property
    def plain_address(self) -> str:
        """Where connections without TLS are taken."""
        return f"127.0.0.1:{self._ledger()['plain_port']}"

    def trust(self, is_trusting: bool) -> None:
        """Whether calls that begin from now on are let in unasked; on a server opened for it."""
        if self._ledger()["is_trusting"] != is_trusting:
            os.kill(self.pid, signal.SIGUSR2)
        while self._ledger()["is_trusting"] != is_trusting:
            time.sleep(0.01)

    def stages(self) -> Stages:
        """What analysing has taken since the start."""
        values = self._ledger()
        return Stages(values["stage_s"], values["cpu_s"], values["stages"])

    def memory_mb(self) -> float:
        """Resident memory of the server process now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def found(self) -> set[str]:
        """The subjects that were matched so far."""
        desk = self.site.identity("control", "bench-desk")
        matches = self.site.cordon_json("control", "matches", self.deployment, identity=desk)
        return {match["entry_id"] for match in matches}

    def _ledger(self) -> dict[str, Any]:
        file = self.site.stages_file
        before = file.stat().st_mtime_ns if file.exists() else 0
        os.kill(self.pid, signal.SIGUSR1)
        until_s = time.monotonic() + _ANSWER_S_MAX
        while not file.exists() or file.stat().st_mtime_ns == before:
            if time.monotonic() > until_s:
                raise RuntimeError(f"the server wrote no {file.name} within {_ANSWER_S_MAX} s")
            time.sleep(0.01)
        values: dict[str, Any] = json.loads(file.read_text())
        return values


def enrol_portrait(site: Site, deployment: str) -> None:
    """One subject, who is in no frame."""
    portrait = str(asset_path("astronaut"))
    enrol = ("admin", "watchlist", "enrol", deployment, "portrait", portrait)
    site.cordon(*enrol, "--category", "wanted")


@contextmanager
def measured_server(
    bench: Bench,
    cameras: int = 1,
    *,
    tracking: bool = False,
    plain: bool = False,
    trust: bool = False,
    enrol: Enrol = enrol_portrait,
    environment: Mapping[str, str] | None = None,
) -> Iterator[MeasuredServer]:
    """A server for the block. `plain` opens the port without TLS, for the first camera, `trust`
    lets calls in unasked when told to, as that camera's. `environment` are settings beside those
    of every bench."""
    folder = bench.folder / "site"
    names = [f"camera-{number}" for number in range(cameras)]
    openings = ("--plain", names[0]) * plain + ("--trust", names[0]) * trust
    site = MeasuredSite(folder, free_port(), openings=openings)
    site.environment["CORDON_RECOGNITION__TRACKING"] = str(tracking).lower()
    # Or the server would refuse the cameras that are to be too much for it.
    site.environment["CORDON_RECOGNITION__FPS_MIN"] = str(_FPS_MIN)
    site.environment.update(environment or {})
    init_site(site, "bench.example")
    try:
        site.start("--provider", bench.provider)
        site.sign_in_administrator()
        identities = asyncio.run(_add_cameras(site, names))
        deployment = site.add_deployment(*names)
        enrol(site, deployment)
        site.arm(deployment)
        yield MeasuredServer(site, deployment, identities)
        site.stop(signal.SIGTERM)
    finally:
        if site.process is not None:
            site.stop(signal.SIGKILL)


async def _add_cameras(site: Site, names: list[str]) -> tuple[Path, ...]:
    """Registered and certified over one connection: a command for each would take a second."""
    async with open_channel(load_identity(site.admin)) as channel:
        registry, issuer = CameraServiceStub(channel), MachineServiceStub(channel)
        folders = []
        for name in names:
            request_id = new_request_id()
            camera = camera_pb2.CreateCameraRequest(camera_id=name, request_id=request_id)
            await call(registry.CreateCamera, camera)
            private_key_pem, csr_der = make_key_and_csr()
            wanted = machine_pb2.IssueCertificateRequest(
                role=machine_pb2.ROLE_CAMERA, id=name, csr_der=csr_der, request_id=new_request_id()
            )
            issued = await call(issuer.IssueCertificate, wanted)
            folders.append(site.folder / "identities" / name)
            save_identity(
                folders[-1],
                server=site.address,
                spiffe_id=issued.spiffe_id,
                ca_pem=issued.ca_pem.encode(),
                certificate_pem=issued.certificate_pem.encode(),
                private_key_pem=private_key_pem,
            )
    return tuple(folders)
