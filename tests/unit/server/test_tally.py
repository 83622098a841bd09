"""What a deployment's cameras showed is counted, kept, recorded, and held to the ceiling."""

from __future__ import annotations

import pytest

from cordon_server.acts import AuditClass
from cordon_server.authority.ceiling import Ceiling
from cordon_server.authority.records import State
from cordon_server.domain import FaceCounts, Frame, FrameResult, NotReady, NotRecorded
from cordon_server.matches.places import Verdict
from cordon_server.matches.records import Decision, Ground, SeedRecord
from cordon_server.matches.views import picture_id
from cordon_server.recognition.scheduler import FrameFate, Outcome
from cordon_server.sessions.camera import Halted
from cordon_server.sessions.ceiling_watch import CeilingWatch
from cordon_server.sessions.counting import Counting
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.tally import Tally
from tests.unit.server.live_rooms import LiveSite, heard
from tests.unit.server.matching import ANNA
from tests.unit.server.rooms import NOON, a_frame, a_sighting

CEILING = Ceiling(per_face=0.001, confidence=0.95)
COUNTS = FaceCounts(searched=2, too_small=1, shed=1, people=3, people_searched=2)


@pytest.mark.serves("R20")
async def test_what_the_frames_show_is_recorded_as_numbers(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    await _seen(live_site, opened, 1, 2)

    await Counting(lambda: [opened], live_site.acts).record_armed()

    act = live_site.acts.acts[-1]
    assert (act.action, act.kind) == ("deployment.counts", AuditClass.COMBINATION)
    assert act.personal == {}
    assert act.facts == {
        "frames": 2,
        "faces": 8,
        "searched": 4,
        "too_small": 2,
        "too_poor": 0,
        "shed": 2,
        "outside_zone": 0,
        "people": 6,
        "people_searched": 4,
        "matches": 0,
    }


async def test_only_what_is_armed_is_counted(live_site: LiveSite) -> None:
    draft = await live_site.draft("draft", "north")

    await Counting(lambda: [draft], live_site.acts).record_armed()

    assert "deployment.counts" not in live_site.acts.actions


@pytest.mark.serves("R20")
async def test_a_server_that_starts_again_counts_on(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    await _seen(live_site, opened, 1)
    await opened.tally.record(live_site.acts, "market", 0)

    again = Tally(opened.environment)

    assert again.now == opened.tally.now
    assert again.now.people == 3


@pytest.mark.serves("R20")
async def test_what_was_shown_until_a_halt_is_on_record_with_it(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    opened.tally.note(COUNTS)

    await live_site.halt("market")

    counted, halted = live_site.acts.acts[-2:]
    assert (counted.action, counted.facts["people"]) == ("deployment.counts", 3)
    assert halted.action == "deployment.halted"


async def test_what_a_full_record_refused_is_in_the_next(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    counting = Counting(lambda: [opened], live_site.acts)
    live_site.acts.full.add("deployment.counts")
    opened.tally.note(COUNTS)

    await counting.record_armed()
    with pytest.raises(NotRecorded):
        await opened.tally.record(live_site.acts, "market", 0)
    live_site.acts.full.clear()
    opened.tally.note(COUNTS)
    await counting.record_armed()

    assert live_site.acts.acts[-1].facts["frames"] == 2


@pytest.mark.serves("R16")
async def test_a_deployment_whose_alerts_are_false_is_suspended_after_the_third(
    live_site: LiveSite,
) -> None:
    opened = await live_site.armed()
    watch, suspended = _watch()
    opened.tally.note(FaceCounts(people=30, people_searched=30))

    found = [await _false_alert(opened, number, watch) for number in (1, 2, 3)]

    assert found == [False, False, True]
    assert suspended == ["market"]


@pytest.mark.serves("R16")
async def test_who_is_suspended_recognises_nobody_and_that_is_on_record(
    live_site: LiveSite,
) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    watch = CeilingWatch(CEILING, live_site.stops.suspend)
    opened.tally.note(FaceCounts(people=30, people_searched=30))

    for number in (1, 2, 3):
        await _false_alert(opened, number, watch)

    assert opened.record.state is State.HALTED
    assert isinstance(await heard(session), Halted)
    act = live_site.acts.acts[-1]
    assert (act.action, act.facts["cause"]) == ("deployment.suspended", "ceiling")
    with pytest.raises(NotReady):
        await live_site.connect()


@pytest.mark.serves("R16")
async def test_as_many_false_alerts_among_many_faces_suspend_nobody(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    watch, suspended = _watch()
    opened.tally.note(FaceCounts(people=10_000, people_searched=10_000))

    for number in (1, 2, 3):
        assert not await _false_alert(opened, number, watch)
    assert suspended == []


@pytest.mark.serves("R16")
async def test_true_alerts_and_known_cases_count_for_nothing(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    watch, suspended = _watch()
    opened.tally.note(FaceCounts(people=10, people_searched=10))

    for number in range(1, 5):
        await _judged(opened, number, Decision.TRUE)
        await watch.look(opened)
    for number in range(5, 9):
        await _judged(opened, number, Decision.FALSE, SeedRecord(is_true=False, user_id="sue"))
        await watch.look(opened)
    assert suspended == []


@pytest.mark.serves("R16")
async def test_who_lets_it_go_on_begins_a_test_afresh(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    watch, suspended = _watch()
    opened.tally.note(FaceCounts(people=30, people_searched=30))
    for number in (1, 2, 3):
        await _false_alert(opened, number, watch)

    opened.tally.note(FaceCounts(people=30, people_searched=30))
    again = [await _false_alert(opened, number, watch) for number in (4, 5, 6)]

    assert again == [False, False, True]
    assert suspended == ["market", "market"]
    assert len(opened.tally.now.false_alerts) == 6


@pytest.mark.serves("R16")
async def test_a_false_alert_counts_on_when_its_pictures_are_deleted(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    watch, _ = _watch()
    await _false_alert(opened, 1, watch)

    opened.tally.found_false([2, 3])

    assert opened.tally.now.false_alerts == (1, 2, 3)
    assert Tally(opened.environment).now.false_alerts == (1,)


def _watch() -> tuple[CeilingWatch, list[str]]:
    suspended: list[str] = []

    async def suspend(deployment_id: str) -> None:
        suspended.append(deployment_id)

    return CeilingWatch(CEILING, suspend), suspended


async def _false_alert(opened: OpenDeployment, number: int, watch: CeilingWatch) -> bool:
    await _judged(opened, number, Decision.FALSE)
    return await watch.look(opened)


async def _judged(
    opened: OpenDeployment, number: int, decision: Decision, seed: SeedRecord | None = None
) -> None:
    sighting = a_sighting("s-1")
    (match,) = await opened.log.append(a_frame(number), [sighting], seed=seed)
    ground = Ground.FEATURES_AGREE if decision is Decision.TRUE else Ground.FEATURES_DIFFER
    review = opened.matches.review
    shown = await review.show(match, ANNA, [])
    verdict = Verdict(decision, (ground,), frozenset(map(picture_id, shown)))
    await review.judge(match, verdict, ANNA, [], dry_run=False)


async def _seen(site: LiveSite, opened: OpenDeployment, *numbers: int) -> None:
    session = await site.connect()
    for number in numbers:
        session.offer(a_frame(number), NOON)
        mailbox = site.scheduler.mailboxes["north"]
        frame: Frame = mailbox.frames.pop(0)
        mailbox.deliver(Outcome(frame, FrameFate.PROCESSED, FrameResult(COUNTS, ())))
        await heard(session)
