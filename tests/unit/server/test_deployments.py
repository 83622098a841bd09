"""Deployments in the registry: made, found, moved, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import product

import msgspec
import pytest

from cordon_server.authority import steps
from cordon_server.authority.cameras import Cameras
from cordon_server.authority.moves import MOVES, check_recognising
from cordon_server.authority.records import DEPLOYMENTS, Actor, DeploymentRecord, State
from cordon_server.authority.steps import ASSIGNEES_MAX
from cordon_server.authority.terms import HaltCause
from cordon_server.domain import AlreadyExists, InvalidInput, LimitReached, NotFound, NotReady
from cordon_server.store.environment import Environment
from tests.unit.server.authority_rooms import COUNTS, DAY, Chain, a_chain, a_terms
from tests.unit.server.rooms import NOON, OFFICER, Clock


@pytest.fixture
async def chain(registry: Environment, clock: Clock) -> Chain:
    cameras = Cameras(registry, count_max=10, clock=clock)
    for name in ("north", "south", "old"):
        await cameras.create(name, "", dry_run=False)
    await cameras.revoke("old", dry_run=False)
    return a_chain(registry, clock)


Act = Callable[[Chain], Awaitable[DeploymentRecord]]

ACTS: dict[str, tuple[State, Act]] = {
    "submit": (State.SUBMITTED, Chain.submit),
    "authorise": (State.AUTHORISED, Chain.authorise),
    "arm": (State.ARMED, Chain.arm),
    "halt": (State.HALTED, Chain.halt),
    "resume": (State.ARMED, Chain.resume),
    "end": (State.ENDED, Chain.end),
    "void": (
        State.DRAFT,
        lambda chain: chain.deployments.take("market", steps.voided, dry_run=False),
    ),
    "erase": (
        State.ERASED,
        lambda chain: chain.deployments.take(
            "market", lambda record: steps.erased(record, chain.clock.now), dry_run=False
        ),
    ),
}


async def in_state(chain: Chain, state: State) -> DeploymentRecord:
    """A deployment that was moved there."""
    way: dict[State, list[str]] = {
        State.DRAFT: [],
        State.SUBMITTED: ["submit"],
        State.AUTHORISED: ["submit", "authorise"],
        State.ARMED: ["submit", "authorise", "arm"],
        State.HALTED: ["submit", "authorise", "arm", "halt"],
        State.ENDED: ["end"],
        State.ERASED: ["end", "erase"],
    }
    record = await chain.create()
    for move in way[state]:
        record = await ACTS[move][1](chain)
    assert record.state is state
    return record


@pytest.mark.serves("R7", "R25")
async def test_a_new_deployment_is_a_draft_and_recognises_nobody(chain: Chain) -> None:
    record = await chain.create()

    assert record.state is State.DRAFT
    assert await chain.deployments.get("market") == record
    with pytest.raises(NotReady):
        check_recognising(record, NOON)


@pytest.mark.serves("R8")
@pytest.mark.parametrize(("state", "move"), list(product(State, ACTS)))
async def test_a_deployment_makes_the_moves_of_the_table_and_no_other(
    chain: Chain, state: State, move: str
) -> None:
    before = await in_state(chain, state)
    to, act = ACTS[move]

    if MOVES.get((state, to)) == move:
        assert (await act(chain)).state is to
        assert (await chain.deployments.get("market")).state is to
    else:
        with pytest.raises(NotReady) as refused:
            await act(chain)
        assert refused.value.reason == "WRONG_STATE"
        assert await chain.deployments.get("market") == before


def test_the_table_of_moves_leads_back_to_draft_alone_and_ends_in_erased() -> None:
    order = list(State)
    back = {(start, to) for start, to in MOVES if order.index(to) < order.index(start)}

    assert {to for _, to in back} == {State.DRAFT, State.ARMED}
    assert [start for start, to in back if to is State.ARMED] == [State.HALTED]
    assert {to for start, to in MOVES if start is State.ENDED} == {State.ERASED}
    assert not [to for start, to in MOVES if start is State.ERASED]
    assert set(MOVES.values()) == set(ACTS)


@pytest.mark.serves("R8")
@pytest.mark.parametrize("state", [State.SUBMITTED, State.AUTHORISED])
async def test_any_change_makes_a_draft_again_and_the_authority_void(
    chain: Chain, state: State
) -> None:
    await in_state(chain, state)

    changed = await chain.deployments.update("market", {"location": "elsewhere"}, dry_run=False)

    assert (changed.state, changed.location) == (State.DRAFT, "elsewhere")
    assert (changed.submission, changed.authority) == (None, None)


@pytest.mark.parametrize("state", [State.ARMED, State.HALTED, State.ENDED, State.ERASED])
async def test_what_is_armed_or_over_is_not_changed(chain: Chain, state: State) -> None:
    before = await in_state(chain, state)

    with pytest.raises(NotReady) as refused:
        await chain.deployments.update("market", {"location": "elsewhere"}, dry_run=False)

    assert refused.value.reason == "WRONG_STATE"
    assert await chain.deployments.get("market") == before


@pytest.mark.serves("R2")
@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (NOON, NOON, "ends before it starts"),
        (NOON + DAY, NOON, "ends before it starts"),
        (NOON - DAY, NOON - timedelta(hours=1), "over already"),
        (NOON - DAY, NOON, "over already"),
        (NOON, NOON + DAY + timedelta(seconds=1), r"24 hours at most .*\(R2\)"),
        (datetime(1, 1, 1, tzinfo=UTC), NOON + DAY, r"24 hours at most .*\(R2\)"),
    ],
)
async def test_a_window_out_of_order_is_refused_naming_its_field(
    chain: Chain, start: datetime, end: datetime, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        await chain.create(start_time=start, end_time=end)

    assert (refused.value.field, refused.value.reason) == ("deployment.end_time", "WINDOW")
    with pytest.raises(NotFound):
        await chain.deployments.get("market")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOON, NOON + DAY),
        (NOON, NOON + timedelta(seconds=1)),
        (NOON - timedelta(hours=23), NOON + timedelta(hours=1)),
        (NOON + 30 * DAY, NOON + 31 * DAY),
    ],
)
async def test_a_window_of_a_day_or_less_that_is_not_over_is_taken(
    chain: Chain, start: datetime, end: datetime
) -> None:
    record = await chain.create(start_time=start, end_time=end)

    assert record.end_time - record.start_time <= DAY


async def test_only_registered_cameras_that_are_not_revoked_are_taken(chain: Chain) -> None:
    with pytest.raises(NotFound, match="cordon admin camera add nowhere"):
        await chain.create(cameras=("north", "nowhere"))
    with pytest.raises(NotReady, match="camera old is revoked"):
        await chain.create(cameras=("north", "old"))

    assert await chain.deployments.page("", 9) == []


async def test_a_name_is_never_used_twice_even_when_its_deployment_has_ended(chain: Chain) -> None:
    await chain.create()
    with pytest.raises(AlreadyExists):
        await chain.create()
    await chain.end()
    with pytest.raises(AlreadyExists, match="stays taken"):
        await chain.create()


async def test_open_deployments_are_capped_and_ended_ones_do_not_count(chain: Chain) -> None:
    for name in ("a", "b", "c"):
        await chain.create(name)

    with pytest.raises(LimitReached, match=r"limits\.deployments_open_max"):
        await chain.create("d")
    await chain.end("b")
    await chain.create("d")

    found = await chain.deployments.page("", 9)
    assert [record.deployment_id for record in found] == list("abcd")


async def test_no_two_armed_deployments_share_a_camera(chain: Chain) -> None:
    await chain.armed("a", cameras=("north", "south"))
    await chain.authorised("b", cameras=("south",))
    await chain.authorised("c", cameras=("north",))

    for name, camera in (("b", "south"), ("c", "north")):
        with pytest.raises(NotReady, match=f"camera {camera} serves") as refused:
            await chain.arm(name)
        assert refused.value.reason == "CAMERA_IN_USE"
    await chain.halt("a")
    await chain.arm("b")
    with pytest.raises(NotReady, match="camera south serves the armed deployment b"):
        await chain.resume("a")
    await chain.end("b")

    assert (await chain.resume("a")).state is State.ARMED


@pytest.mark.serves("R7")
@pytest.mark.parametrize(
    ("hours", "reason"),
    [(-1, "WINDOW_NOT_OPEN"), (0, ""), (3.9, ""), (4, "AUTHORITY_EXPIRED")],
)
async def test_a_deployment_is_armed_within_its_window_alone(
    chain: Chain, clock: Clock, hours: float, reason: str
) -> None:
    start = NOON + timedelta(hours=2)
    await chain.authorised(start_time=start, end_time=start + timedelta(hours=4))
    clock.now = start + timedelta(hours=hours)

    if reason:
        with pytest.raises(NotReady) as refused:
            await chain.arm()
        assert refused.value.reason == reason
        assert (await chain.deployments.get("market")).state is State.AUTHORISED
    else:
        assert (await chain.arm()).arm_time == clock.now


async def test_a_dry_run_says_the_same_and_changes_nothing(chain: Chain) -> None:
    trial = await chain.deployments.create("market", a_terms(), OFFICER, dry_run=True)
    with pytest.raises(NotFound):
        await chain.deployments.get("market")
    made = await chain.authorised()

    armed = await chain.arm(dry_run=True)
    ended = await chain.end(dry_run=True)

    assert trial.location == made.location
    assert (armed.state, ended.state) == (State.ARMED, State.ENDED)
    assert await chain.deployments.get("market") == made


@pytest.mark.serves("R3")
async def test_an_ended_deployment_keeps_its_counts(chain: Chain, clock: Clock) -> None:
    await chain.create()
    clock.advance(hours=1)

    record = await chain.end()

    assert steps.Counts(record.entry_count, record.reference_count, record.match_count) == COUNTS
    assert record.ended_time == clock.now


async def test_deployments_are_found_by_state_page_and_time(chain: Chain, clock: Clock) -> None:
    await chain.create("c")
    await chain.create("a", end_time=NOON + timedelta(hours=1))
    await chain.armed("b", cameras=("south",))
    await chain.end("c")

    found = chain.deployments
    assert [r.deployment_id for r in await found.all_in(State.ARMED, State.ENDED)] == ["b", "c"]
    assert [r.deployment_id for r in await found.page("", 2)] == ["a", "b"]
    assert [r.deployment_id for r in await found.page("b", 2)] == ["c"]
    assert await found.all_over() == []
    clock.advance(hours=1)
    assert [r.deployment_id for r in await found.all_over()] == ["a"]
    clock.advance(hours=23)
    assert [r.deployment_id for r in await found.all_over()] == ["a", "b"]


async def test_what_is_not_there_is_said_with_the_next_step(chain: Chain) -> None:
    for asked in (chain.deployments.get("x"), chain.arm("x"), chain.end("x")):
        with pytest.raises(NotFound, match="cordon admin deployment list"):
            await asked


@pytest.mark.serves("R8")
async def test_who_made_it_and_who_submitted_it_are_both_its_makers(
    chain: Chain, registry: Environment
) -> None:
    record = await chain.create()
    other = msgspec.structs.replace(record, creator=Actor("carl", "spiffe://site.local/x"))
    await registry.write(lambda txn: txn.put(DEPLOYMENTS, b"market", other))

    await chain.submit()

    makers = await chain.deployments.makers("deployments/market/entries/x")
    assert {maker.user_id for maker in makers} == {"carl", OFFICER.user_id}


@pytest.mark.serves("R13", "R16")
@pytest.mark.parametrize("cause", list(HaltCause))
async def test_a_halt_says_when_and_why_until_it_is_resumed(chain: Chain, cause: HaltCause) -> None:
    await chain.armed()

    halted = await chain.deployments.take(
        "market", lambda record: steps.halted(record, cause, NOON), dry_run=False
    )
    resumed = await chain.resume()

    assert halted.halting is not None
    assert (halted.halting.halt_time, halted.halting.cause) == (NOON, cause)
    assert resumed.halting is None


async def test_a_draft_that_is_changed_is_a_draft(chain: Chain) -> None:
    await chain.create()

    changed = await chain.deployments.update("market", {"location": "elsewhere"}, dry_run=False)

    assert (changed.state, changed.location) == (State.DRAFT, "elsewhere")


async def assign(
    chain: Chain, add: list[str], remove: list[str], *, dry_run: bool = False
) -> DeploymentRecord:
    return await chain.deployments.take(
        "market", lambda record: steps.assigned(record, add, remove), dry_run=dry_run
    )


async def test_people_work_on_a_deployment_once_they_are_assigned(chain: Chain) -> None:
    await chain.create(assignees=(OFFICER.user_id,))

    both = await assign(chain, ["anna", "zoe", "anna"], ["zoe"])
    without = await assign(chain, [], [OFFICER.user_id, "nobody"])

    assert both.assignees == ("anna", OFFICER.user_id)
    assert without.assignees == ("anna",)
    assert chain.deployments.get_now("market") == without
    assert (await assign(chain, ["zoe"], [], dry_run=True)).assignees == ("anna", "zoe")
    assert await chain.deployments.get("market") == without


@pytest.mark.serves("R8")
async def test_others_than_were_signed_for_make_the_signature_void_until_it_is_armed(
    chain: Chain,
) -> None:
    signed = await chain.authorised()

    assert await assign(chain, [], ["anna"]) == signed, "changes nobody"
    assert (await assign(chain, ["anna"], [])).state is State.DRAFT
    await chain.submit()
    await chain.authorise()
    await chain.arm()
    assert (await assign(chain, ["zoe"], [])).state is State.ARMED


async def test_so_many_people_work_on_one_deployment_and_no_more(chain: Chain) -> None:
    others = [f"user-{number}" for number in range(ASSIGNEES_MAX + 1)]
    await chain.create()

    await assign(chain, others[1:], [])
    with pytest.raises(LimitReached, match="--remove USER"):
        await assign(chain, others, [])


async def test_nobody_is_assigned_to_what_has_ended(chain: Chain) -> None:
    await chain.create()
    await chain.end()

    with pytest.raises(NotReady, match="has ended"):
        await assign(chain, ["anna"], [])
