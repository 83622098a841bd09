from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import product

import msgspec
import pytest

from cordon_server.authority.cameras import Cameras
from cordon_server.authority.deployments import ASSIGNEES_MAX, MOVES, Deployments
from cordon_server.authority.records import DEPLOYMENTS, DeploymentRecord, State
from cordon_server.domain import (
    AlreadyExists,
    InvalidInput,
    LimitReached,
    NotFound,
    NotReady,
)
from cordon_server.store.environment import Environment
from tests.unit.server.rooms import NOON, OFFICER, Clock

DAY = timedelta(hours=24)


@pytest.fixture
async def deployments(registry: Environment, clock: Clock) -> Deployments:
    cameras = Cameras(registry, count_max=10, clock=clock)
    for name in ("north", "south", "old"):
        await cameras.create(name, "", dry_run=False)
    await cameras.revoke("old", dry_run=False)
    return Deployments(registry, open_max=3, window_max=DAY, clock=clock)


async def create(
    deployments: Deployments,
    name: str = "market",
    cameras: tuple[str, ...] = ("north",),
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    dry_run: bool = False,
) -> DeploymentRecord:
    return await deployments.create(
        name,
        location="Market Street",
        cameras=cameras,
        threshold=0.5,
        start_time=start,
        end_time=end,
        creator=OFFICER,
        dry_run=dry_run,
    )


async def arm(deployments: Deployments, name: str = "market") -> DeploymentRecord:
    return await deployments.arm(name, entry_count=1, dry_run=False)


async def end(deployments: Deployments, name: str = "market") -> DeploymentRecord:
    return await deployments.end(name, entries=1, references=2, matches=3, dry_run=False)


ACTS: dict[State, Callable[[Deployments], Awaitable[DeploymentRecord]]] = {
    State.ARMED: arm,
    State.ENDED: end,
}


async def test_a_new_deployment_is_a_draft_with_a_window_of_a_day_from_now(
    deployments: Deployments,
) -> None:
    record = await create(deployments)

    assert record.state is State.DRAFT
    assert (record.start_time, record.end_time) == (NOON, NOON + DAY)
    assert await deployments.get("market") == record


@pytest.mark.parametrize(("state", "to"), list(product(State, ACTS)))
async def test_a_deployment_makes_the_moves_of_the_table_and_no_other(
    deployments: Deployments, registry: Environment, state: State, to: State
) -> None:
    record = msgspec.structs.replace(await create(deployments), state=state)
    await registry.write(lambda txn: txn.put(DEPLOYMENTS, b"market", record))

    if (state, to) in MOVES:
        assert (await ACTS[to](deployments)).state is to
        assert (await deployments.get("market")).state is to
    else:
        with pytest.raises(NotReady, match=f"is {state} and cannot become {to}"):
            await ACTS[to](deployments)
        assert await deployments.get("market") == record


def test_the_table_of_moves_never_leads_back_and_ends_in_ended() -> None:
    order = [State.DRAFT, State.ARMED, State.ENDED]

    assert all(order.index(start) < order.index(to) for start, to in MOVES)
    assert {to for start, to in MOVES if start is State.ENDED} == set()
    assert set(MOVES) <= set(product(State, ACTS))


@pytest.mark.serves("R7")
@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (NOON, NOON, "ends before it starts"),
        (NOON + DAY, NOON, "ends before it starts"),
        (NOON - DAY, NOON - timedelta(hours=1), "over already"),
        (NOON - DAY, NOON, "over already"),
        (NOON, NOON + DAY + timedelta(seconds=1), r"24 hours at most \(R2\)"),
        (None, NOON + 2 * DAY, r"24 hours at most \(R2\)"),
        (NOON - timedelta(seconds=1), NOON + DAY, r"24 hours at most \(R2\)"),
        (datetime(1, 1, 1, tzinfo=UTC), NOON + DAY, r"24 hours at most \(R2\)"),
        (datetime(9999, 12, 31, 20, tzinfo=UTC), None, "no end in the calendar"),
    ],
)
async def test_a_window_out_of_order_is_refused_naming_its_field(
    deployments: Deployments, start: datetime | None, end: datetime | None, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        await create(deployments, start=start, end=end)

    assert refused.value.field in {"deployment.start_time", "deployment.end_time"}
    with pytest.raises(NotFound):
        await deployments.get("market")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (None, None),
        (NOON, NOON + DAY),
        (None, NOON + timedelta(seconds=1)),
        (NOON - timedelta(hours=23), NOON + timedelta(hours=1)),
        (NOON + 30 * DAY, None),
    ],
)
async def test_a_window_of_a_day_or_less_that_is_not_over_is_taken(
    deployments: Deployments, start: datetime | None, end: datetime | None
) -> None:
    record = await create(deployments, start=start, end=end)

    assert record.end_time - record.start_time <= DAY


@pytest.mark.serves("R7")
async def test_only_registered_cameras_that_are_not_revoked_are_taken(
    deployments: Deployments,
) -> None:
    with pytest.raises(NotFound, match="cordon admin camera add nowhere"):
        await create(deployments, cameras=("north", "nowhere"))
    with pytest.raises(NotReady, match="camera old is revoked"):
        await create(deployments, cameras=("north", "old"))

    assert await deployments.page("", 9) == []


async def test_a_name_is_never_used_twice_even_when_its_deployment_has_ended(
    deployments: Deployments,
) -> None:
    await create(deployments)
    with pytest.raises(AlreadyExists):
        await create(deployments)
    await end(deployments)
    with pytest.raises(AlreadyExists, match="stays taken"):
        await create(deployments)


