"""What a frame raised is in the log before its camera hears of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cordon_server.domain import NotReady, StorageFull
from cordon_server.matches.places import Verdict
from cordon_server.matches.records import Decision, Ground
from cordon_server.matches.views import picture_id
from cordon_server.recognition.decide import DecisionRule
from cordon_server.recognition.scheduler import FrameFate, Outcome
from cordon_server.sessions.camera import Halted
from cordon_server.sessions.visits import Visits
from tests.unit.server.live_rooms import LiveSite, heard
from tests.unit.server.matching import ANNA
from tests.unit.server.rooms import NOON, a_frame, a_sighting, facing


async def test_a_match_is_in_the_log_before_its_frame_is_answered(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    session.offer(a_frame(1), NOON)

    live_site.answered("north", "s-1")

    answer = await heard(session)
    assert isinstance(answer, Outcome)
    assert (await opened.log.get(1)).entry_id == "s-1"
    assert answer.fate is FrameFate.PROCESSED
    assert answer.result is not None
    assert len(answer.result.sightings) == 1


async def test_a_frame_without_matches_is_answered_without_the_log(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    session.offer(a_frame(1), NOON)

    live_site.answered("north")

    assert isinstance(await heard(session), Outcome)
    assert opened.log.head == 0


async def test_who_was_removed_while_the_frame_was_in_work_is_not_logged(
    live_site: LiveSite,
) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    session.offer(a_frame(1), NOON)
    await opened.watchlist.remove("s-1", dry_run=False)

    live_site.answered("north", "s-1")

    answer = await heard(session)
    assert isinstance(answer, Outcome)
    assert answer.result is not None
    assert answer.result.sightings == ()
    assert opened.log.head == 0


async def test_a_match_after_the_window_is_neither_logged_nor_told(live_site: LiveSite) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    session.offer(a_frame(1), NOON)
    live_site.clock.advance(hours=24)

    live_site.answered("north", "s-1")

    answer = await heard(session)
    assert isinstance(answer, Outcome)
    assert (answer.fate, answer.result) == (FrameFate.REJECTED, None)
    assert isinstance(answer.error, NotReady)
    assert opened.log.head == 0


async def test_a_match_of_a_deployment_that_has_ended_is_neither_logged_nor_told(
    live_site: LiveSite,
) -> None:
    await live_site.armed()
    session = await live_site.connect()
    session.offer(a_frame(1), NOON)
    await live_site.end()
    assert isinstance(await heard(session), Halted)

    live_site.answered("north", "s-1")

    answer = await heard(session)
    assert isinstance(answer, Outcome)
    assert answer.fate is FrameFate.REJECTED


async def test_a_match_that_the_disk_had_no_room_for_is_logged_when_it_is_offered_again(
    live_site: LiveSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    seen = replace(a_sighting("s-1"), track=7)

    async def is_full(act: object) -> None:
        raise StorageFull("there is no room left")

    session.offer(a_frame(1), NOON)
    with monkeypatch.context() as full:
        full.setattr(opened.environment, "write", is_full)
        live_site.saw("north", seen)
        lost = await heard(session)
    session.offer(a_frame(2), NOON)
    live_site.saw("north", seen)
    found = await heard(session)

    assert isinstance(lost, Outcome)
    assert (lost.fate, lost.result) == (FrameFate.REJECTED, None)
    assert isinstance(lost.error, StorageFull)
    assert isinstance(found, Outcome)
    assert found.result is not None
    assert len(found.result.sightings) == 1
    assert (await opened.log.get(1)).frame_sequence == 2


async def test_a_frame_in_work_when_its_camera_leaves_betters_its_match_and_is_forgotten(
    live_site: LiveSite,
) -> None:
    opened = await live_site.armed()
    session = await live_site.connect()
    for sequence in (1, 2):
        session.offer(a_frame(sequence), NOON)
    live_site.saw("north", replace(a_sighting("s-1", 0.6), track=7))
    await heard(session)

    session.close()
    live_site.saw("north", replace(a_sighting("s-1", 0.9), track=7))
    await opened.log.wait_beyond(1, 5)
    await heard(session)

    assert opened.log.head == 2
    assert (await opened.log.get(1)).revision == 1
    assert len(opened.visits) == 0


@pytest.mark.serves("R10")
async def test_a_face_judged_not_to_be_that_person_raises_no_match_again_on_any_track(
    live_site: LiveSite,
) -> None:
    opened = await live_site.armed()
    opened.visits = Visits(DecisionRule(cool_down_s=0))
    session = await live_site.connect()
    stranger = replace(a_sighting("s-1", 0.6), vector=facing(60).vector)
    session.offer(a_frame(1), NOON)
    live_site.saw("north", replace(stranger, track=1))
    await heard(session)
    review = opened.matches.review
    shown = await review.show(1, ANNA, [])
    pictures = frozenset(map(picture_id, shown))
    verdict = Verdict(Decision.FALSE, (Ground.FEATURES_DIFFER,), pictures)
    await review.judge(1, verdict, ANNA, [], dry_run=False)

    for sequence, track in ((2, 1), (3, 2)):
        session.offer(a_frame(sequence), NOON)
        seen = replace(stranger, track=track, vector=facing(58).vector)
        live_site.saw("north", seen)
        answer = await heard(session)
        assert isinstance(answer, Outcome)
        assert answer.result is not None
        assert answer.result.sightings == ()
    assert opened.log.head == 1
    session.offer(a_frame(4), NOON)
    listed = replace(a_sighting("s-1", 0.95), track=3, vector=facing(12).vector)
    live_site.saw("north", listed)
    await heard(session)

    assert opened.log.head == 2, "the listed person is found all the same"
