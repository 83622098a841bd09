"""What of a call goes on the record: the act before its handler begins, and what it failed with.

A call that is refused at the edge has not begun and is no act; it stands in the server's log. One
that fails after it has begun gets a second leaf, with the index of the first and the status. A call
that the client leaves has not failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import structlog
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from cordon_server.acts import Act, AuditClass, Fact, Recorder
from cordon_server.api.errors import status_of
from cordon_server.domain import CordonError, NotRecorded
from cordon_server.identity.admission import Admitted
from cordon_server.identity.permissions import permission

log = structlog.get_logger()

BY_HANDLER = frozenset({"/cordon.v1.RecognitionService/StreamFrames"})
"""Recorded by their handlers, which alone know what they act on: a camera's deployment."""

NAMING = {
    "name": "",
    "parent": "",
    "deployment": "",
    "deployment_id": "deployments/",
    "camera_id": "cameras/",
    "user_id": "users/",
    "spiffe_id": "",
    "id": "machines/",
}
"""Fields that say what a request acts on, and the collection that they name it in."""

PERSONAL_COLLECTIONS = frozenset({"users", "entries"})
"""What is named here is a person: only the collection is on record, and the whole name sealed."""


def is_recorded(method: str) -> bool:
    """Whether the edge records a method's calls."""
    return permission(method).audit is not AuditClass.NONE and method not in BY_HANDLER


def act_of(method: str, request: Message | None, admitted: Admitted) -> Act:
    """The act that a call is; None stands for a stream that ended without a message."""
    named = "" if request is None else _named(request)
    facts: dict[str, Fact] = {"trial": True} if request and _is_trial(request) else {}
    for other in others_of(request):
        facts["other"] = other
    return act_on(method, named, admitted, facts)


def others_of(request: Message | None) -> list[str]:
    """The resource names of what a request looks at beside what it acts on."""
    other = getattr(request, "other", "")
    return [other] if other else []


def act_on(
    method: str, named: str, admitted: Admitted, facts: dict[str, Fact] | None = None
) -> Act:
    """The act that a call on the resource of a name is."""
    public = _public(named)
    personal = {
        "person": admitted.person.user_id if admitted.person else "",
        "justification": admitted.justification,
        "resource": named if public != named else "",
    }
    parts = named.split("/")
    return Act(
        permission(method).audit,
        method,
        parts[1] if parts[0] == "deployments" and len(parts) > 1 else "",
        public,
        str(admitted.peer.spiffe_id),
        facts or {},
        {name: value for name, value in personal.items() if value},
    )


@asynccontextmanager
async def recorded(recorder: Recorder, act: Act) -> AsyncIterator[None]:
    """Records the act before the block, and after it what it failed with; raises `NotRecorded`
    before."""
    index = await recorder.record(act)
    try:
        yield
    except (asyncio.CancelledError, grpc.aio.AbortError):
        raise
    except Exception as error:  # raised again: the edge says it to the caller
        await _record_failure(recorder, act, index, error)
        raise


async def _record_failure(recorder: Recorder, act: Act, index: int, error: Exception) -> None:
    facts: dict[str, Fact] = {"of": index, "outcome": status_of(error)[0].name}
    if isinstance(error, CordonError):
        facts["reason"] = error.reason
    try:
        await recorder.record(replace(act, facts=facts, personal={}))
    except NotRecorded as missed:
        log.error("audit.outcome_not_recorded", leaf=index, why=missed.message)


def _named(message: Message) -> str:
    """The resource that a message names, itself or in a message within."""
    fields = message.DESCRIPTOR.fields_by_name
    for field, collection in NAMING.items():
        known = fields.get(field)
        if known is not None and known.type == FieldDescriptor.TYPE_STRING:
            value = getattr(message, field)
            if value:
                return f"{collection}{value}"
    within = (value for _, value in message.ListFields() if isinstance(value, Message))
    return next(filter(None, map(_named, within)), "")


def _public(named: str) -> str:
    """A resource name up to the first collection of persons."""
    parts = named.split("/")
    for position, part in enumerate(parts):
        if position % 2 == 0 and part in PERSONAL_COLLECTIONS:
            return "/".join(parts[: position + 1])
    return named


def _is_trial(message: Message) -> bool:
    if getattr(message, "validate_only", False):
        return True
    return any(_is_trial(value) for _, value in message.ListFields() if isinstance(value, Message))
