"""G14: what a camera client takes of the processor when it passes MJPEG on, over when it decodes
H.264 and encodes JPEG.

Both clients stream the same street at the same pace at the same time, so that what disturbs one
disturbs the other; the figure is of processor time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.harness import Bench, Row
from tests.bench.measured import MeasuredServer, measured_server
from tests.bench.street import write_frames
from tests.data import shared_data
from tests.helpers.network_camera import Behaviour, network_camera
from tests.helpers.site import CORDON

GOAL = 0.1
FPS = 10
_START_S_MAX = 30.0
_WARM_S = 3.0
_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor time and the pictures it was spent on."""

    cpu_s: float
    pictures: int

    def since(self, earlier: Spent) -> Spent:
        return Spent(self.cpu_s - earlier.cpu_s, self.pictures - earlier.pictures)

    @property
    def ms_a_picture(self) -> float:
        return 1000 * self.cpu_s / self.pictures


@dataclass(frozen=True, slots=True)
class Client:
    """A running `cordon camera run`."""

    process: subprocess.Popen[bytes]
    output: Path

    def spent(self) -> Spent:
        """Until now; the pictures to a second."""
        return Spent(self._cpu_s(), self._status()["frames_sent"])

    def _cpu_s(self) -> float:
        """Processor time of all its threads, to the microsecond."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def wait_until_it_streams(self) -> None:
        """Until it has sent a picture."""
        until_s = time.monotonic() + _START_S_MAX
        while not any(line["frames_sent"] for line in self._statuses()):
            if time.monotonic() > until_s or self.process.poll() is not None:
                raise RuntimeError(f"the camera does not stream: {self.output.read_text()[-500:]}")
            time.sleep(0.1)

    def _status(self) -> dict[str, Any]:
        """Its last word."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the camera ended: {self.output.read_text()[-500:]}")
        return self._statuses()[-1]

    def _statuses(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = list(map(json.loads, self.output.read_text().splitlines()))
        return [line for line in lines if line["event"] == "status"]


def measure(bench: Bench) -> list[Row]:
    """The ratio and both costs."""
    files = write_frames(bench.folder / "frames")
    clip = shared_data("videos", "walking", "covent_garden_1080p.mp4")
    jpegs = [file.read_bytes() for file in files]
    behaviour = Behaviour(pictures=_paced(jpegs))
    passed_ms, encoded_ms = [], []
    with (
        measured_server(bench, 2, tracking=True) as server,
        network_camera("http", behaviour) as port,
        _client(
            server, 0, "--mjpeg", "127.0.0.1", "--port", str(port), "--stream-path", "/live"
        ) as passing,
        _client(server, 1, "--file", str(clip), "--loop", "--fps", str(FPS)) as encoding,
    ):
        for client in (passing, encoding):
            client.wait_until_it_streams()
        time.sleep(_WARM_S)
        for _ in range(bench.rounds):
            before = passing.spent(), encoding.spent()
            time.sleep(_SECONDS)
            passed, encoded = (
                now.since(then)
                for now, then in zip((passing.spent(), encoding.spent()), before, strict=True)
            )
            passed_ms.append(passed.ms_a_picture)
            encoded_ms.append(encoded.ms_a_picture)
            rates = [each.pictures / _SECONDS for each in (passed, encoded)]
            bench.say(f"{passed_ms[-1]:.2f} against {encoded_ms[-1]:.2f} ms, {rates} frames/s")
    return [
        Row(
            "g14",
            "G14: camera client's CPU, pass-through over decode-and-encode",
            median(one / other for one, other in zip(passed_ms, encoded_ms, strict=True)),
            goal=GOAL,
            is_ceiling=True,
        ),
        Row("g14_passed_ms", "  a picture passed through", median(passed_ms), "ms"),
        Row("g14_encoded_ms", "  a picture decoded and encoded", median(encoded_ms), "ms"),
        Row("g14_fps", "  frames/s of each, last round", rates),
    ]


def _paced(jpegs: list[bytes]) -> Callable[[int], bytes]:
    """The network camera's pictures, each given when it is due."""
    began_s = time.monotonic()

    def picture(number: int) -> bytes:
        nonlocal began_s
        if number == 0:
            began_s = time.monotonic()
        time.sleep(max(0.0, began_s + number / FPS - time.monotonic()))
        return jpegs[number % len(jpegs)]

    return picture


@contextmanager
def _client(server: MeasuredServer, number: int, *source: str) -> Iterator[Client]:
    output = server.site.folder / f"client-{number}.jsonl"
    identity = ("--identity", str(server.cameras[number]))
    with output.open("wb") as out:
        process = subprocess.Popen(
            [*CORDON, "camera", "run", *source, *identity, "--json"],
            stdout=out,
            stderr=sys.stderr,
        )
    try:
        yield Client(process, output)
    finally:
        process.terminate()
        process.wait(timeout=20)
