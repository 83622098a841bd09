"""The digest of a list, its review, what waits for a second person, and what has expired."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import Executor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_acts import ListRecord
from cordon_server.authority.watchlist_digest import entry_digest, list_digest
from cordon_server.authority.watchlist_records import (
    AgeGroup,
    Approval,
    EntryRecord,
    LawfulSource,
    Override,
    ReferenceRecord,
)
from cordon_server.authority.watchlist_rules import (
    Application,
    CategoryRule,
    EntryRules,
    ListRules,
    Particulars,
)
from cordon_server.domain import (
    LimitReached,
    NotListable,
    NotPermitted,
    NotReady,
    NotRecorded,
    ReasonCode,
    UnusablePicture,
)
from cordon_server.gallery import Gallery
from cordon_server.sessions.deployment import TABLES
from cordon_server.store.environment import Environment
from tests.unit.server.rooms import (
    DIMENSION,
    ENTRY_RULES,
    MODEL,
    NOON,
    OFFICER,
    QUALITY,
    SECOND,
    Clock,
    DegreesExaminer,
    KeptActs,
    facing,
    open_environment,
    picture,
    poor_picture,
)

RULES = ListRules(
    threshold=0.5, duplicate_score=0.8, entries_max=9, references_per_entry_max=5, entry=ENTRY_RULES
)
CHILD = Particulars(age_group=AgeGroup.MINOR, rationale="ran away from home")


@pytest.fixture
async def environment(tmp_path: Path, writer: Executor) -> AsyncIterator[Environment]:
    environment = open_environment(tmp_path / "list", TABLES, writer)
    yield environment
    await environment.close()


@pytest.fixture
def watchlist(environment: Environment, writer: Executor, clock: Clock) -> Watchlist:
    return a_watchlist(environment, writer, clock)


def a_watchlist(
    environment: Environment,
    executor: Executor,
    clock: Clock,
    rules: ListRules = RULES,
    acts: KeptActs | None = None,
) -> Watchlist:
    return Watchlist(
        environment,
        lambda: Gallery(model_id=MODEL, dimension=DIMENSION, threshold=rules.threshold),
        rules,
        examiner=DegreesExaminer(),
        executor=executor,
        clock=clock,
        record=ListRecord(acts or KeptActs(), "market"),
    )


async def enrol(
    watchlist: Watchlist,
    entry_id: str,
    image: bytes,
    particulars: Particulars | None = None,
    *,
    category: str = "missing",
    by: Actor = OFFICER,
) -> list[ReasonCode]:
    """Enrols as the servicer does; the codes of the warnings."""
    application = Application(
        entry_id, category, None, image, None, particulars or Particulars(), by
    )
    await watchlist.known(application)
    overridden = bool(application.particulars.override_reason)
    examined = await watchlist.examine(image, None, overridden=overridden)
    done = await watchlist.enrol(application, examined, dry_run=False)
    return [each.code for each in done.warnings]


def finds(watchlist: Watchlist, degrees: float) -> str | None:
    (candidate,) = watchlist.gallery.search(facing(degrees).vector[None])
    return candidate.entry_id if candidate and candidate.score > 0.99 else None


# The digest.

ENTRY = EntryRecord(
    "a",
    "wanted",
    NOON,
    0.6,
    LawfulSource.COURT,
    "why",
    "who",
    NOON.date(),
    AgeGroup.ADULT,
    NOON,
    OFFICER,
    Approval(SECOND, NOON),
)
REFERENCE = ReferenceRecord(
    "a",
    "r",
    "0" * 64,
    QUALITY,
    NOON,
    MODEL,
    b"\0" * 16,
    "1" * 64,
    NOON.date(),
    OFFICER,
    Override((ReasonCode.BLURRED,), "no better one", Approval(SECOND, NOON)),
)


def changed(value: object) -> object:
    """Another value of the same kind; a test of the types' every field."""
    match value:
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:]
        case LawfulSource() | AgeGroup():
            return next(each for each in type(value) if each is not value)
        case str():
            return value + "x"
        case float():
            return value + 0.001
        case tuple():
            return (*value, ReasonCode.POSE)
        case msgspec.Struct():
            first = value.__struct_fields__[0]
            return msgspec.structs.replace(value, **{first: changed(getattr(value, first))})
        case _ if hasattr(value, "year"):
            return value + timedelta(days=1)  # type: ignore[operator]  # a date
    return replace(value, sharpness=1.0)  # type: ignore[type-var]  # the quality


