"""A camera's test before use: what it answers, to whom, within which bounds, and what stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest
from google.protobuf.json_format import MessageToDict

from cordon.v1 import measurement_pb2 as pb
from cordon_server.acts import AuditClass
from cordon_server.api.measurement import MeasurementServicer
from cordon_server.authority import terms
from cordon_server.authority.policy import MeasurementPolicy
from cordon_server.authority.records import State
from cordon_server.domain import (
    VOLUNTEER,
    CordonError,
    FaceCounts,
    Frame,
    FrameResult,
    InvalidFrame,
    NotNow,
    Sighting,
)
from cordon_server.gallery import Gallery
from cordon_server.identity.names import PersonRole
from cordon_server.recognition.limits import PREFLIGHT_PICTURES_MAX
from cordon_server.recognition.line import FrameFate, Outcome
from cordon_server.recognition.scheduler import Scheduler
from cordon_server.recognition.zone import Zone
from cordon_server.sessions import preflight
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.preflight import KnownPicture, Missed, Preflights, why_missed
from tests.unit.server.authority_rooms import APPROVER
from tests.unit.server.live_rooms import LiveSite
from tests.unit.server.rooms import a_sighting
from tests.unit.server.test_match_servicer import CONTEXT, sit_down
from tests.unit.server.test_volunteers import enrol_volunteer

PARENT, CAMERA = "deployments/market", "cameras/north"
REQUEST_ID = "0f7a1c9e-3d52-4d0e-9b55-1f1f6f5c0a28"


def seen(*entries: str, **counts: int) -> FrameResult:
    """A picture that shows these subjects and nothing else that was searched."""
    sightings: list[Sighting] = [
        replace(each, candidate=replace(each.candidate, category=VOLUNTEER))
        for each in map(a_sighting, entries)
    ]
    return FrameResult(FaceCounts(**(counts or {"searched": len(entries)})), tuple(sightings))


PICTURES: dict[bytes, FrameResult | CordonError] = {
    b"found": seen("v-1", "s-1"),
    b"somebody else": seen("s-1"),
    b"empty": seen(searched=0),
    b"far": seen(too_small=2),
    b"blurred": seen(too_poor=1, too_small=1),
    b"beside": seen(outside_zone=1),
    b"no frame": InvalidFrame("this is no JPEG", reason="NOT_A_JPEG"),
    b"device": NotNow("later", reason="NOT_RECOGNISING"),
}


@dataclass
class Recognition:
    """Answers each picture at once with what it is known to show."""

    opened: list[tuple[str, Gallery, Zone | None]] = field(default_factory=list)
    shown: list[bytes] = field(default_factory=list)
    closed: int = 0
    after: Callable[[], None] = lambda: None
    """Is called when a picture has been shown."""
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
        assert stills
        self.opened.append((camera, gallery, zone))
        self._deliver = deliver
        return self

    def put(self, frame: Frame) -> None:
        assert self._deliver is not None
        self.shown.append(frame.jpeg)
        made = PICTURES[frame.jpeg]
        if isinstance(made, FrameResult):
            self._deliver(Outcome(frame, FrameFate.PROCESSED, made))
        else:
            self._deliver(Outcome(frame, FrameFate.REJECTED, error=made))
        self.after()

    def close(self) -> None:
        self.closed += 1


@dataclass
class Desk:
    """A supervisor's, beside an authorised deployment with a volunteer."""

    site: LiveSite
    opened: OpenDeployment
    recognition: Recognition
    preflights: Preflights
    servicer: MeasurementServicer

    async def test(
        self, *pictures: bytes | tuple[str, bytes], camera: str = CAMERA, **start: Any
    ) -> pb.PreflightCameraResponse:
        first = pb.PreflightStart(parent=PARENT, camera=camera, **start)
        return await self.send(
            pb.PreflightCameraRequest(start=first),
            *(
                pb.PreflightCameraRequest(
                    picture=pb.PreflightPicture(external_ref=reference, jpeg=jpeg)
                )
                for reference, jpeg in map(_named, pictures)
            ),
        )

    async def send(self, *requests: pb.PreflightCameraRequest) -> pb.PreflightCameraResponse:
        return await self.servicer.PreflightCamera(_stream(requests), CONTEXT)

    @property
    def tests_on_record(self) -> int:
        return self.site.acts.actions.count("measurement.preflight")


