"""What of a call goes on the record, and that nothing begins before it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from google.protobuf.message import Message

from cordon.v1 import (
    deployment_pb2,
    identity_pb2,
    machine_pb2,
    match_pb2,
    watchlist_pb2,
)
from cordon_server.acts import AuditClass
from cordon_server.api import edge as edge_module
from cordon_server.api.recording import BY_HANDLER, act_of, is_recorded, recorded
from cordon_server.domain import NotFound, NotRecorded, StorageDamaged
from cordon_server.identity.admission import Admitted
from cordon_server.identity.calls import Call
from cordon_server.identity.names import PersonRole
from cordon_server.identity.people import Person
from cordon_server.identity.permissions import PERMISSIONS
from tests.unit.server.acts_kept import ActsKept, an_act
from tests.unit.server.persons import a_peer, a_person

ANNA = Admitted(a_peer(), a_person(PersonRole.WATCHLIST_OFFICER), "lost with the van")
MARKET = "deployments/market"


def method(path: str) -> str:
    return f"/cordon.v1.{path}"


@pytest.mark.parametrize(
    ("path", "request_", "deployment", "resource", "sealed"),
    [
        (
            "DeploymentService/CreateDeployment",
            deployment_pb2.CreateDeploymentRequest(deployment_id="market"),
            "market",
            MARKET,
            "",
        ),
        (
            "MatchService/GetMatch",
            match_pb2.GetMatchRequest(name=f"{MARKET}/matches/7"),
            "market",
            f"{MARKET}/matches/7",
            "",
        ),
        (
            "WatchlistService/ImportReferences",
            watchlist_pb2.ImportReferencesRequest(start=watchlist_pb2.ImportStart(parent=MARKET)),
            "market",
            MARKET,
            "",
        ),
        (
            "WatchlistService/GetEntry",
            watchlist_pb2.GetEntryRequest(name=f"{MARKET}/entries/s-1"),
            "market",
            f"{MARKET}/entries",
            f"{MARKET}/entries/s-1",
        ),
        (
            "IdentityService/LockUser",
            identity_pb2.LockUserRequest(name="users/bert"),
            "",
            "users",
            "users/bert",
        ),
        (
            "IdentityService/CreateUser",
            identity_pb2.CreateUserRequest(user_id="bert"),
            "",
            "users",
            "users/bert",
        ),
        (
            "MachineService/CreateEnrolmentToken",
            machine_pb2.CreateEnrolmentTokenRequest(id="desk-2"),
            "",
            "machines/desk-2",
            "",
        ),
    ],
)
@pytest.mark.serves("R12")
def test_an_act_says_on_what_and_never_on_whom(
    path: str, request_: Message, deployment: str, resource: str, sealed: str
) -> None:
    act = act_of(method(path), request_, ANNA)

    assert act.kind is PERMISSIONS[method(path)].audit
    assert act.action == method(path)
    assert (act.deployment_id, act.resource) == (deployment, resource)
    assert act.machine == str(a_peer().spiffe_id)
    assert act.facts == {}
    assert act.personal == {
        "person": "anna",
        "justification": "lost with the van",
        **({"resource": sealed} if sealed else {}),
    }


def test_a_trial_is_said_to_be_one_also_within_a_stream() -> None:
    trial = deployment_pb2.ArmDeploymentRequest(name=MARKET, validate_only=True)
    started = watchlist_pb2.ImportReferencesRequest(
        start=watchlist_pb2.ImportStart(parent=MARKET, validate_only=True)
    )

    assert act_of(method("DeploymentService/ArmDeployment"), trial, ANNA).facts == {"trial": True}
    acts = act_of(method("WatchlistService/ImportReferences"), started, ANNA)
    assert acts.facts == {"trial": True}


def test_what_only_a_certificate_does_names_nobody() -> None:
    act = act_of(
        method("MachineService/RenewCertificate"),
        machine_pb2.RenewCertificateRequest(),
        Admitted(a_peer(), None, ""),
    )

    assert act.personal == {}


async def test_what_fails_after_it_began_is_on_record_with_its_status() -> None:
    acts = ActsKept()

    with pytest.raises(NotFound):
        async with recorded(acts, an_act(deployment_id="market", person="anna")):
            raise NotFound("there is no match 7")

    began, failed = acts.acts
    assert failed.facts == {"of": 0, "outcome": "NOT_FOUND", "reason": "NOT_FOUND"}
    assert (failed.action, failed.deployment_id) == (began.action, began.deployment_id)
    assert failed.personal == {}


async def test_a_failure_of_ours_is_on_record_without_its_words() -> None:
    acts = ActsKept()

    with pytest.raises(ZeroDivisionError):
        async with recorded(acts, an_act()):
            raise ZeroDivisionError("secret")

    assert acts.acts[1].facts == {"of": 0, "outcome": "INTERNAL"}


async def test_who_leaves_has_not_failed() -> None:
    acts = ActsKept()

    with pytest.raises(asyncio.CancelledError):
        async with recorded(acts, an_act()):
            raise asyncio.CancelledError

    assert len(acts.acts) == 1


async def test_a_failure_is_said_also_when_it_cannot_be_recorded() -> None:
    acts = ActsKept(room=1)

    with pytest.raises(StorageDamaged):
        async with recorded(acts, an_act()):
            raise StorageDamaged("a record cannot be read")

    assert len(acts.acts) == 1


# The edge, but for who is let through it.


class OpenEdge(edge_module.Edge):
    """Lets everyone through as Anna."""

    def __init__(self, recorder: ActsKept) -> None:
        self._recorder = recorder
        self._admission = cast(Any, self)

    async def admit_to(self, call: Call[Person], subject: str, *others: str) -> None:
        """Anna may act on everything."""

    @asynccontextmanager
    async def _guarded(
        self, method: str, context: edge_module.Context
    ) -> AsyncIterator[Call[Person]]:
        edge_module._ADMITTED.set(ANNA)
        yield Call(method, a_peer(), ANNA.person, cast(Any, None), None)


class Messages:
    """A stream's context: what the client sends."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)

    async def read(self) -> Any:
        return self._messages.pop(0) if self._messages else grpc.aio.EOF


