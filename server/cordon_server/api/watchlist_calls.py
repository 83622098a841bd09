"""What the calls of WatchlistService share: who acts, and that a request acts once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from cordon_server.api.edge import caller, the_person
from cordon_server.authority.records import Actor
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.store.requests import Message, Mutation

M = TypeVar("M", bound=Message)


async def once(
    deployment: OpenDeployment, request: Mutation, response: M, act: Callable[[], Awaitable[M]]
) -> M:
    """What `act` answers, once for each request id of a caller and method."""
    method = type(request).__name__.removesuffix("Request")
    scope = f"{caller().spiffe_id} {method}"
    return await deployment.ledger.once(scope, request.request_id, request, response, act)


def acting() -> Actor:
    """Who makes the running call, and where."""
    return Actor(the_person().user_id, str(caller().spiffe_id))
