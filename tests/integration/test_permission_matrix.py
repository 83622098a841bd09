"""Who may call what, on the real server over mutual TLS: every method by every machine, with every
person and every kind of token. What is expected is read from the permission table's columns; that a
handler began is told by the witness in the server's process and by nothing else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest

from cordon.v1 import audit_pb2, identity_pb2
from cordon.v1.audit_pb2_grpc import AuditServiceStub
from cordon.v1.identity_pb2_grpc import IdentityServiceStub
from cordon_server.acts import AuditClass
from cordon_server.api.enrolment import ENROL
from cordon_server.api.server import methods
from cordon_server.identity.names import PersonRole, Role
from cordon_server.identity.permissions import PERMISSIONS, Work
from tests.helpers.callers import KINDS, REASON, Kind, People, fill, shown, user_of
from tests.helpers.every_method import requests
from tests.helpers.intended import ANSWERS, BOUND, OF_DEPLOYMENTS, expected
from tests.helpers.matrix import (
    Cell,
    Expected,
    Metadata,
    check_cells,
    run_cells,
)
from tests.helpers.prepared_site import Machine, PreparedSite, prepared_site

SIGN_OUT = "/cordon.v1.IdentityService/SignOut"
STREAM = "/cordon.v1.RecognitionService/StreamFrames"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PreparedSite, People]]:
    with prepared_site(
        tmp_path_factory.mktemp("matrix") / "site",
        fill,
        CORDON_PEOPLE__WRONG_PASSWORDS_MAX="3",
        CORDON_PEOPLE__WRONG_PASSWORDS_PER_MACHINE_MAX="3",
    ) as made:
        yield made


@asynccontextmanager
async def connected(
    site: PreparedSite, machines: dict[Role, Machine]
) -> AsyncIterator[dict[Role, grpc.aio.Channel]]:
    async with AsyncExitStack() as stack:
        yield {
            role: await stack.enter_async_context(site.channel(machine.pair))
            for role, machine in machines.items()
        }


async def revoke(people: People, channel: grpc.aio.Channel) -> None:
    """Ends by the server's own methods what is to be refused as revoked and as locked."""
    caller = people.caller(PersonRole.ADMINISTRATOR, Role.ADMIN)
    stub, metadata = IdentityServiceStub(channel), shown(caller, "calls")
    for role in PersonRole:
        for machine in Role:
            who = people.caller(role, machine)
            session = people.mint.claims(who.user(), who.here, "revoked").sid
            request = identity_pb2.RevokeSessionsRequest(
                name=f"users/{who.user()}", session_id=session
            )
            await stub.RevokeSessions(request, metadata=metadata)
        locked = identity_pb2.LockUserRequest(name=f"users/{user_of(role)}-locked")
        await stub.LockUser(locked, metadata=metadata)


async def acts_on_record(people: People, channel: grpc.aio.Channel) -> Counter[tuple[str, bool]]:
    """How often each method is on record: that it began, and (True) that it failed then."""
    caller = people.caller(PersonRole.AUDITOR, Role.ADMIN)
    stream = AuditServiceStub(channel).ExportAudit(
        audit_pb2.ExportAuditRequest(), metadata=shown(caller, "calls")
    )
    exported = b"".join([message.chunk async for message in stream])
    lines = map(json.loads, exported.splitlines())
    leaves = (line["leaf"] for line in lines if "leaf" in line)
    calls = (leaf for leaf in leaves if leaf["action"].startswith("/"))
    return Counter((leaf["action"], "of" in leaf["facts"]) for leaf in calls)


def acts_of(cells: list[Cell]) -> Counter[tuple[str, bool]]:
    """What the cells whose handlers began have to have left on record; what is on record when it
    is read is this reading too."""
    acts = Counter({("/cordon.v1.AuditService/ExportAudit", False): 1})
    for cell in cells:
        is_act = PERMISSIONS[cell.method].audit is not AuditClass.NONE and cell.method != STREAM
        if cell.entries and is_act:
            acts[cell.method, False] += 1
            if cell.code != "OK":
                acts[cell.method, True] += 1
    return acts


@pytest.mark.slow
@pytest.mark.serves("R12")
async def test_every_cell_is_as_the_permission_table_says(
    site: tuple[PreparedSite, People],
) -> None:
    running, people = site
    asked = requests("ours", taken="camera-1")
    assert asked.keys() == set(methods())
    async with connected(running, people.here) as channels:
        await revoke(people, channels[Role.ADMIN])
        cells = [
            Cell(
                f"{machine} with {role} {kind.name if kind else 'nobody'}{' ' * bool(said)}",
                method,
                channels[machine],
                request,
                expected(method, machine, role, kind, bool(said)),
                (*metadata, *said),
            )
            for method, request in asked.items()
            for machine in Role
            for role, kind, metadata in presented(people, machine, method)
            for said in ((), REASON)[: 1 + PERMISSIONS[method].justification]
        ]
        before = await acts_on_record(people, channels[Role.ADMIN])
        await run_cells(running, cells)
        recorded = await acts_on_record(people, channels[Role.ADMIN]) - before
    check_cells(cells, "methods x callers")
    assert recorded == acts_of(cells)
    print(f"  {recorded.total()} leaves: every act, what failed of them once more, nothing else")