@pytest.mark.serves("R8")
@pytest.mark.parametrize("record", [ENTRY, REFERENCE], ids=["entry", "reference"])
def test_any_change_of_any_field_changes_the_digest(record: msgspec.Struct) -> None:
    def digest_with(one: msgspec.Struct) -> bytes:
        if isinstance(one, EntryRecord):
            return entry_digest(one, [REFERENCE])
        assert isinstance(one, ReferenceRecord)
        return entry_digest(ENTRY, [one])

    before = digest_with(record)

    for field in record.__struct_fields__:
        for other in (changed(getattr(record, field)), None):
            one = msgspec.structs.replace(record, **{field: other})
            assert digest_with(one) != before, field


@pytest.mark.serves("R8")
@given(st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=8), st.randoms())
def test_order_is_nothing_to_a_digest_and_every_member_is(
    digests: list[bytes], chance: random.Random
) -> None:
    shuffled = chance.sample(digests, len(digests))

    assert list_digest(shuffled) == list_digest(digests)
    for one in digests:
        assert list_digest([each for each in digests if each != one]) != list_digest(digests)


@given(st.permutations(["r1", "r2", "r3"]))
def test_an_entrys_references_may_come_in_any_order(names: list[str]) -> None:
    references = [msgspec.structs.replace(REFERENCE, reference_id=name) for name in names]

    assert entry_digest(ENTRY, references) == entry_digest(ENTRY, reversed(references))


@pytest.mark.serves("R8")
async def test_every_act_on_the_list_gives_it_another_digest(
    watchlist: Watchlist, environment: Environment, writer: Executor, clock: Clock
) -> None:
    seen = [(await watchlist.state()).digest]
    await enrol(watchlist, "a", picture(0))
    seen.append((await watchlist.state()).digest)
    await enrol(watchlist, "a", picture(5))
    seen.append((await watchlist.state()).digest)
    await enrol(watchlist, "b", picture(90), CHILD)
    seen.append((await watchlist.state()).digest)
    await watchlist.approve("b", SECOND, dry_run=False)
    seen.append((await watchlist.state()).digest)
    await watchlist.remove("a", dry_run=False)
    seen.append((await watchlist.state()).digest)

    assert len(set(seen)) == len(seen)
    again = a_watchlist(environment, writer, clock)
    assert await again.state() == await watchlist.state()


@pytest.mark.serves("R8")
async def test_what_is_removed_under_an_authority_keeps_the_digest_and_leaves_no_template(
    watchlist: Watchlist, environment: Environment
) -> None:
    async def under_authority(narrows: bool) -> bool:
        assert narrows
        return True

    await enrol(watchlist, "a", picture(0))
    await enrol(watchlist, "b", picture(90))
    authorised = await watchlist.state()
    watchlist.on_change = under_authority

    await watchlist.remove("a", dry_run=False)

    state = await watchlist.state()
    assert (state.digest, state.entries, state.references) == (authorised.digest, 1, 1)
    assert finds(watchlist, 0) is None
    kept = await environment.read(
        lambda txn: [str(record) for table in TABLES for _, record in txn.scan(table)]  # type: ignore[misc]  # any record
    )
    assert not [text for text in kept if "face of 0" in text]


async def test_a_change_that_is_not_allowed_changes_nothing(watchlist: Watchlist) -> None:
    async def refused(narrows: bool) -> bool:
        raise NotReady("armed")

    await enrol(watchlist, "a", picture(0))
    await enrol(watchlist, "c", picture(45), CHILD)
    before = await watchlist.state()
    watchlist.on_change = refused

    for change in (
        enrol(watchlist, "b", picture(90)),
        watchlist.remove("a", dry_run=False),
        watchlist.approve("c", SECOND, dry_run=False),
    ):
        with pytest.raises(NotReady):
            await change
    assert await watchlist.state() == before
    assert finds(watchlist, 0) == "a"


