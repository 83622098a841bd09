"""Drift alarms: raised once, on record before they are seen, cleared, kept; and of nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cordon.v1 import measurement_pb2 as pb
from cordon_control.drift import records
from cordon_server.acts import AuditClass
from cordon_server.api.convert import timestamp
from cordon_server.domain import FaceCounts, FrameResult, Passed, Sighting, sums
from cordon_server.matches.drift import BASELINE_TRACKS, WINDOW_TRACKS, Measure
from cordon_server.recognition.scheduler import FrameFate, Outcome
from cordon_server.sessions.camera import CameraSession
from cordon_server.sessions.deployment import OpenDeployment
from tests.unit.server.live_rooms import LiveSite, heard, measuring
from tests.unit.server.rooms import NOON, a_frame, a_sighting
from tests.unit.server.test_match_servicer import CONTEXT, sit_down

PARENT = "deployments/market"


def people(count: int, *, quality: float = 0.6, score: float = 0.3) -> Passed:
    """So many, half of them a little above and half of them a little below."""
    about = [0.05, -0.05] * (count // 2)
    return Passed(sums(quality + each for each in about), sums(score + each for each in about))


async def show(
    site: LiveSite, session: CameraSession, passed: Passed | None, *sightings: Sighting
) -> None:
    """One frame of the camera, after which they are gone."""
    newest = session.newest[0] if session.newest else 0
    session.offer(a_frame(newest + 1), NOON)
    mailbox = site.scheduler.mailboxes["north"]
    result = FrameResult(FaceCounts(searched=len(sightings)), sightings, passed)
    mailbox.deliver(Outcome(mailbox.frames.pop(0), FrameFate.PROCESSED, result))
    await heard(session)


async def pass_by(
    site: LiveSite, session: CameraSession, count: int, *, quality: float = 0.6
) -> None:
    """People pass, some in each frame, until what they make is compared."""
    opened = await site.live.opened("market")
    before = opened.matches.drift.camera("north")
    for _ in range(count // 10):
        await show(site, session, people(10, quality=quality))
    async with opened.matches.drift._comparing:  # A comparison that has begun is over.
        pass
    assert opened.matches.drift.camera("north") != before


def alarms(site: LiveSite) -> list[str]:
    return [each for each in site.acts.actions if each.startswith("measurement.drift")]


async def with_baseline(site: LiveSite) -> tuple[OpenDeployment, CameraSession]:
    opened = await site.armed("market", "north", "south")
    session = await site.connect()
    await pass_by(site, session, BASELINE_TRACKS)
    return opened, session


@pytest.mark.serves("R28")
async def test_a_camera_that_sees_worse_raises_one_alarm_which_is_on_record_and_then_clears(
    live_site: LiveSite,
) -> None:
    _, session = await with_baseline(live_site)
    await pass_by(live_site, session, WINDOW_TRACKS)
    assert alarms(live_site) == []

    await pass_by(live_site, session, WINDOW_TRACKS, quality=0.4)
    await pass_by(live_site, session, WINDOW_TRACKS, quality=0.4)

    assert alarms(live_site) == ["measurement.drift"]
    act = next(act for act in live_site.acts.acts if act.action == "measurement.drift")
    assert (act.kind, act.resource, act.personal) == (AuditClass.NONE, PARENT, {})
    assert act.facts == {
        "camera": "north",
        "measure": "quality",
        "baseline": 0.6,
        "current": 0.4,
        "windows": 2,
    }
    await pass_by(live_site, session, WINDOW_TRACKS)
    assert alarms(live_site) == ["measurement.drift"]
    await pass_by(live_site, session, WINDOW_TRACKS)
    assert alarms(live_site) == ["measurement.drift", "measurement.drift_cleared"]


@pytest.mark.serves("R28")
async def test_alerts_that_come_much_oftener_than_at_first_raise_an_alarm(
    live_site: LiveSite,
) -> None:
    opened, session = await with_baseline(live_site)
    opened.matches.drift.alerted("north", 12)
    await pass_by(live_site, session, WINDOW_TRACKS)

    assert [act.facts["measure"] for act in live_site.acts.acts if "drift" in act.action] == [
        "alerts"
    ]


@pytest.mark.serves("R28")
async def test_an_alert_counts_once_and_a_better_look_at_it_does_not(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    await show(live_site, session, people(2), replace(a_sighting("s-1", 0.7), track=1))
    await show(live_site, session, people(2), replace(a_sighting("s-1", 0.9), track=1))

    seen = opened.matches.drift.camera("north").baseline
    assert (seen.tracks, seen.alerts) == (4, 1)


@pytest.mark.serves("R28")
async def test_an_alarm_that_cannot_be_recorded_is_not_seen_and_comes_with_the_next_window(
    live_site: LiveSite,
) -> None:
    opened, session = await with_baseline(live_site)
    live_site.acts.full = {"measurement.drift"}
    await pass_by(live_site, session, WINDOW_TRACKS, quality=0.4)
    assert opened.matches.drift.camera("north").alarms == {}

    live_site.acts.full = set()
    await pass_by(live_site, session, WINDOW_TRACKS, quality=0.4)

    assert set(opened.matches.drift.camera("north").alarms) == {Measure.QUALITY}


@pytest.mark.serves("R28")
async def test_the_baseline_and_the_alarms_outlive_a_restart(live_site: LiveSite) -> None:
    opened, session = await with_baseline(live_site)
    await pass_by(live_site, session, WINDOW_TRACKS, quality=0.4)
    before = opened.matches.drift.camera("north")

    session.close()
    await live_site.live.close()
    again = await live_site.live.opened("market")

    assert again.matches.drift.camera("north") == before
    assert before.windows == 1
    assert set(before.alarms) == {Measure.QUALITY}


@pytest.mark.serves("R28")
async def test_people_of_a_video_that_is_not_tracked_are_not_counted(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    session.counts_people = False
    await show(live_site, session, people(10), a_sighting("s-1"))

    assert opened.matches.drift.camera("north").baseline.tracks == 0
    assert opened.matches.drift.camera("north").baseline.alerts == 0


@pytest.mark.serves("R1", "R28")
async def test_the_control_room_reads_means_of_many_and_nothing_of_anyone(
    live_site: LiveSite,
) -> None:
    _, session = await with_baseline(live_site)
    await pass_by(live_site, session, WINDOW_TRACKS, quality=0.4)
    servicer = measuring(live_site)
    sit_down("anna")

    told = await servicer.ListCameraDrifts(pb.ListCameraDriftsRequest(parent=PARENT), CONTEXT)

    north, south = told.drifts
    assert (north.camera, north.baseline_people, north.windows) == ("cameras/north", 500, 1)
    quality, score, alerts = north.measures
    assert (round(quality.baseline, 3), round(quality.current, 3)) == (0.6, 0.4)
    assert quality.alarm_time == timestamp(NOON)
    assert not score.HasField("alarm_time")
    assert (alerts.baseline, alerts.current) == (0.0, 0.0)
    assert (south.baseline_people, south.windows) == (0, 0)
    rows = [*records(north), *records(south)]
    assert [row["state"] for row in rows] == [
        *("ALARM", "as at first", "as at first"),
        *["baseline: 0 of 500 people"] * 3,
    ]
    assert (rows[3]["baseline"], rows[3]["current"]) == (None, None)


@pytest.mark.serves("R1", "R28")
async def test_of_the_first_few_nothing_is_told_but_how_many_they_are(live_site: LiveSite) -> None:
    await live_site.armed()
    session = await live_site.connect()
    await pass_by(live_site, session, BASELINE_TRACKS - 10, quality=0.6)
    sit_down("anna")

    told = await measuring(live_site).ListCameraDrifts(
        pb.ListCameraDriftsRequest(parent=PARENT), CONTEXT
    )

    assert [each.baseline_people for each in told.drifts] == [BASELINE_TRACKS - 10]
    assert not [each for each in told.drifts[0].measures if each.HasField("baseline")]
