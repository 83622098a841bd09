"""What every call passes through: who is calling, may they, is the message in order, is it on
record, and what an error becomes. Wraps the handler, for an interceptor by itself does not see the
connection."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message

from cordon_server.acts import Recorder
from cordon_server.api import rules
from cordon_server.api.errors import status_of, trailing_details
from cordon_server.api.recording import act_of, is_recorded, others_of, recorded
from cordon_server.domain import CordonError, LimitReached
from cordon_server.identity.admission import Admission, Admitted
from cordon_server.identity.calls import Call, LiveCalls
from cordon_server.identity.peers import DenyList, Peer, identify
from cordon_server.identity.people import Person
from cordon_server.identity.scopes import looks_at_names

log = structlog.get_logger()

METADATA_BYTES_MAX = 16 * 2**10
"""Of all keys and values that come with a call."""
TIME_KEY = "cordon-time"
"""Of the trailing metadata that tells a caller the server's clock; `cordon doctor` compares."""

_ADMITTED: ContextVar[Admitted] = ContextVar("admitted")

Context = grpc.aio.ServicerContext[Any, Any]
Tell = Callable[[str, str], None]
"""Takes a method and the status that a call of it was answered with."""


def admitted() -> Admitted:
    """Who makes the running call."""
    return _ADMITTED.get()


def caller() -> Peer:
    """Which machine made the running call."""
    return _ADMITTED.get().peer


def signed_in() -> Person | None:
    """Who made the running call; None where the certificate alone did."""
    return _ADMITTED.get().person


def the_person() -> Person:
    """The same where the permission table wants a person."""
    found = signed_in()
    assert found is not None, "the permission table wants a person here"
    return found