async def call(acts: ActsKept, path: str, request: Message, seen: list[list[str]]) -> Any:
    async def act(request: Any, context: Any) -> str:
        seen.append(acts.actions)
        return "done"

    handler: Any = grpc.unary_unary_rpc_method_handler(act)
    wrapped: Any = OpenEdge(acts)._wrapped(path, handler)
    return await wrapped.unary_unary(request, Messages())


@pytest.mark.serves("R12")
async def test_a_handler_begins_when_its_act_is_on_record_and_not_at_all_when_it_cannot_be() -> (
    None
):
    acts, seen = ActsKept(room=1), list[list[str]]()
    path, request = (
        method("MatchService/GetMatch"),
        match_pb2.GetMatchRequest(name=f"{MARKET}/matches/1"),
    )

    assert await call(acts, path, request, seen) == "done"
    assert seen == [[path]]

    with pytest.raises(NotRecorded):
        await call(acts, path, request, seen)
    assert len(seen) == 1


async def test_what_does_nothing_to_personal_data_leaves_no_leaf() -> None:
    acts, seen = ActsKept(room=0), list[list[str]]()

    await call(acts, method("IdentityService/WhoAmI"), identity_pb2.WhoAmIRequest(), seen)

    assert seen == [[]]


async def test_a_stream_is_on_record_by_its_first_message_and_loses_none() -> None:
    acts, path = ActsKept(), method("WatchlistService/ImportReferences")
    sent = [
        watchlist_pb2.ImportReferencesRequest(start=watchlist_pb2.ImportStart(parent=MARKET)),
        *(
            watchlist_pb2.ImportReferencesRequest(row=watchlist_pb2.ImportRow(row=n))
            for n in range(3)
        ),
    ]

    async def act(requests: AsyncIterator[Message], context: Any) -> list[Message]:
        assert acts.acts[0].resource == MARKET
        return [request async for request in requests]

    handler: Any = grpc.stream_unary_rpc_method_handler(act)
    wrapped: Any = OpenEdge(acts)._wrapped(path, handler)

    assert await wrapped.stream_unary(object(), Messages(*sent)) == sent
    assert await _nothing_sent(acts, path) == []
    assert [each.resource for each in acts.acts] == [MARKET, ""]


async def _nothing_sent(acts: ActsKept, path: str) -> Any:
    async def act(requests: AsyncIterator[Message], context: Any) -> list[Message]:
        return [request async for request in requests]

    wrapped: Any = OpenEdge(acts)._wrapped(path, grpc.stream_unary_rpc_method_handler(act))
    return await wrapped.stream_unary(object(), Messages())


def test_every_method_is_recorded_by_its_row_or_by_its_handler() -> None:
    for path, row in PERMISSIONS.items():
        is_act = row.audit is not AuditClass.NONE
        assert is_act == (is_recorded(path) or path in BY_HANDLER), path
    assert PERMISSIONS.keys() >= BY_HANDLER