# The review.


@pytest.mark.serves("R5", "R26")
async def test_a_review_is_of_exactly_one_list(watchlist: Watchlist, clock: Clock) -> None:
    await enrol(watchlist, "a", picture(0))
    state = await watchlist.state()
    clock.advance(hours=1)

    reviewed = await watchlist.review(state.digest, SECOND, OFFICER, dry_run=False)

    assert reviewed.is_reviewed
    assert (reviewed.reviewed_by, reviewed.reviewed_at) == (SECOND, clock.now)
    await enrol(watchlist, "b", picture(90))
    after = await watchlist.state()
    assert not after.is_reviewed
    assert after.reviewed_digest == state.digest


@pytest.mark.serves("R5")
async def test_another_list_than_the_one_looked_at_is_not_reviewed(watchlist: Watchlist) -> None:
    await enrol(watchlist, "a", picture(0))
    state = await watchlist.state()
    await enrol(watchlist, "b", picture(90))

    with pytest.raises(NotReady) as refused:
        await watchlist.review(state.digest, SECOND, OFFICER, dry_run=False)

    assert refused.value.reason == "LIST_CHANGED"


async def test_an_empty_list_is_not_reviewed(watchlist: Watchlist) -> None:
    with pytest.raises(NotReady) as refused:
        await watchlist.review((await watchlist.state()).digest, SECOND, OFFICER, dry_run=False)

    assert refused.value.reason == "LIST_EMPTY"


@pytest.mark.serves("R5")
@pytest.mark.parametrize(
    "reviewer",
    [
        Actor("otto", "spiffe://site.local/admin/third"),
        Actor("third", SECOND.machine),
        Actor("olga", "spiffe://site.local/admin/third"),
        Actor("third", OFFICER.machine),
    ],
    ids=["who enrolled", "where it was enrolled", "the requester", "where it was requested"],
)
async def test_who_asked_for_or_enrolled_anything_does_not_review_it(
    watchlist: Watchlist, reviewer: Actor
) -> None:
    await enrol(watchlist, "a", picture(0), by=SECOND)
    state = await watchlist.state()

    with pytest.raises(NotPermitted) as refused:
        await watchlist.review(state.digest, reviewer, OFFICER, dry_run=False)

    assert refused.value.reason == "FOUR_EYES"
    assert not (await watchlist.state()).is_reviewed


# What waits for a second person.


@pytest.mark.serves("R18")
async def test_a_minor_is_searched_when_a_second_person_has_approved(
    watchlist: Watchlist, environment: Environment, writer: Executor, clock: Clock
) -> None:
    assert await enrol(watchlist, "a", picture(0), CHILD) == [ReasonCode.WAITING]
    await watchlist.load()
    assert finds(watchlist, 0) is None
    assert (await watchlist.state()).waiting == 1
    with pytest.raises(NotReady) as refused:
        await watchlist.review((await watchlist.state()).digest, SECOND, OFFICER, dry_run=False)
    assert refused.value.reason == "APPROVAL_WAITING"

    entry, _ = await watchlist.approve("a", SECOND, dry_run=False)

    assert entry.approval == Approval(SECOND, NOON)
    assert finds(watchlist, 0) == "a"
    again = a_watchlist(environment, writer, clock)
    await again.load()
    assert finds(again, 0) == "a"
    with pytest.raises(NotReady) as done:
        await watchlist.approve("a", SECOND, dry_run=False)
    assert done.value.reason == "NOTHING_WAITING"