async def test_open_deployments_are_capped_and_ended_ones_do_not_count(
    deployments: Deployments,
) -> None:
    for name in ("a", "b", "c"):
        await create(deployments, name)

    with pytest.raises(LimitReached, match=r"limits\.deployments_open_max"):
        await create(deployments, "d")
    await end(deployments, "b")
    await create(deployments, "d")

    assert [record.deployment_id for record in await deployments.page("", 9)] == list("abcd")


async def test_no_two_armed_deployments_share_a_camera(deployments: Deployments) -> None:
    await create(deployments, "a", ("north", "south"))
    await create(deployments, "b", ("south",))
    await create(deployments, "c", ("north",))
    await arm(deployments, "a")

    for name, camera in (("b", "south"), ("c", "north")):
        with pytest.raises(NotReady, match=f"camera {camera} serves the armed deployment a"):
            await arm(deployments, name)
    await end(deployments, "a")

    assert (await arm(deployments, "b")).state is State.ARMED
    assert (await arm(deployments, "c")).state is State.ARMED


@pytest.mark.serves("R7")
@pytest.mark.parametrize(
    ("hours", "is_open"), [(-1, False), (0, True), (3.9, True), (4, False), (30, False)]
)
async def test_a_deployment_is_armed_within_its_window_alone(
    deployments: Deployments, clock: Clock, hours: float, is_open: bool
) -> None:
    start = NOON + timedelta(hours=2)
    await create(deployments, start=start, end=start + timedelta(hours=4))
    clock.now = start + timedelta(hours=hours)

    if is_open:
        assert (await arm(deployments)).arm_time == clock.now
    else:
        with pytest.raises(NotReady, match="arm it within"):
            await arm(deployments)
        assert (await deployments.get("market")).state is State.DRAFT


async def test_a_deployment_without_list_or_cameras_is_not_armed(deployments: Deployments) -> None:
    await create(deployments, "a")
    await create(deployments, "b", ())

    with pytest.raises(NotReady, match="watchlist of a is empty"):
        await deployments.arm("a", entry_count=0, dry_run=False)
    with pytest.raises(NotReady, match="names no camera"):
        await arm(deployments, "b")


async def test_a_dry_run_says_the_same_and_changes_nothing(deployments: Deployments) -> None:
    trial = await create(deployments, dry_run=True)
    with pytest.raises(NotFound):
        await deployments.get("market")
    made = await create(deployments)
    armed = await deployments.arm("market", entry_count=1, dry_run=True)
    ended = await deployments.end("market", entries=1, references=1, matches=1, dry_run=True)

    assert trial == made
    assert (armed.state, ended.state) == (State.ARMED, State.ENDED)
    assert await deployments.get("market") == made
    with pytest.raises(NotReady):
        await deployments.arm("market", entry_count=0, dry_run=True)


async def test_an_ended_deployment_keeps_its_counts(deployments: Deployments, clock: Clock) -> None:
    await create(deployments)
    clock.advance(hours=1)
    await end(deployments)

    record = await deployments.get("market")
    assert (record.entry_count, record.reference_count, record.match_count) == (1, 2, 3)
    assert record.ended_time == clock.now


async def test_deployments_are_found_by_state_and_page(deployments: Deployments) -> None:
    await create(deployments, "c")
    await create(deployments, "a")
    await create(deployments, "b", ("south",))
    await arm(deployments, "b")
    await end(deployments, "c")

    assert [r.deployment_id for r in await deployments.all_in(State.ARMED)] == ["b"]
    assert [r.deployment_id for r in await deployments.page("", 2)] == ["a", "b"]
    assert [r.deployment_id for r in await deployments.page("b", 2)] == ["c"]


async def test_what_is_not_there_is_said_with_the_next_step(deployments: Deployments) -> None:
    for asked in (deployments.get("x"), arm(deployments, "x"), end(deployments, "x")):
        with pytest.raises(NotFound, match="cordon admin deployment list"):
            await asked


async def test_who_makes_a_deployment_works_on_it_and_others_once_they_are_assigned(
    deployments: Deployments,
) -> None:
    made = await create(deployments)

    both = await deployments.assign("market", ["anna", "zoe", "anna"], ["zoe"], dry_run=False)
    without = await deployments.assign("market", [], [OFFICER.user_id, "nobody"], dry_run=False)

    assert made.assignees == (OFFICER.user_id,)
    assert both.assignees == ("anna", OFFICER.user_id)
    assert without.assignees == ("anna",)
    assert deployments.get_now("market") == without


async def test_a_trial_assigns_nobody(deployments: Deployments) -> None:
    made = await create(deployments)

    tried = await deployments.assign("market", ["anna"], [], dry_run=True)

    assert tried.assignees == ("anna", OFFICER.user_id)
    assert await deployments.get("market") == made


async def test_so_many_people_work_on_one_deployment_and_no_more(deployments: Deployments) -> None:
    await create(deployments)
    others = [f"user-{number}" for number in range(ASSIGNEES_MAX)]

    await deployments.assign("market", others[1:], [], dry_run=False)
    with pytest.raises(LimitReached, match="--remove USER"):
        await deployments.assign("market", others, [], dry_run=False)


async def test_nobody_is_assigned_to_what_has_ended(deployments: Deployments) -> None:
    await create(deployments)
    await end(deployments)

    with pytest.raises(NotReady, match="has ended"):
        await deployments.assign("market", ["anna"], [], dry_run=False)
    with pytest.raises(NotFound):
        await deployments.assign("fair", ["anna"], [], dry_run=False)
