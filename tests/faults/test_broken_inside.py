"""What breaks inside the server, under real streams: one frame is lost, told and counted, and the
camera beside it hears nothing of it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest
import structlog.testing

from cordon_server import app
from cordon_server.config import load_settings
from cordon_server.domain import FrameResult
from cordon_server.recognition.analyse import Analyser
from cordon_server.recognition.models.sessions import Models
from tests.data import shared_data
from tests.helpers.frame_stream import PROCESSED, REJECTED, Stream, armed
from tests.helpers.rpc import channel_of, live_counts
from tests.helpers.site import Site

WORKERS = 2
ROUNDS = 3
RAISES = {
    b"a bug": RuntimeError,
    b"no memory": MemoryError,
    b"a killed worker": SystemExit,  # what no handler of a frame's errors may catch
}
NO_NUMBERS = b"no numbers"


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that break as the last bytes of a frame ask for."""
    analyse, embed, here = Analyser.analyse, Models.embed, threading.local()

    def analyse_or_break(self: Analyser, jpeg: bytes, *arguments: Any, **named: Any) -> FrameResult:
        for words, error in RAISES.items():
            if jpeg.endswith(words):
                raise error
        here.is_broken = jpeg.endswith(NO_NUMBERS)
        return analyse(self, jpeg, *arguments, **named)

    def embed_or_break(self: Models, crops: Any) -> Any:
        features = embed(self, crops)
        is_broken = getattr(here, "is_broken", False)
        return np.full_like(features, np.nan) if is_broken else features

    monkeypatch.setattr(Analyser, "analyse", analyse_or_break)
    monkeypatch.setattr(Models, "embed", embed_or_break)


def _workers() -> set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith("analyser-")}


@pytest.mark.slow
@pytest.mark.usefixtures("breaking")
async def test_what_breaks_costs_its_frame_and_the_workers_and_the_neighbour_go_on(
    own_site: Site,
) -> None:
    portrait = shared_data("lfw", "deepfunneled", "Alek_Wek", "Alek_Wek_0001.jpg").read_bytes()
    unlucky, calm = own_site.add_camera("unlucky"), own_site.add_camera("calm")
    armed(own_site, unlucky[0], calm[0])
    own_site.stop()
    settings = load_settings(
        own_site.folder / "cordon.toml", {"recognition": {"workers": WORKERS, "provider": "cpu"}}
    )
    told: list[tuple[bytes, str]] = []
    with structlog.testing.capture_logs() as logs:
        async with (
            asyncio.timeout(300),
            app.running(settings),
            channel_of(unlucky[1]) as one,
            channel_of(calm[1]) as other,
        ):
            breaks, goes_on = Stream(one), Stream(other)
            await breaks.hello()
            await goes_on.hello()
            for words in [*RAISES, NO_NUMBERS] * ROUNDS:
                lost, served = await asyncio.gather(
                    breaks.frame(portrait + words), goes_on.frame(portrait)
                )
                after = await breaks.frame(portrait)

                assert lost.outcome == REJECTED
                assert lost.matches == lost.faces.detected == 0
                told.append((words, lost.error.reason))
                assert (served.outcome, served.matches) == (PROCESSED, 1)
                assert (after.outcome, after.matches) == (PROCESSED, 1)
            workers = _workers()
            counts = await live_counts(own_site.admin, unlucky[0])

    reasons = {**dict.fromkeys(RAISES, "FRAME_FAILED"), NO_NUMBERS: "MODEL_FAILED"}
    assert told == [(words, reasons[words]) for words in [*RAISES, NO_NUMBERS] * ROUNDS]
    assert workers == {f"analyser-{number}" for number in range(WORKERS)}
    assert counts.frames_received == 2 * len(told)
    assert counts.frames_rejected == counts.frames_processed == len(told)
    events = Counter(each["event"] for each in logs)
    assert events["worker.restarted"] == ROUNDS
    assert events["frame.failed"] == len(told)