@pytest.mark.serves("R23")
async def test_a_picture_below_the_gate_needs_a_reason_and_a_second_person(
    watchlist: Watchlist,
) -> None:
    with pytest.raises(UnusablePicture):
        await enrol(watchlist, "a", poor_picture(0))
    wanted = Particulars(override_reason="the only picture there is")
    await enrol(watchlist, "a", picture(30))
    assert await enrol(watchlist, "a", poor_picture(0), wanted) == [ReasonCode.WAITING]
    assert finds(watchlist, 0) is None

    _, references = await watchlist.approve("a", SECOND, dry_run=False)

    assert finds(watchlist, 0) == "a"
    overridden = [each.override for each in references if each.override]
    assert overridden == [
        Override((ReasonCode.BLURRED,), "the only picture there is", Approval(SECOND, NOON))
    ]


async def test_a_reason_overrides_nothing_where_the_picture_is_good(watchlist: Watchlist) -> None:
    assert await enrol(watchlist, "a", picture(0), Particulars(override_reason="to be sure")) == []
    assert finds(watchlist, 0) == "a"


@pytest.mark.serves("R18", "R23")
@pytest.mark.parametrize(
    "approver", [OFFICER, Actor("third", OFFICER.machine), Actor("olga", SECOND.machine)]
)
@pytest.mark.parametrize("what", ["minor", "picture"])
async def test_who_enrolled_it_does_not_approve_it(
    watchlist: Watchlist, approver: Actor, what: str
) -> None:
    poor = Particulars(override_reason="the only one")
    image = picture(0) if what == "minor" else poor_picture(0)
    await enrol(watchlist, "a", image, CHILD if what == "minor" else poor)

    with pytest.raises(NotPermitted) as refused:
        await watchlist.approve("a", approver, dry_run=False)

    assert refused.value.reason == "FOUR_EYES"
    assert finds(watchlist, 0) is None


async def test_what_waits_hides_no_duplicate_once_it_is_approved(watchlist: Watchlist) -> None:
    await enrol(watchlist, "a", picture(0), CHILD)
    await enrol(watchlist, "b", picture(0, take=2), CHILD)
    await watchlist.approve("a", SECOND, dry_run=False)

    with pytest.raises(UnusablePicture, match="enrolled as a"):
        await watchlist.approve("b", SECOND, dry_run=False)


# What has expired, and what is full.


@pytest.mark.serves("R5")
async def test_an_entry_matches_no_more_when_it_is_over_nor_after_a_restart(
    watchlist: Watchlist, environment: Environment, writer: Executor, clock: Clock
) -> None:
    await enrol(watchlist, "a", picture(0), Particulars(expire_time=NOON + timedelta(hours=1)))
    await enrol(watchlist, "b", picture(90))
    digest = (await watchlist.state()).digest

    clock.advance(minutes=59)
    watchlist.drop_expired()
    assert finds(watchlist, 0) == "a"
    clock.advance(minutes=1)
    watchlist.drop_expired()

    assert (finds(watchlist, 0), finds(watchlist, 90)) == (None, "b")
    again = a_watchlist(environment, writer, clock)
    await again.load()
    assert (finds(again, 0), finds(again, 90)) == (None, "b")
    assert (await again.state()).digest == digest


@pytest.mark.serves("R17")
async def test_a_category_takes_so_many_and_no_more(
    environment: Environment, writer: Executor, clock: Clock
) -> None:
    entry = EntryRules({"wanted": CategoryRule(entries_max=2), "missing": CategoryRule()})
    watchlist = a_watchlist(environment, writer, clock, replace(RULES, entry=entry))
    for number in range(2):
        await enrol(watchlist, f"w-{number}", picture(number * 90), category="wanted")

    with pytest.raises(LimitReached) as refused:
        await enrol(watchlist, "w-3", picture(180), category="wanted")
    await enrol(watchlist, "m-1", picture(180))
    await enrol(watchlist, "w-1", picture(95), category="wanted")
    await watchlist.load()
    with pytest.raises(LimitReached):
        await enrol(watchlist, "w-3", picture(270), category="wanted")
    await watchlist.remove("w-0", dry_run=False)
    await enrol(watchlist, "w-3", picture(270), category="wanted")

    assert refused.value.reason == "CATEGORY_FULL"
    assert (await watchlist.state()).by_category == {"missing": 1, "wanted": 2}