def _named(picture: bytes | tuple[str, bytes]) -> tuple[str, bytes]:
    return picture if isinstance(picture, tuple) else ("v-1", picture)


async def _stream(
    requests: Iterable[pb.PreflightCameraRequest],
) -> AsyncIterator[pb.PreflightCameraRequest]:
    for each in requests:
        yield each


async def sit(site: LiveSite, *, authorised: bool = True, wait_s_max: float = 30.0) -> Desk:
    opened = await site.draft("market", "north")
    await enrol_volunteer(opened)
    if authorised:
        await site.authorise()
    sit_down("sue", PersonRole.SUPERVISOR)
    recognition = Recognition()
    preflights = Preflights(
        cast(Scheduler, recognition), site.acts, clock=site.clock, wait_s_max=wait_s_max
    )
    servicer = MeasurementServicer(site.live, preflights, clock=site.clock)
    return Desk(site, opened, recognition, preflights, servicer)


@pytest.mark.serves("R28")
async def test_known_pictures_give_the_rate_at_which_the_camera_recognises(
    live_site: LiveSite,
) -> None:
    desk = await sit(live_site)

    told = await desk.test(b"found", b"found", b"empty", b"far", b"blurred", b"beside")

    assert (told.recognised.count, told.recognised.total) == (2, 6)
    assert 0 < told.recognised.low < 1 / 3 < told.recognised.high < 1
    assert (told.volunteers.count, told.volunteers.total) == (1, 1)
    missed = (told.no_face, told.outside_zone, told.too_small, told.too_poor)
    assert missed == (1, 1, 1, 1)
    assert (told.below_threshold, told.threshold) == (0, desk.opened.record.threshold)
    assert desk.recognition.opened == [("north", desk.opened.gallery, None)]
    assert desk.recognition.closed == 1


@pytest.mark.serves("R7", "R28")
async def test_faces_are_looked_for_in_the_cameras_own_zone(live_site: LiveSite) -> None:
    desk = await sit(live_site)
    corners = ((0.0, 0.0), (0.5, 1.0))
    zones = (terms.Zone("south", ((0.2, 0.2), (0.3, 0.3))), terms.Zone("north", corners))
    desk.opened.record = msgspec.structs.replace(desk.opened.record, zones=zones)

    await desk.test(b"found")

    assert desk.recognition.opened == [("north", desk.opened.gallery, Zone(corners))]


@pytest.mark.serves("R1", "R28")
async def test_of_whoever_else_is_in_a_picture_nothing_is_told_recorded_counted_or_logged(
    live_site: LiveSite,
) -> None:
    desk = await sit(live_site)
    counted, head = desk.opened.tally.now, desk.opened.log.head

    told = await desk.test(b"somebody else", b"found")

    assert MessageToDict(told).keys() == {
        "recognised",
        "volunteers",
        "belowThreshold",
        "threshold",
    }
    assert told.below_threshold == 1
    assert (desk.opened.tally.now, desk.opened.log.head) == (counted, head)
    assert desk.opened.matches.drift.camera("north").baseline.tracks == 0
    assert not [act for act in live_site.acts.acts if act.action.startswith(("match", "volunteer"))]
    (act,) = (act for act in live_site.acts.acts if act.action == "measurement.preflight")
    assert (act.kind, act.resource, act.personal) == (
        AuditClass.COLLECTION,
        PARENT,
        {"person": "sue"},
    )
    assert act.facts == {
        "camera": "north",
        "pictures": 2,
        "recognised": 1,
        "no_face": 0,
        "outside_zone": 0,
        "too_small": 0,
        "too_poor": 0,
        "below_threshold": 1,
        "volunteers": 1,
        "volunteers_recognised": 1,
        "threshold": round(desk.opened.record.threshold, 4),
    }


