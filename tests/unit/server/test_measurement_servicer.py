"""Known cases over the wire: who places them, what is refused, and that nobody can tell."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from cordon.v1 import deployment_pb2, match_pb2
from cordon.v1 import measurement_pb2 as pb
from cordon_server.api.convert import timestamp
from cordon_server.api.deployments import DeploymentServicer
from cordon_server.api.matches import MatchServicer
from cordon_server.domain import CordonError
from cordon_server.identity.names import PersonRole
from cordon_server.matches.receipts import Receipts
from cordon_server.sessions.camera import CameraSession
from tests.unit.server.live_rooms import LiveSite, heard, measuring, no_ceiling
from tests.unit.server.rooms import NOON, a_frame, picture
from tests.unit.server.test_match_servicer import CONTEXT, sit_down
from tests.unit.server.test_volunteers import enrol_volunteer

PARENT = "deployments/market"
CAMERA_TIME = NOON + timedelta(seconds=9)
"""Its clock is ahead."""


def a_case(**changed: object) -> pb.SeedCaseRequest:
    request = pb.SeedCaseRequest(
        parent=PARENT,
        external_ref="s-1",
        camera="cameras/north",
        image=picture(12),
        same_person=True,
    )
    for field, value in changed.items():
        setattr(request, field, value)
    return request


async def streaming(site: LiveSite, *, with_volunteer: bool = False) -> CameraSession:
    """An armed deployment with one match and a camera that streams into it."""
    opened = await site.draft("market", "north")
    if with_volunteer:
        await enrol_volunteer(opened)
    await site.arm()
    session = await site.connect()
    session.offer(a_frame(7, captured_at=CAMERA_TIME), NOON)
    site.answered("north", "s-1")
    await heard(session)
    sit_down("sue", PersonRole.SUPERVISOR)
    return session


@pytest.mark.serves("R27")
async def test_a_case_looks_like_a_match_to_operators_and_is_reported_to_supervisors(
    live_site: LiveSite,
) -> None:
    await streaming(live_site)
    receipts = cast(Receipts, None)
    matches = MatchServicer(live_site.live, receipts, no_ceiling(), subscribers_max=3)
    measurement = measuring(live_site)

    trial = await measurement.SeedCase(a_case(validate_only=True), CONTEXT)
    placed = await measurement.SeedCase(a_case(), CONTEXT)

    assert (trial.match, placed.match) == ("", f"{PARENT}/matches/2")
    sit_down("anna")
    listed = await matches.ListMatches(match_pb2.ListMatchesRequest(parent=PARENT), CONTEXT)
    real, case = listed.matches
    assert [field.name for field, _ in case.ListFields()] == [
        field.name for field, _ in real.ListFields()
    ]
    assert case.frame_sequence == 7
    assert case.captured_at == real.captured_at == timestamp(CAMERA_TIME)
    images = await matches.GetMatchImages(
        match_pb2.GetMatchImagesRequest(name=placed.match), CONTEXT
    )
    assert images.probes[0].jpeg == b"face of " + picture(12)
    report = await measurement.GetShiftReport(pb.GetShiftReportRequest(parent=PARENT), CONTEXT)
    assert not report.results


@pytest.mark.serves("R27")
async def test_a_deployment_counts_as_many_matches_as_people_see(live_site: LiveSite) -> None:
    await streaming(live_site)
    await measuring(live_site).SeedCase(a_case(), CONTEXT)
    unused = cast(Any, None)
    servicer = DeploymentServicer(
        live_site.deployments,
        live_site.live,
        live_site.moves,
        live_site.stops,
        unused,
        unused,
        unused,
        publisher=unused,
        threshold_default=0.5,
        check_user=unused,
        on_assigned=unused,
    )
    matches = MatchServicer(live_site.live, unused, no_ceiling(), subscribers_max=3)
    sit_down("anna")

    shown = await servicer.GetDeployment(deployment_pb2.GetDeploymentRequest(name=PARENT), CONTEXT)

    listed = await matches.ListMatches(match_pb2.ListMatchesRequest(parent=PARENT), CONTEXT)
    assert shown.deployment.match_count == len(listed.matches) == 2


@pytest.mark.serves("R27")
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"camera": "cameras/south"}, "NOT_STREAMING"),
        ({"external_ref": "nobody"}, "NOT_FOUND"),
        ({"external_ref": "v-1"}, "NEVER_AN_ALERT"),
        ({"image": picture(10)}, "ENROLLED_PICTURE"),
        ({"image": b"no face"}, "UNUSABLE_PICTURE"),
    ],
)
async def test_a_case_that_would_be_known_for_one_is_refused(
    live_site: LiveSite, changed: dict[str, object], reason: str
) -> None:
    await streaming(live_site, with_volunteer=True)
    servicer = measuring(live_site)

    with pytest.raises(CordonError) as refused:
        await servicer.SeedCase(a_case(**changed), CONTEXT)

    assert refused.value.reason == reason


@pytest.mark.serves("R13")
async def test_a_case_that_a_halt_overtakes_is_not_placed(
    live_site: LiveSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    await streaming(live_site)
    opened = await live_site.live.opened("market")
    examine = opened.watchlist.examine

    async def halted_meanwhile(*given: Any) -> object:
        await live_site.halt()
        return await examine(*given)

    monkeypatch.setattr(opened.watchlist, "examine", halted_meanwhile)
    servicer = measuring(live_site)

    with pytest.raises(CordonError) as refused:
        await servicer.SeedCase(a_case(), CONTEXT)

    assert refused.value.reason == "NOT_ARMED"
    assert opened.log.head == 1


async def test_there_are_no_cases_where_nothing_is_armed(live_site: LiveSite) -> None:
    await live_site.draft("market", "north")
    sit_down("sue", PersonRole.SUPERVISOR)

    with pytest.raises(CordonError) as refused:
        await measuring(live_site).SeedCase(a_case(), CONTEXT)

    assert refused.value.reason == "NOT_ARMED"
