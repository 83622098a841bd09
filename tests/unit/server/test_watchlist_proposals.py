"""An import as a proposal: tried row by row, applied by a second person, exactly as reported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from cordon_server.authority import watchlist_proposals as proposals_module
from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist import Watchlist
from cordon_server.authority.watchlist_acts import ListRecord
from cordon_server.authority.watchlist_draft import Draft
from cordon_server.authority.watchlist_enrolment import Enrolment
from cordon_server.authority.watchlist_proposal_records import (
    PROPOSAL_IMAGES,
    PROPOSAL_ROWS,
    PROPOSAL_TABLES,
    ProposalRecord,
    ProposalState,
    RowFate,
)
from cordon_server.authority.watchlist_proposals import PROPOSALS_MAX, Proposals
from cordon_server.authority.watchlist_rules import (
    Application,
    CategoryRule,
    EntryRules,
    ListRules,
)
from cordon_server.domain import (
    CordonError,
    InvalidInput,
    LimitReached,
    NotFound,
    NotReady,
    NotRecorded,
    Reason,
    ReasonCode,
    UnusablePicture,
)
from cordon_server.gallery import Gallery
from cordon_server.sessions.deployment import TABLES
from cordon_server.store.environment import Environment, Table
from tests.unit.server.rooms import (
    DIMENSION,
    MODEL,
    OFFICER,
    SECOND,
    Clock,
    DegreesExaminer,
    KeptActs,
    facing,
    open_environment,
    picture,
)

ID = "0190c2f0-6f2e-4b0e-9a4e-2f6d1c7f3a55"
RULES = ListRules(
    threshold=0.5,
    duplicate_score=0.8,
    entries_max=9,
    references_per_entry_max=3,
    entry=EntryRules({"wanted": CategoryRule(entries_max=4), "missing": CategoryRule()}),
)


class Desk:
    """A list and its proposals."""

    def __init__(self, environment: Environment, executor: Executor, clock: Clock) -> None:
        self.acts = KeptActs()
        self.environment = environment
        record = ListRecord(self.acts, "market")
        self.watchlist = Watchlist(
            environment,
            lambda: Gallery(model_id=MODEL, dimension=DIMENSION, threshold=RULES.threshold),
            RULES,
            examiner=DegreesExaminer(),
            executor=executor,
            clock=clock,
            record=record,
        )
        self.proposals = Proposals(environment, self.watchlist, record, clock=clock)

    async def enrol(self, entry_id: str, image: bytes) -> Enrolment:
        application = an_application(entry_id, image)
        examined = await self.watchlist.examine(image, None)
        return await self.watchlist.enrol(application, examined, dry_run=False)

    async def add(
        self, draft: Draft, row: int, entry_id: str, image: bytes, category: str = "wanted"
    ) -> Enrolment:
        examined = await self.watchlist.examine(image, None)
        return await draft.add(row, an_application(entry_id, image, category), examined)

    async def proposed(self, *rows: tuple[str, bytes]) -> ProposalRecord:
        """A complete proposal of these; refused rows are kept as the servicer keeps them."""
        draft = await self.proposals.draw_up(ID, OFFICER)
        for number, (entry_id, image) in enumerate(rows, start=1):
            try:
                await self.add(draft, number, entry_id, image)
            except UnusablePicture as refused:
                await draft.refuse(number, entry_id, refused.reasons)
            except LimitReached as full:
                reason = Reason(ReasonCode.LIMIT_REACHED, full.message)
                await draft.refuse(number, entry_id, (reason,))
        return await self.proposals.complete(draft.record)

    async def apply(self, record: ProposalRecord, by: Actor = SECOND) -> ProposalRecord:
        return await self.proposals.apply(ID, record.digest, by, dry_run=False)

    async def fates(self) -> list[tuple[int, str, list[str]]]:
        return [
            (row.row, row.fate.name, [reason.code.name for reason in row.reasons])
            for row in await self.proposals.rows(ID, None, 99)
        ]

    def finds(self, degrees: float) -> str | None:
        (candidate,) = self.watchlist.gallery.search(facing(degrees).vector[None])
        return candidate.entry_id if candidate and candidate.score > 0.99 else None


@pytest.fixture
async def desk(tmp_path: Path, writer: Executor, clock: Clock) -> AsyncIterator[Desk]:
    environment = open_environment(tmp_path / "list", TABLES, writer)
    desk = Desk(environment, writer, clock)
    await desk.watchlist.load()
    yield desk
    await environment.close()


def an_application(entry_id: str, image: bytes, category: str = "wanted") -> Application:
    return Application(entry_id, category, None, image, None, applicant=OFFICER)


async def refused(reason: str, call: Awaitable[Any]) -> None:
    with pytest.raises(CordonError) as error:
        await call
    assert error.value.reason == reason


MIXED = (
    ("a", picture(0)),
    ("a", picture(5)),
    ("b", picture(10)),  # the face of a
    ("c", picture(90)),
    ("c", picture(90)),  # the very picture again
    ("d", picture(90)),  # the very picture of c
    ("e", picture(145)),  # looks like c
    ("f", picture(300)),  # the face of who is listed
    ("listed", picture(280)),
)
REPORT = [
    (1, "ACCEPTED", []),
    (2, "ACCEPTED", []),
    (3, "REJECTED", ["DUPLICATE"]),
    (4, "ACCEPTED", []),
    (5, "KNOWN", []),
    (6, "REJECTED", ["DUPLICATE"]),
    (7, "ACCEPTED", ["LOOK_ALIKE"]),
    (8, "REJECTED", ["DUPLICATE"]),
    (9, "KNOWN", []),
]


@pytest.mark.serves("R6")
async def test_every_row_is_tried_after_those_before_and_the_list_stays_as_it_was(
    desk: Desk,
) -> None:
    await desk.enrol("listed", picture(280))
    before = await desk.watchlist.state()

    record = await desk.proposed(*MIXED)

    assert await desk.fates() == REPORT
    assert (record.state, record.accepted, record.known, record.rejected) == (
        ProposalState.OPEN,
        4,
        2,
        3,
    )
    assert await desk.watchlist.state() == before
    assert desk.finds(0) is None


@pytest.mark.serves("R5", "R6", "R8")
async def test_a_second_person_applies_exactly_what_was_reported(desk: Desk) -> None:
    await desk.enrol("listed", picture(280))
    record = await desk.proposed(*MIXED)

    applied = await desk.apply(record)

    assert (applied.state, applied.applier) == (ProposalState.APPLIED, SECOND)
    state = await desk.watchlist.state()
    assert (state.entries, state.references) == (4, 5)
    assert (desk.finds(0), desk.finds(5), desk.finds(90), desk.finds(145)) == ("a", "a", "c", "e")
    entry, references = await desk.watchlist.get("a")
    assert entry.enrolled_by == OFFICER
    for reference in references:
        assert (await desk.watchlist.image("a", reference.reference_id)).startswith(b"face of")
    assert await desk.environment.read(lambda txn: txn.count(PROPOSAL_IMAGES)) == 0
    assert [fate for _, fate, _ in await desk.fates()] == [fate for _, fate, _ in REPORT[:7]] + [
        "REJECTED",
        "KNOWN",
    ]
    assert [act.action for act in desk.acts.acts[1:]] == ["watchlist.proposed", "watchlist.applied"]
    assert desk.acts.acts[-1].personal == {"person": "otto"}
    await refused("PROPOSAL_NOT_OPEN", desk.apply(record))


@pytest.mark.serves("R8")
@pytest.mark.parametrize(
    "applier", [OFFICER, Actor("olga", SECOND.machine), Actor("third", OFFICER.machine)]
)
async def test_who_proposed_it_does_not_apply_it(desk: Desk, applier: Actor) -> None:
    record = await desk.proposed(("a", picture(0)))

    await refused("FOUR_EYES", desk.apply(record, applier))

    assert (await desk.watchlist.counts()) == (0, 0)


@pytest.mark.serves("R5")
async def test_a_list_that_has_changed_since_is_not_the_one_it_was_tried_on(desk: Desk) -> None:
    record = await desk.proposed(("a", picture(0)))
    await desk.enrol("b", picture(10))

    await refused("LIST_CHANGED", desk.apply(record))


async def test_another_proposal_than_the_one_looked_at_is_not_applied(desk: Desk) -> None:
    record = await desk.proposed(("a", picture(0)))
    draft = await desk.proposals.draw_up(ID, OFFICER)
    await desk.add(draft, 2, "b", picture(90))
    now = await desk.proposals.complete(draft.record)

    assert now.digest != record.digest
    await refused("PROPOSAL_CHANGED", desk.apply(record))
    assert (await desk.apply(now)).state is ProposalState.APPLIED


@pytest.mark.serves("R5", "R8")
async def test_rows_that_join_after_it_was_looked_at_are_not_applied_with_the_others(
    desk: Desk,
) -> None:
    record = await desk.proposed(("a", picture(0)))
    draft = await desk.proposals.draw_up(ID, OFFICER)
    await desk.add(draft, 2, "b", picture(90))

    await refused("PROPOSAL_NOT_OPEN", desk.apply(record))

    assert await desk.watchlist.counts() == (0, 0)


@pytest.mark.parametrize("fate", ["complete", "applied", "discarded", "drawn up again"])
async def test_a_stream_adds_nothing_to_what_is_not_its_own_any_more(desk: Desk, fate: str) -> None:
    draft = await desk.proposals.draw_up(ID, OFFICER)
    await desk.add(draft, 1, "a", picture(0))
    if fate == "drawn up again":
        await desk.proposals.draw_up(ID, OFFICER)
    elif fate == "discarded":
        await desk.proposals.discard(ID, OFFICER, dry_run=False)
    else:
        record = await desk.proposals.complete(draft.record)
        if fate == "applied":
            await desk.apply(record)
    rows = await desk.environment.read(lambda txn: txn.count(PROPOSAL_ROWS))

    await refused("PROPOSAL_CHANGED", desk.add(draft, 2, "b", picture(90)))
    await refused("PROPOSAL_CHANGED", draft.refuse(3, "c", ()))
    await refused("PROPOSAL_CHANGED", desk.proposals.complete(draft.record))

    assert await desk.environment.read(lambda txn: txn.count(PROPOSAL_ROWS)) == rows


async def test_what_is_discarded_while_it_waits_for_the_list_is_not_applied(desk: Desk) -> None:
    record = await desk.proposed(("a", picture(0)))

    async def discards(narrows: bool) -> bool:
        await desk.proposals.discard(ID, OFFICER, dry_run=False)
        return False

    desk.watchlist.on_change = discards
    with pytest.raises(NotFound):
        await desk.apply(record)

    assert await desk.watchlist.counts() == (0, 0)
    assert await desk.proposals.all() == []


async def test_what_is_not_complete_is_not_applied(desk: Desk) -> None:
    draft = await desk.proposals.draw_up(ID, OFFICER)
    await desk.add(draft, 1, "a", picture(0))

    await refused("PROPOSAL_NOT_OPEN", desk.proposals.apply(ID, b"", SECOND, dry_run=False))


async def test_a_broken_stream_goes_on_where_it_was(desk: Desk) -> None:
    first = await desk.proposals.draw_up(ID, OFFICER)
    one = await desk.add(first, 1, "a", picture(0))
    second = await desk.proposals.draw_up(ID, OFFICER)

    again = await desk.add(second, 1, "a", picture(0))
    with pytest.raises(UnusablePicture):
        await desk.add(second, 2, "b", picture(10))
    with pytest.raises(InvalidInput, match="number 1"):
        await desk.add(second, 1, "z", picture(180))

    assert (again.entry, again.reference_id, again.is_new) == (one.entry, one.reference_id, True)
    assert await desk.fates() == [(1, "ACCEPTED", [])]
    await refused("PROPOSAL_NOT_OPEN", desk.proposals.draw_up(ID, Actor("other", OFFICER.machine)))


@pytest.mark.serves("R17")
async def test_the_caps_count_the_rows_before(desk: Desk) -> None:
    await desk.enrol("w-0", picture(0))
    rows = [(f"w-{n}", picture(n * 70)) for n in range(1, 5)]

    await desk.proposed(*rows, ("w-1", picture(71)), ("w-1", picture(72)), ("w-1", picture(73)))

    assert [fate for _, fate, _ in await desk.fates()] == [
        "ACCEPTED",
        "ACCEPTED",
        "ACCEPTED",
        "REJECTED",  # a fifth in a category of four
        "ACCEPTED",
        "ACCEPTED",
        "REJECTED",  # a fourth picture of one who has three
    ]


async def test_a_half_applied_proposal_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals_module, "ROWS_AT_ONCE", 2)
    rows = [(f"m-{n}", picture(n * 70)) for n in range(5)]
    draft = await desk.proposals.draw_up(ID, OFFICER)
    for number, (entry_id, image) in enumerate(rows, start=1):
        await desk.add(draft, number, entry_id, image, "missing")
    record = await desk.proposals.complete(draft.record)
    move, calls = proposals_module._move_some, []

    def breaks(txn: Any, *, after: bytes) -> bytes:
        calls.append(after)
        if len(calls) == 2:
            raise OSError("the power failed")
        return move(txn, after=after)

    monkeypatch.setattr(proposals_module, "_move_some", breaks)
    with pytest.raises(OSError, match="power"):
        await desk.apply(record)
    assert await desk.watchlist.counts() == (2, 2)
    assert len(desk.watchlist.gallery) == 2
    assert (await desk.proposals.get(ID)).state is ProposalState.APPLYING
    await refused("PROPOSAL_APPLYING", desk.proposals.discard(ID, OFFICER, dry_run=False))

    applied = await desk.apply(record)

    assert applied.state is ProposalState.APPLIED
    assert await desk.watchlist.counts() == (5, 5)


async def test_a_discarded_proposal_leaves_nothing(desk: Desk) -> None:
    await desk.proposed(("a", picture(0)), ("b", picture(90)))
    await desk.proposals.discard(ID, OFFICER, dry_run=True)
    assert len(await desk.proposals.all()) == 1

    await desk.proposals.discard(ID, OFFICER, dry_run=False)

    tables: tuple[Table[Any], ...] = PROPOSAL_TABLES
    left = await desk.environment.read(lambda txn: [txn.count(each) for each in tables])
    assert left == [0, 0, 0]
    with pytest.raises(NotFound):
        await desk.proposals.get(ID)


async def test_there_are_so_many_proposals_and_no_more(desk: Desk) -> None:
    for number in range(PROPOSALS_MAX):
        await desk.proposals.draw_up(str(UUID(int=number)), OFFICER)

    await refused("PROPOSALS_FULL", desk.proposals.draw_up(ID, OFFICER))


@pytest.mark.serves("R12")
@pytest.mark.parametrize("verb", ["proposed", "applied", "discarded"])
async def test_what_cannot_be_recorded_does_not_happen(desk: Desk, verb: str) -> None:
    desk.acts.full = {f"watchlist.{verb}"}

    async def every_step() -> None:
        record = await desk.proposed(("a", picture(0)))
        await desk.apply(record)
        await desk.proposals.discard(ID, OFFICER, dry_run=False)

    with pytest.raises(NotRecorded):
        await every_step()

    state = (await desk.proposals.get(ID)).state
    assert (
        state
        is {
            "proposed": ProposalState.DRAWN_UP,
            "applied": ProposalState.OPEN,
            "discarded": ProposalState.APPLIED,
        }[verb]
    )
    assert (desk.finds(0) == "a") == (verb == "discarded")


async def test_rows_come_in_pages_by_number(desk: Desk) -> None:
    await desk.proposed(*((f"s-{n}", picture(n * 60)) for n in range(5)))

    first = await desk.proposals.rows(ID, None, 2)
    rest = await desk.proposals.rows(ID, first[-1].row, 9)

    assert [row.row for row in (*first, *rest)] == [1, 2, 3, 4, 5]
    assert {row.fate for row in (*first, *rest)} <= {RowFate.ACCEPTED, RowFate.REJECTED}


async def test_an_authority_forbids_it_like_any_change(desk: Desk) -> None:
    async def armed(narrows: bool) -> bool:
        raise NotReady("armed", reason="ARMED")

    record = await desk.proposed(("a", picture(0)))
    desk.watchlist.on_change = armed

    await refused("ARMED", desk.apply(record))

    assert (await desk.proposals.get(ID)).state is ProposalState.OPEN
