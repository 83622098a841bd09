"""Answers already given, so that a request sent again has no second effect (AIP-155).

A request's answer is kept under the caller, the method and the request id. It is written after the
act: a server killed between the two answers the repeat as it would any other request, which for
every act here says that the thing is done already.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import msgspec

from cordon_server.domain import InvalidInput
from cordon_server.store.environment import Environment, Table, Transaction

KEPT_FOR = timedelta(hours=24)
COUNT_MAX = 10_000
"""Beyond this the oldest half is forgotten."""


class AnswerRecord(msgspec.Struct, frozen=True):
    """An answer given, and what it answered."""

    request_digest: bytes
    response: bytes
    create_time: datetime


REQUESTS = Table("requests", AnswerRecord)


class Message(Protocol):
    """What the ledger needs of a request or response."""

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802  # protobuf's name
    def ParseFromString(self, serialized: bytes) -> int: ...  # noqa: N802  # protobuf's name


class Mutation(Message, Protocol):
    """A request that may be for trial only."""

    request_id: str

    @property
    def validate_only(self) -> bool: ...


M = TypeVar("M", bound=Message)


@dataclass(slots=True)
class _Turn:
    """Who waits for one request id; there for as long as anybody does."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class RequestLedger:
    """Answers each request id once."""

    def __init__(self, environment: Environment, *, clock: Callable[[], datetime]) -> None:
        self._environment = environment
        self._clock = clock
        self._turns: dict[bytes, _Turn] = {}

    async def once(
        self,
        scope: str,
        request_id: str,
        request: Mutation,
        response: M,
        act: Callable[[], Awaitable[M]],
    ) -> M:
        """What `act` answers, or what it answered to this request id before.

        `scope` is caller and method; `response` an empty message to read an earlier answer into. An
        empty request id is always acted on, and so is a trial: it has no effect to repeat, and its
        id is free for the real thing. Raises `InvalidInput` when the id came with other content
        before.
        """
        if not request_id or request.validate_only:
            return await act()
        key = hashlib.sha256(f"{scope}\n{request_id.lower()}".encode()).digest()
        digest = _digest(request)
        async with self._turn(key):
            return await self._once(key, digest, response, act)

    @asynccontextmanager
    async def _turn(self, key: bytes) -> AsyncIterator[None]:
        turn = self._turns.setdefault(key, _Turn())
        turn.waiting += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                del self._turns[key]

    async def _once(
        self, key: bytes, digest: bytes, response: M, act: Callable[[], Awaitable[M]]
    ) -> M:
        earlier = await self._environment.read(lambda txn: txn.get(REQUESTS, key))
        if earlier is not None and self._clock() - earlier.create_time < KEPT_FOR:
            if earlier.request_digest != digest:
                raise InvalidInput(
                    "this request_id was used for another request; take a fresh UUID",
                    field="request_id",
                )
            response.ParseFromString(earlier.response)
            return response
        answer = await act()
        record = AnswerRecord(digest, answer.SerializeToString(), self._clock())
        await self._environment.write(lambda txn: _remember(txn, key, record))
        return answer


def _digest(request: Mutation) -> bytes:
    # A UUID is the same in either case, so a request that differs in that alone is.
    if not request.request_id.islower():
        request = copy.deepcopy(request)
        request.request_id = request.request_id.lower()
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def _remember(txn: Transaction, key: bytes, record: AnswerRecord) -> None:
    if txn.count(REQUESTS) >= COUNT_MAX:
        by_age = sorted(txn.scan(REQUESTS), key=lambda item: item[1].create_time)
        for old, _ in by_age[: COUNT_MAX // 2]:
            txn.delete(REQUESTS, old)
    txn.put(REQUESTS, key, record)