async def test_what_the_rules_refuse_is_refused_before_its_picture_is_looked_at(
    watchlist: Watchlist,
) -> None:
    with pytest.raises(NotListable):
        await watchlist.known(Application("a", "other", None, b"no picture", None))


async def test_changes_at_once_follow_one_another(watchlist: Watchlist) -> None:
    await asyncio.gather(*(enrol(watchlist, f"s-{n}", picture(n * 45)) for n in range(8)))

    state = await watchlist.state()
    assert (state.entries, state.references, state.by_category) == (8, 8, {"missing": 8})


# The record.

POOR_ONE = Particulars(override_reason="the only one")


async def work_through(watchlist: Watchlist) -> None:
    """Every act on a list."""
    await enrol(watchlist, "a", picture(0))
    await enrol(watchlist, "b", picture(90), CHILD)
    await enrol(watchlist, "b", poor_picture(95), POOR_ONE)
    await watchlist.approve("b", SECOND, dry_run=False)
    await watchlist.review((await watchlist.state()).digest, SECOND, OFFICER, dry_run=False)
    await watchlist.remove("a", by=OFFICER, dry_run=False)


@pytest.mark.serves("R12")
async def test_every_act_is_recorded_with_no_name_in_its_facts(
    environment: Environment, writer: Executor, clock: Clock
) -> None:
    kept = KeptActs()
    watchlist = a_watchlist(environment, writer, clock, acts=kept)

    await work_through(watchlist)

    assert [(act.action, act.personal.get("person")) for act in kept.acts] == [
        ("watchlist.enrolled", "olga"),
        ("watchlist.enrolled", "olga"),
        ("watchlist.enrolled", "olga"),
        ("watchlist.approved", "otto"),
        ("watchlist.overridden", "otto"),
        ("watchlist.reviewed", "otto"),
        ("watchlist.removed", "olga"),
    ]
    assert kept.acts[4].facts == {"category": "missing", "references": 1, "limits": "blurred"}
    assert kept.acts[5].facts["entries"] == 2
    for act in kept.acts:
        assert act.deployment_id == "market"
        assert not {"a", "b", "olga", "otto"} & {str(fact) for fact in act.facts.values()}


@pytest.mark.serves("R12")
@pytest.mark.parametrize("verb", ["enrolled", "approved", "overridden", "reviewed", "removed"])
async def test_what_cannot_be_recorded_does_not_happen(
    environment: Environment, writer: Executor, clock: Clock, verb: str
) -> None:
    kept = KeptActs()
    kept.full = {f"watchlist.{verb}"}
    watchlist = a_watchlist(environment, writer, clock, acts=kept)
    before = (await watchlist.state(), 0)

    async def step(change: Awaitable[object]) -> None:
        nonlocal before
        before = await watchlist.state(), len(watchlist.gallery)
        await change

    async def every_step() -> None:
        await step(enrol(watchlist, "a", picture(0)))
        await step(enrol(watchlist, "b", picture(90), CHILD))
        await step(enrol(watchlist, "b", poor_picture(95), POOR_ONE))
        await step(watchlist.approve("b", SECOND, dry_run=False))
        digest = (await watchlist.state()).digest
        await step(watchlist.review(digest, SECOND, OFFICER, dry_run=False))
        await step(watchlist.remove("a", dry_run=False))

    with pytest.raises(NotRecorded):
        await every_step()

    assert (await watchlist.state(), len(watchlist.gallery)) == before


async def test_a_trial_is_no_act(environment: Environment, writer: Executor, clock: Clock) -> None:
    kept = KeptActs()
    watchlist = a_watchlist(environment, writer, clock, acts=kept)
    await enrol(watchlist, "b", picture(90), CHILD)
    before = len(kept.acts), await watchlist.state()

    application = Application("a", "wanted", None, picture(0), None)
    examined = await watchlist.examine(picture(0), None)
    await watchlist.enrol(application, examined, dry_run=True)
    await watchlist.approve("b", SECOND, dry_run=True)
    await watchlist.remove("b", dry_run=True)

    assert (len(kept.acts), await watchlist.state()) == before