class Edge(grpc.aio.ServerInterceptor):
    """Authorises, validates, translates and logs every call of every service."""

    def __init__(
        self,
        *,
        site: str,
        clock: Callable[[], datetime],
        denied: DenyList,
        admission: Admission,
        calls: LiveCalls[Person],
        recorder: Recorder,
        tell: Tell,
    ) -> None:
        self._site = site
        self._clock = clock
        self._denied = denied
        self._admission = admission
        self._calls = calls
        self._recorder = recorder
        self._tell = tell

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None  # grpcio answers UNIMPLEMENTED
        return self._wrapped(handler_call_details.method, handler)

    def _wrapped(self, method: str, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        make, act = _parts(handler)

        async def answer_one(request: Any, context: Context) -> Any:
            async with (
                self._guarded(method, context) as call,
                self._prepared(call, request, context) as given,
            ):
                return await act(given, context)

        async def answer_many(request: Any, context: Context) -> None:
            async with (
                self._guarded(method, context) as call,
                self._prepared(call, request, context) as given,
            ):
                responses = act(given, context)
                if not inspect.isasyncgen(responses):
                    await responses
                    return
                async for response in responses:
                    await context.write(response)

        return make(  # type: ignore[no-any-return]  # grpcio's factories are untyped
            answer_many if handler.response_streaming else answer_one,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    @asynccontextmanager
    async def _guarded(self, method: str, context: Context) -> AsyncIterator[Call[Person]]:
        who = Who()
        async with answering(method, context, who, self._tell):
            check_metadata(context)
            peer = identify(context.auth_context(), self._site, self._clock(), self._denied)
            who.peer = str(peer.spiffe_id)
            who_calls = self._admission.admit(method, peer, context.invocation_metadata() or ())
            _ADMITTED.set(who_calls)
            who.person = who_calls.person.user_id if who_calls.person else None
            who.justification = who_calls.justification or None
            context.set_trailing_metadata(((TIME_KEY, self._clock().isoformat()),))
            who.call = Call(
                method, peer, who_calls.person, partial(_abort, context), asyncio.current_task()
            )
            with self._calls.running(who.call):
                yield who.call

    @asynccontextmanager
    async def _prepared(
        self, call: Call[Person], request: Any, context: Context
    ) -> AsyncIterator[Any]:
        """What the handler is given: in order, on what its caller may act on, and on record by then
        (no audit, no action). What a stream is about stands in its first message."""
        first, given = request, request
        if isinstance(request, Message):
            rules.check(request)
        elif looks_at_names(call.method) or is_recorded(call.method):
            first = await _read(context)
            given = _again(first, context)
        else:
            given = _in_order(context)
        if looks_at_names(call.method):
            await self._admission.admit_to(call, subject_of(first), *others_of(first))
        if not is_recorded(call.method):
            yield given
            return
        async with recorded(self._recorder, act_of(call.method, first, _ADMITTED.get())):
            yield given


@dataclass(slots=True)
class Who:
    """Who called, as far as it is known."""

    peer: str | None = None
    person: str | None = None
    justification: str | None = None
    call: Call[Person] | None = None


@asynccontextmanager
async def answering(method: str, context: Context, who: Who, tell: Tell) -> AsyncIterator[None]:
    """Turns an error of the block into the call's status; logs the call and tells of it."""
    started, outcome = time.monotonic(), "OK"
    try:
        yield
    except asyncio.CancelledError:
        outcome = "CANCELLED"
        raise
    except grpc.aio.AbortError:
        outcome = "ABORTED"
        raise
    except Exception as raised:  # the top: the caller hears of it, the log tells all
        error = _innermost(raised)
        if isinstance(error, grpc.aio.AbortError):  # of a task of the handler's; all is said
            outcome = "ABORTED"
            raise error from None
        code, text = status_of(error)
        outcome = code.name
        if not isinstance(error, CordonError) or code is grpc.StatusCode.INTERNAL:
            log.error("call.failed", method=method, exc_info=error)
        await context.abort(code, text, trailing_details(error))
    finally:
        if who.call is not None and who.call.ended_by is not None:
            outcome = status_of(who.call.ended_by)[0].name
        tell(method, outcome)
        log.info(
            "call",
            method=method,
            peer=who.peer,
            person=who.person,
            justification=who.justification,
            outcome=outcome,
            ms=round(1000 * (time.monotonic() - started), 1),
        )


def check_metadata(context: Context) -> None:
    """Raises `LimitReached` for more metadata than a call may bring.

    gRPC has the same limit, but holds a client to it only once that has acknowledged the server's
    settings: whoever never does could send megabytes.
    """
    metadata = context.invocation_metadata() or ()
    if sum(len(key) + len(value) for key, value in metadata) > METADATA_BYTES_MAX:
        raise LimitReached(
            f"the call's metadata has more than {METADATA_BYTES_MAX} bytes; send less with it"
        )


async def _abort(context: Context, error: CordonError) -> None:
    """Ends a call from outside its handler."""
    try:
        await context.abort(*status_of(error), trailing_details(error))
    except (grpc.aio.AbortError, grpc.aio.UsageError, grpc.aio.InternalError, RuntimeError):
        return  # it is raised for the handler's sake; or the call has ended by itself


def _innermost(error: BaseException) -> BaseException:
    """The first error of a group: what made the task group give up."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _parts(handler: Any) -> tuple[Any, Any]:
    """The factory of a handler's kind and its behaviour."""
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler, handler.stream_stream
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler, handler.stream_unary
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler, handler.unary_stream
    return grpc.unary_unary_rpc_method_handler, handler.unary_unary


def subject_of(request: Message | None) -> str:
    """The resource name that a request acts on, its own or its parent's, of a stream's first
    message that of its start; empty where there is none."""
    if request is None:
        return ""
    request = getattr(request, "start", request)
    fields = request.DESCRIPTOR.fields_by_name
    return next((str(getattr(request, key)) for key in ("name", "parent") if key in fields), "")


async def _in_order(context: Context) -> AsyncIterator[Message]:
    """The requests, none of them kept while the next one is waited for: grpcio's own iterator
    would hold a silent camera's last frame (R1)."""
    request = await _read(context)
    while request is not None:
        yield request
        del request
        request = await _read(context)


async def _again(first: Message | None, context: Context) -> AsyncIterator[Message]:
    """A stream whose first message was looked at."""
    if first is None:
        return
    yield first
    del first
    async for request in _in_order(context):
        yield request
        del request


async def _read(context: Context) -> Message | None:
    """The next request of a stream, in order; None after the last."""
    request = await context.read()
    if request is grpc.aio.EOF:
        return None
    rules.check(request)
    return request  # type: ignore[no-any-return]  # a message, by the method's deserializer
