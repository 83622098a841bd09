"""Volunteers: never alerts, and what they show of recognition."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon.v1 import measurement_pb2 as pb
from cordon_server.acts import Act
from cordon_server.api.convert import timestamp
from cordon_server.authority.watchlist_records import LawfulSource
from cordon_server.authority.watchlist_rules import Application, Particulars
from cordon_server.domain import VOLUNTEER, CordonError, NotListable, ReasonCode, Sighting
from cordon_server.matches.records import VolunteerRecord
from cordon_server.matches.volunteers import PASS_WINDOW, hourly_rates, recognised
from cordon_server.recognition.scheduler import Outcome
from cordon_server.sessions.deployment import OpenDeployment
from tests.unit.server.live_rooms import LiveSite, heard, measuring
from tests.unit.server.rooms import NOON, a_frame, a_sighting, picture
from tests.unit.server.test_match_servicer import CONTEXT, sit_down

PARENT = "deployments/market"


def a_volunteer() -> Sighting:
    sighting = a_sighting("v-1")
    return replace(sighting, candidate=replace(sighting.candidate, category=VOLUNTEER))


def at(
    hour: int, minute: int, second: int = 0, *, camera: str = "north", who: str = "v-1"
) -> VolunteerRecord:
    return VolunteerRecord(who, camera, datetime(2026, 1, 31, hour, minute, second, tzinfo=UTC))


@pytest.mark.serves("R28")
def test_a_pass_is_recognised_where_the_volunteer_was_seen_near_its_time_at_its_camera() -> None:
    passes = [at(10, 5), at(10, 50), at(11, 5), at(10, 20, camera="south"), at(10, 7, who="v-2")]
    seen = [at(10, 5, 29), at(10, 50, 31), at(11, 4, 30), at(10, 20), at(10, 7, camera="south")]

    hours = hourly_rates(passes, seen)
    rates = {(each.camera_id, each.hour.hour): each.recognised for each in hours}

    assert {place: (rate.count, rate.of) for place, rate in rates.items()} == {
        ("north", 10): (1, 3),
        ("north", 11): (1, 1),
        ("south", 10): (0, 1),
    }
    assert 0 < rates["north", 10].low < 1 / 3 < rates["north", 10].high < 1


def a_visit(first: VolunteerRecord, last: VolunteerRecord) -> VolunteerRecord:
    return msgspec.structs.replace(first, last=last.time)


@pytest.mark.serves("R28")
@pytest.mark.parametrize(
    ("declared", "is_found"),
    [
        (at(9, 59, 29), False),
        (at(9, 59, 30), True),
        (at(10, 3), True),
        (at(10, 4, 30), True),
        (at(10, 4, 31), False),
        (at(10, 3, camera="south"), False),
        (at(10, 3, who="v-2"), False),
    ],
)
def test_who_is_still_there_or_was_just_now_is_found(
    declared: VolunteerRecord, is_found: bool
) -> None:
    lingering = a_visit(at(10, 0), at(10, 4))

    assert recognised([declared], [lingering]) == [declared] * is_found


@pytest.mark.serves("R28")
def test_one_visit_counts_for_one_pass() -> None:
    passes = [at(10, 1), at(10, 3)]

    assert recognised(passes, [a_visit(at(10, 0), at(10, 5))]) == passes[:1]


@pytest.mark.serves("R28")
def test_a_long_visit_is_left_to_the_pass_that_has_no_other() -> None:
    passes = [at(10, 1), at(10, 3)]
    visits = [a_visit(at(10, 0), at(10, 5)), a_visit(at(10, 1), at(10, 1, 10))]

    assert recognised(passes, visits) == recognised(passes, visits[::-1]) == passes


seconds = st.integers(0, 300)
whose = st.sampled_from(["v-1", "v-2"])
some_passes = st.lists(st.builds(lambda who, s: at(10, s // 60, s % 60, who=who), whose, seconds))
some_visits = st.lists(
    st.builds(
        lambda visitor, lasts: a_visit(
            visitor, msgspec.structs.replace(visitor, time=visitor.time + timedelta(seconds=lasts))
        ),
        st.builds(lambda who, s: at(10, s // 60, s % 60, who=who), whose, seconds),
        st.integers(0, 120),
    ),
)


@pytest.mark.serves("R28")
@settings(max_examples=200, deadline=None)
@given(some_passes, some_visits)
def test_as_many_passes_are_recognised_as_there_are_visits_for(
    passes: list[VolunteerRecord], visits: list[VolunteerRecord]
) -> None:
    assert len(recognised(passes, visits)) == most_pairs(passes, visits)


def most_pairs(passes: list[VolunteerRecord], visits: list[VolunteerRecord]) -> int:
    """The size of the largest matching, by augmenting paths."""
    taken: dict[int, int] = {}

    def place(one: int, tried: set[int]) -> bool:
        for number, visit in enumerate(visits):
            if number in tried or not is_near(passes[one], visit):
                continue
            tried.add(number)
            if number not in taken or place(taken[number], tried):
                taken[number] = one
                return True
        return False

    return sum(place(one, set()) for one in range(len(passes)))


def is_near(one: VolunteerRecord, visit: VolunteerRecord) -> bool:
    early, late = visit.time - one.time, one.time - visit.end
    return one.entry_id == visit.entry_id and max(early, late) <= PASS_WINDOW


@pytest.mark.serves("R28")
async def test_who_lingers_is_recognised_when_the_pass_is_declared_late(
    live_site: LiveSite,
) -> None:
    opened = await live_site.draft("market", "north")
    await enrol_volunteer(opened)
    await live_site.arm()
    servicer = measuring(live_site)
    session = await live_site.connect()
    for second in range(0, 90, 3):
        now = live_site.clock.now
        session.offer(a_frame(second + 1, captured_at=now), now)
        live_site.saw("north", a_volunteer())
        await heard(session)
        live_site.clock.advance(seconds=3)
    sit_down("olga")

    await servicer.RecordPass(a_pass(), CONTEXT)
    live_site.clock.advance(seconds=70)
    await servicer.RecordPass(a_pass(), CONTEXT)

    (hour,) = (await servicer.GetTpir(pb.GetTpirRequest(parent=PARENT), CONTEXT)).rates
    assert (hour.recognised.count, hour.recognised.total) == (1, 2)
    assert [act.action for act in live_site.acts.acts].count("volunteer.recognised") == 1


@pytest.mark.serves("R28")
async def test_a_volunteer_is_recognised_once_a_visit_and_never_an_alert(
    live_site: LiveSite,
) -> None:
    opened = await live_site.draft("market", "north")
    await enrol_volunteer(opened)
    await live_site.arm()
    session = await live_site.connect()
    for sequence, seconds in ((1, 0), (2, 2), (3, 4), (4, 20)):
        moment = NOON + timedelta(seconds=seconds)
        session.offer(a_frame(sequence, captured_at=moment), NOON)
        live_site.saw("north", a_volunteer(), a_sighting("s-1"))
        answer = await heard(session)
        assert isinstance(answer, Outcome)
        assert answer.result is not None
        assert [each.candidate.entry_id for each in answer.result.sightings] == ["s-1"]

    assert {match.entry_id for _, match in await opened.log.after(0, 99) if match} == {"s-1"}
    actions = [act.action for act in live_site.acts.acts]
    assert actions.count("volunteer.recognised") == 2


@pytest.mark.serves("R13", "R28")
async def test_a_halt_waits_until_the_volunteers_of_a_frame_are_kept(
    live_site: LiveSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await live_site.draft("market", "north")
    await enrol_volunteer(opened)
    await live_site.arm()
    session = await live_site.connect()
    locked, record = [], live_site.acts.record

    async def looking(act: Act) -> int:
        if act.action == "volunteer.recognised":
            locked.append(opened.logging.locked())
        return await record(act)

    monkeypatch.setattr(live_site.acts, "record", looking)
    session.offer(a_frame(1), NOON)
    live_site.saw("north", a_volunteer())
    await heard(session)

    assert locked == [True]


@pytest.mark.serves("R28")
async def test_passes_are_declared_and_measured(live_site: LiveSite) -> None:
    opened = await live_site.draft("market", "north")
    await enrol_volunteer(opened)
    await live_site.arm()
    servicer = measuring(live_site)
    session = await live_site.connect()
    session.offer(a_frame(1), NOON)
    live_site.saw("north", a_volunteer())
    await heard(session)
    sit_down("olga")

    await servicer.RecordPass(a_pass(validate_only=True), CONTEXT)
    await servicer.RecordPass(a_pass(), CONTEXT)
    live_site.clock.advance(minutes=10)
    await servicer.RecordPass(a_pass(), CONTEXT)

    (hour,) = (await servicer.GetTpir(pb.GetTpirRequest(parent=PARENT), CONTEXT)).rates
    assert (hour.camera, hour.recognised.count, hour.recognised.total) == ("cameras/north", 1, 2)
    assert hour.start_time == timestamp(NOON.replace(minute=0, second=0, microsecond=0))
    assert opened.log.head == 0


@pytest.mark.serves("R28")
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"camera": "cameras/west"}, "INVALID_INPUT"),
        ({"external_ref": "s-1"}, "NO_VOLUNTEER"),
        ({"external_ref": "nobody"}, "NOT_FOUND"),
        ({"pass_time": timestamp(NOON + timedelta(minutes=1))}, "INVALID_INPUT"),
        ({"pass_time": timestamp(NOON - timedelta(days=2))}, "INVALID_INPUT"),
        ({"pass_time": timestamp(NOON)}, "PASS_TOO_NEAR"),
    ],
)
async def test_a_pass_that_would_measure_nothing_is_refused(
    live_site: LiveSite, changed: dict[str, Any], reason: str
) -> None:
    opened = await live_site.draft("market", "north")
    await enrol_volunteer(opened)
    await live_site.arm()
    servicer = measuring(live_site)
    sit_down("olga")
    if reason == "PASS_TOO_NEAR":
        await servicer.RecordPass(a_pass(), CONTEXT)

    with pytest.raises(CordonError) as refused:
        await servicer.RecordPass(a_pass(**changed), CONTEXT)

    assert refused.value.reason == reason


@pytest.mark.serves("R28")
async def test_of_one_pass_that_two_people_declare_at_once_one_counts(
    live_site: LiveSite,
) -> None:
    opened = await live_site.draft("market", "north")
    await enrol_volunteer(opened)
    await live_site.arm()
    passed = opened.matches.volunteers.passed
    record = VolunteerRecord("v-1", "north", NOON, "olga")

    answers = await asyncio.gather(
        passed(record, dry_run=False),
        passed(msgspec.structs.replace(record, user_id="anna"), dry_run=False),
        return_exceptions=True,
    )

    assert [getattr(answer, "reason", None) for answer in answers] == [None, "PASS_TOO_NEAR"]
    (hour,) = await opened.matches.volunteers.rates()
    assert hour.recognised.of == 1


@pytest.mark.serves("R28")
async def test_a_volunteer_is_listed_with_consent_alone(live_site: LiveSite) -> None:
    opened = await live_site.draft("market", "north")
    codes = {ReasonCode.SOURCE_MISSING, ReasonCode.RATIONALE_MISSING}
    for particulars, wrong in (
        (Particulars(), codes),
        (Particulars(LawfulSource.CUSTODY, "form 7"), {ReasonCode.SOURCE_MISSING}),
        (Particulars(LawfulSource.SUBJECT, " "), {ReasonCode.RATIONALE_MISSING}),
    ):
        with pytest.raises(NotListable) as refused:
            await enrol_volunteer(opened, particulars)
        assert {reason.code for reason in refused.value.reasons} == wrong

    await enrol_volunteer(opened)


async def enrol_volunteer(
    opened: OpenDeployment,
    particulars: Particulars | None = None,
) -> None:
    particulars = particulars or Particulars(LawfulSource.SUBJECT, "consent form 7")
    image = picture(50)
    application = Application("v-1", VOLUNTEER, None, image, None, particulars)
    examined = await opened.watchlist.examine(image, None)
    await opened.watchlist.enrol(application, examined, dry_run=False)


def a_pass(**changed: Any) -> pb.RecordPassRequest:
    given = {"parent": PARENT, "external_ref": "v-1", "camera": "cameras/north"} | changed
    return pb.RecordPassRequest(**given)
