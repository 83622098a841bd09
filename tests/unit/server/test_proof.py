from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from cordon_server.domain import FaceCounts, Frame, FrameResult, NotReady, Template
from cordon_server.recognition.line import FrameFate, Outcome
from cordon_server.sessions.proof import Prover
from tests.unit.server.acts_kept import SITE
from tests.unit.server.live_rooms import LiveSite
from tests.unit.server.rooms import facing, picture

if TYPE_CHECKING:
    from cordon_server.domain import Image
    from cordon_server.gallery import Gallery
    from cordon_server.recognition.scheduler import Scheduler
    from cordon_server.recognition.zone import Zone

PEOPLE = [picture(10), picture(100), picture(200)]
LOOKED_AT = FrameResult(FaceCounts(searched=1), ())


@dataclass(frozen=True, slots=True)
class Seen:
    """What examining a picture gives."""

    template: Template
    face_jpeg: bytes
    crop: Image


class Examiner:
    """Reads pictures made by `picture`."""

    def examine(self, image: bytes, point: tuple[float, float] | None = None) -> Seen:
        degrees = float(image.split()[0])
        return Seen(facing(degrees), b"face of " + image, np.zeros((112, 112, 3), np.uint8))


@dataclass
class Recognition:
    """Answers each picture at once, the last as it is told to."""

    fate: FrameFate
    result: FrameResult | None
    _deliver: Callable[[Outcome], None] | None = None

    def open_mailbox(
        self,
        camera: str,
        gallery: Gallery,
        deliver: Callable[[Outcome], None],
        *,
        stills: bool,
        zone: Zone | None,
    ) -> Recognition:
        self._deliver = deliver
        return self

    def put(self, frame: Frame) -> None:
        assert self._deliver is not None
        if frame.jpeg == PEOPLE[-1]:
            self._deliver(Outcome(frame, self.fate, self.result))
        else:
            self._deliver(Outcome(frame, FrameFate.PROCESSED, LOOKED_AT))

    def close(self) -> None:
        return


class Signer:
    """Signs nothing."""

    def sign(self, text: str) -> str:
        return text


def a_prover(site: LiveSite, data: Path, fate: FrameFate, result: FrameResult | None) -> Prover:
    return Prover(
        site.opener,
        Examiner(),
        cast("Scheduler", Recognition(fate, result)),
        Signer(),
        data=data,
        site=SITE,
        clock=site.clock,
    )


@pytest.mark.serves("R2")
async def test_what_recognition_has_looked_at_is_proven_to_be_gone(
    live_site: LiveSite, tmp_path: Path
) -> None:
    prover = a_prover(live_site, tmp_path, FrameFate.PROCESSED, LOOKED_AT)

    proof = await prover.prove(PEOPLE)

    assert proof.is_forgotten
    assert live_site.opener.kept() == set()


@pytest.mark.serves("R2")
@pytest.mark.parametrize(
    ("fate", "result"),
    [
        (FrameFate.EXPIRED, None),
        (FrameFate.REJECTED, None),
        (FrameFate.PROCESSED, FrameResult(FaceCounts(too_small=1), ())),
    ],
    ids=["expired", "rejected", "too small"],
)
async def test_of_a_face_that_recognition_has_not_looked_at_nothing_is_proven(
    live_site: LiveSite, tmp_path: Path, fate: FrameFate, result: FrameResult | None
) -> None:
    prover = a_prover(live_site, tmp_path, fate, result)

    with pytest.raises(NotReady, match="looked at 2 of the 3 faces"):
        await prover.prove(PEOPLE)

    assert live_site.opener.kept() == set()
