"""The server as the product builds it, opened for measuring: what stages took, and TLS or the
checks of callers left off.

`python -m tests.bench.measured_server --config FILE --stages FILE [--plain CAMERA]
[--trust CAMERA]` runs the same `running(settings)` as `cordon server run`. Around it: every
analysed frame is entered in a ledger, which SIGUSR1 writes to the stages file; with --plain a
second port on loopback takes connections without TLS and holds all of them for that camera; with
--trust SIGUSR2 leaves off, and on again, whatever asks who calls and whether he may, and holds
every call for that camera's. The product has none of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cordon_server import app
from cordon_server.api import edge
from cordon_server.api.server import make_server
from cordon_server.config import Settings, load_settings
from cordon_server.identity.admission import Admitted
from cordon_server.identity.calls import Call
from cordon_server.identity.names import Role, SpiffeId
from cordon_server.identity.peers import DenyList, Peer, identify
from cordon_server.identity.people import Person
from cordon_server.operations.logs import configure_logs
from cordon_server.recognition.analyse import Analyser


class Ledger:
    """What each analysed frame took, in the order in which they were done."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stage_s: list[float] = []
        self._cpu_s: list[float] = []
        self._stages: dict[str, float] = {}
        self.plain_port = 0
        self.is_trusting = False

    def enter(self, stages: Mapping[str, float], cpu_s: float) -> None:
        """A frame was analysed; any thread may say so."""
        self._stage_s.append(sum(stages.values()))
        self._cpu_s.append(cpu_s)
        for name, seconds in stages.items():
            self._stages[name] = self._stages.get(name, 0.0) + seconds

    def trust(self) -> None:
        """Leaves the checks of callers off, or on again, for the calls that begin from now on."""
        self.is_trusting = not self.is_trusting

    def write(self) -> None:
        """Puts everything so far into the file, at once."""
        values = {
            "stage_s": self._stage_s,
            "cpu_s": self._cpu_s,
            "stages": self._stages,
            "plain_port": self.plain_port,
            "is_trusting": self.is_trusting,
        }
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(values))
        os.replace(fresh, self._file)


@contextmanager
def _counted(ledger: Ledger) -> Iterator[None]:
    """Every analyser enters its frames: its own stage clock, and its thread's processor time."""
    analyse = Analyser.analyse

    def counted(self: Analyser, *arguments: Any, **named: Any) -> Any:
        stages, began_s = dict(self.stage_seconds), time.thread_time()
        result = analyse(self, *arguments, **named)
        taken = {name: after - stages[name] for name, after in self.stage_seconds.items()}
        ledger.enter(taken, time.thread_time() - began_s)
        return result

    with patch.object(Analyser, "analyse", counted):
        yield


@contextmanager
def _plain_port(camera: str, ledger: Ledger) -> Iterator[None]:
    """A second port of the same server, for connections without TLS, as one camera."""

    def with_plain_port(*arguments: Any, **named: Any) -> Any:
        server, port = make_server(*arguments, **named)
        ledger.plain_port = server.add_insecure_port("127.0.0.1:0")
        return server, port

    def whoever(
        context: Mapping[str, Iterable[bytes]], site: str, now: datetime, denied: DenyList
    ) -> Peer:
        if "x509_pem_cert" in context:
            return identify(context, site, now, denied)
        return _peer(site, camera, now)

    with (
        patch.object(app, "make_server", with_plain_port),
        patch.object(edge, "identify", whoever),
    ):
        yield


@contextmanager
def _trusting(camera: str, ledger: Ledger) -> Iterator[None]:
    """While the ledger says so, calls begin without a look at the certificate, the token and the
    permission table, and are not among those that are judged while they run."""
    guarded = edge.Edge._guarded

    @asynccontextmanager
    async def trusted(
        self: edge.Edge, method: str, context: edge.Context
    ) -> AsyncIterator[Call[Person]]:
        if not ledger.is_trusting:
            async with guarded(self, method, context) as call:
                yield call
            return
        async with edge.answering(method, context, edge.Who(), self._tell):
            peer = _peer(self._site, camera, self._clock())
            edge._ADMITTED.set(Admitted(peer, None, ""))
            yield Call(method, peer, None, partial(edge._abort, context), None)

    with patch.object(edge.Edge, "_guarded", trusted):
        yield


def _peer(site: str, camera: str, now: datetime) -> Peer:
    hour = timedelta(hours=1)
    return Peer(SpiffeId(site, Role.CAMERA, camera), now - hour, now + hour, "", 0)


async def _serve(settings: Settings, ledger: Ledger) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, ledger.write)
    loop.add_signal_handler(signal.SIGUSR2, ledger.trust)
    async with app.running(settings):
        ledger.write()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--stages", type=Path, required=True)
    parser.add_argument("--provider", default="cpu", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--plain", metavar="CAMERA")
    parser.add_argument("--trust", metavar="CAMERA")
    args = parser.parse_args()
    settings = load_settings(args.config, {"recognition": {"provider": args.provider}})
    os.umask(0o077)
    configure_logs("INFO")
    ledger = Ledger(args.stages)
    with ExitStack() as stack:
        stack.enter_context(_counted(ledger))
        if args.plain is not None:
            stack.enter_context(_plain_port(args.plain, ledger))
        if args.trust is not None:
            stack.enter_context(_trusting(args.trust, ledger))
        asyncio.run(_serve(settings, ledger))


if __name__ == "__main__":
    main()