def presented(
    people: People, machine: Role, method: str
) -> Iterator[tuple[PersonRole | None, Kind | None, Metadata]]:
    """Nobody, and everybody in every way."""
    yield None, None, ()
    for role in PersonRole:
        for kind in KINDS:
            # Signing out ends a session that others would go on with.
            use = f"sign out {kind.name}" if method == SIGN_OUT else "calls"
            yield role, kind, kind.show(people.caller(role, machine), use)


@pytest.mark.slow
async def test_of_anothers_deployment_nothing_is_seen_but_by_who_looks_after_all(
    site: tuple[PreparedSite, People],
) -> None:
    running, people = site
    scoped = [name for name, row in PERMISSIONS.items() if row.scope in OF_DEPLOYMENTS]
    others = requests("others")
    unassigned = next(kind for kind in KINDS if not kind.is_assigned)
    async with connected(running, people.here) as channels:
        cells = [
            Cell(
                f"{machine} with {role}",
                method,
                channels[machine],
                others[method],
                expected(method, machine, role, unassigned, True),
                KINDS[0].show(people.caller(role, machine), "calls"),
            )
            for method in scoped
            for machine in Role
            for role in PersonRole
        ]
        await run_cells(running, cells)
    check_cells(cells, "methods of a deployment x callers, of another's deployment")


@pytest.mark.slow
async def test_a_stream_is_the_camera_of_its_certificate(
    site: tuple[PreparedSite, People],
) -> None:
    running, people = site
    not_armed = Expected(frozenset({"FAILED_PRECONDITION"}), frozenset({"NOT_ARMED"}), True)
    machines = {
        people.here[Role.CAMERA]: not_armed,
        people.elsewhere[Role.CAMERA]: not_armed,
        people.unknown_camera: Expected(frozenset({"NOT_FOUND"}), is_entered=True),
    }
    async with AsyncExitStack() as stack:
        cells = [
            Cell(
                str(machine.spiffe_id),
                STREAM,
                await stack.enter_async_context(running.channel(machine.pair)),
                requests()[STREAM],
                outcome,
            )
            for machine, outcome in machines.items()
        ]
        await run_cells(running, cells)
    check_cells(cells, "streams x cameras")
    logged = {event["peer"] for event in running.events("call") if event["method"] == STREAM}
    assert logged >= {str(machine.spiffe_id) for machine in machines}


@pytest.mark.serves("R8")
@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        name
        for name, row in PERMISSIONS.items()
        if row.four_eyes in (Work.DEPLOYMENT, Work.WATCHLIST)
    ],
)
async def test_what_takes_four_eyes_takes_a_second_person_at_a_second_workstation(
    site: tuple[PreparedSite, People], method: str
) -> None:
    running, people = site
    same = Expected(frozenset({"PERMISSION_DENIED"}), frozenset({"FOUR_EYES"}))
    second = Expected(ANSWERS.get(method, frozenset({"OK"})), is_entered=True)
    cells = {"his-own": same, "made-here": same, "others": second}
    async with connected(running, people.here) as channels:
        approvers = [
            people.caller(role, Role.ADMIN)
            for role in PERMISSIONS[method].people
            if role not in BOUND
        ]
        made = [
            Cell(
                f"{approver.role} of {deployment}",
                method,
                channels[Role.ADMIN],
                requests(deployment)[method],
                outcome,
                (*shown(approver, "calls"), *REASON),
            )
            for deployment, outcome in cells.items()
            for approver in approvers
        ]
        await run_cells(running, made)
    check_cells(made, f"{method}: the maker's, made here, another's")


@pytest.mark.slow
async def test_the_enrolment_port_serves_one_method_to_whoever_calls(
    site: tuple[PreparedSite, People],
) -> None:
    running, people = site
    unknown = Expected(frozenset({"UNIMPLEMENTED"}))
    no_token = Expected(frozenset({"UNAUTHENTICATED", "INVALID_ARGUMENT"}), is_entered=True)
    administrator = people.caller(PersonRole.ADMINISTRATOR, Role.ADMIN)
    pairs = {"nobody": None} | {role: each.pair for role, each in people.here.items()}
    async with AsyncExitStack() as stack:
        cells = [
            Cell(
                f"{name} on the enrolment port",
                method,
                channel,
                request,
                no_token if method == ENROL else unknown,
                metadata,
            )
            for name, pair in pairs.items()
            for channel in [
                await stack.enter_async_context(running.channel(pair, running.enrolment_address))
            ]
            for method, request in requests().items()
            for metadata in ((), shown(administrator, "calls"))
        ]
        await run_cells(running, cells)
    check_cells(cells, "methods x callers on the enrolment port")