@pytest.mark.serves("R28")
@pytest.mark.parametrize("state", ["authorised", "armed", "halted"])
async def test_a_camera_is_tested_before_and_during_use(live_site: LiveSite, state: str) -> None:
    desk = await sit(live_site, authorised=False)
    if state == "authorised":
        await live_site.authorise()
    else:
        await live_site.arm()
    if state == "halted":
        await live_site.halt()

    assert (await desk.test(b"found")).recognised.count == 1


@pytest.mark.serves("R7", "R28")
async def test_before_somebody_has_signed_and_after_the_authority_nobody_is_looked_for(
    live_site: LiveSite,
) -> None:
    desk = await sit(live_site, authorised=False)
    assert await _refusal(desk.test(b"found")) == "NOT_AUTHORISED"
    await live_site.authorise()
    live_site.clock.now = desk.opened.record.until

    assert await _refusal(desk.test(b"found")) == "AUTHORITY_EXPIRED"
    assert desk.recognition.shown == []
    assert desk.tests_on_record == 0


@pytest.mark.serves("R28")
async def test_a_deployment_that_ends_meanwhile_ends_the_test(live_site: LiveSite) -> None:
    desk = await sit(live_site)

    def end() -> None:
        live_site.clock.now += timedelta(days=2)

    desk.recognition.after = end

    assert await _refusal(desk.test(b"found", b"found")) == "AUTHORITY_EXPIRED"
    assert desk.recognition.shown == [b"found"]
    assert desk.recognition.closed == 1


@pytest.mark.serves("R28")
@pytest.mark.parametrize(
    ("pictures", "reason"),
    [
        ([("s-1", b"found")], "NO_VOLUNTEER"),
        ([("nobody", b"found")], "NOT_FOUND"),
        ([b"no frame"], "NOT_A_JPEG"),
        ([b"device"], "NOT_RECOGNISING"),
        ([], "INVALID_INPUT"),
    ],
)
async def test_only_frames_of_volunteers_are_looked_at(
    live_site: LiveSite, pictures: list[Any], reason: str
) -> None:
    desk = await sit(live_site)

    assert await _refusal(desk.test(*pictures)) == reason
    assert desk.tests_on_record == 0
    assert b"found" not in desk.recognition.shown


async def test_a_camera_of_another_deployment_is_not_tested(live_site: LiveSite) -> None:
    desk = await sit(live_site)

    with pytest.raises(CordonError, match="its cameras are: north"):
        await desk.test(b"found", camera="cameras/south")


async def test_a_test_begins_with_its_start_and_has_one(live_site: LiveSite) -> None:
    desk = await sit(live_site)
    start = pb.PreflightCameraRequest(start=pb.PreflightStart(parent=PARENT, camera=CAMERA))
    picture = pb.PreflightCameraRequest(
        picture=pb.PreflightPicture(external_ref="v-1", jpeg=b"found")
    )

    for requests in ([], [picture], [start, start]):
        assert await _refusal(desk.send(*requests)) == "INVALID_INPUT"


