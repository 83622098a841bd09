"""What the mutations of every service share: who acts, and that a request acts once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from cordon_server.api.edge import caller, signed_in, the_person
from cordon_server.authority.records import Actor
from cordon_server.store.requests import Message, Mutation, RequestLedger

M = TypeVar("M", bound=Message)


async def once(
    ledger: RequestLedger, request: Mutation, response: M, act: Callable[[], Awaitable[M]]
) -> M:
    """What `act` answers, once for each request id of this person here: answers are not for
    others. `response` is an empty message."""
    person = signed_in()
    who = f"{caller().spiffe_id} {person.user_id if person else ''}"
    method = type(request).__name__.removesuffix("Request")
    return await ledger.once(f"{who} {method}", request.request_id, request, response, act)


def acting() -> Actor:
    """Who makes the running call, and where."""
    return Actor(the_person().user_id, str(caller().spiffe_id))