@pytest.mark.serves("R28")
async def test_a_test_has_as_many_pictures_and_bytes_as_are_allowed_and_no_more(
    live_site: LiveSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await sit(live_site)
    whole = [b"found"] * PREFLIGHT_PICTURES_MAX
    assert (await desk.test(*whole)).recognised.total == PREFLIGHT_PICTURES_MAX
    assert await _refusal(desk.test(*whole, b"found")) == "PREFLIGHT_TOO_LARGE"

    monkeypatch.setattr(preflight, "PREFLIGHT_BYTES_MAX", 2 * len(b"found"))

    assert (await desk.test(b"found", b"found")).recognised.total == 2
    assert await _refusal(desk.test(b"found", b"blurred")) == "PREFLIGHT_TOO_LARGE"
    assert desk.tests_on_record == 2


@pytest.mark.serves("R28")
async def test_a_deployment_has_one_test_at_a_time_which_does_not_wait_for_ever(
    live_site: LiveSite,
) -> None:
    desk = await sit(live_site, wait_s_max=0.2)

    async def silent() -> AsyncIterator[KnownPicture]:
        yield KnownPicture("v-1", b"found")
        await asyncio.Event().wait()

    testing = desk.preflights.run(desk.opened, "north", silent(), "sue")
    first = asyncio.create_task(_refusal(testing))
    while not desk.recognition.shown:
        await asyncio.sleep(0)

    assert await _refusal(desk.test(b"found")) == "PREFLIGHT_RUNNING"
    assert await first == "PREFLIGHT_SILENT"
    assert (await desk.test(b"found")).recognised.count == 1


@pytest.mark.serves("R28")
async def test_a_deployment_is_armed_on_the_newest_test_of_each_camera_under_its_own_authority(
    live_site: LiveSite,
) -> None:
    policy = live_site.deployments.policy
    live_site.deployments.policy = msgspec.structs.replace(
        policy, measurement=MeasurementPolicy(preflight_tpir_min=0.75)
    )
    desk = await sit(live_site)
    enough, arm = [b"found"] * 15, live_site.moves.arm

    await desk.test(*enough, *[b"empty"] * 5)
    assert (await arm("market", APPROVER, dry_run=True)).state is State.ARMED
    await desk.test(*enough, *[b"empty"] * 6)
    assert await _refusal(arm("market", APPROVER, dry_run=False)) == "CAMERA_BELOW_TPIR"
    await desk.test(*enough, *[b"found"] * 5)
    await live_site.enrol(desk.opened, "s-2", 150)
    live_site.clock.now += timedelta(seconds=1)
    await live_site.authorise()
    assert await _refusal(arm("market", APPROVER, dry_run=False)) == "CAMERA_NOT_TESTED"
    await desk.test(*enough, *[b"found"] * 5)

    assert (await arm("market", APPROVER, dry_run=False)).state is State.ARMED


@pytest.mark.serves("R12", "R28")
async def test_what_cannot_be_recorded_is_not_told(live_site: LiveSite) -> None:
    desk = await sit(live_site)
    live_site.acts.full = {"measurement.preflight"}

    assert await _refusal(desk.test(b"found")) == "NOT_RECORDED"


async def test_a_trial_checks_who_is_named_and_looks_at_nothing(live_site: LiveSite) -> None:
    desk = await sit(live_site)

    told = await desk.test(b"found", validate_only=True)

    assert told == pb.PreflightCameraResponse()
    assert await _refusal(desk.test(("s-1", b"found"), validate_only=True)) == "NO_VOLUNTEER"
    assert desk.recognition.shown == []
    assert desk.tests_on_record == 0


async def test_the_same_request_again_is_answered_and_not_tested_again(live_site: LiveSite) -> None:
    desk = await sit(live_site)

    first = await desk.test(b"found", b"empty", request_id=REQUEST_ID)
    again = await desk.test(b"found", b"empty", request_id=REQUEST_ID)

    assert first == again
    assert desk.tests_on_record == 1
    assert len(desk.recognition.shown) == 2


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (FaceCounts(), Missed.NO_FACE),
        (FaceCounts(outside_zone=1), Missed.OUTSIDE_ZONE),
        (FaceCounts(outside_zone=1, too_small=1), Missed.TOO_SMALL),
        (FaceCounts(too_small=1, too_poor=1), Missed.TOO_POOR),
        (FaceCounts(too_poor=1, searched=1), Missed.BELOW_THRESHOLD),
    ],
)
def test_a_miss_is_told_by_the_face_that_came_furthest(counts: FaceCounts, why: Missed) -> None:
    assert why_missed(counts) is why


async def _refusal(call: Any) -> str:
    with pytest.raises(CordonError) as refused:
        await call
    return refused.value.reason
