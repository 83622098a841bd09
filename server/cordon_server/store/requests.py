"""Answers already given, so that a request sent again has no second effect (AIP-155).

A request's answer is kept under the caller, the method and the request id. It is written after the
act: a server killed between the two answers the repeat as it would any other request, which for
every act here says that the thing is done already.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
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


M = TypeVar("M", bound=Message)


class RequestLedger:
    """Answers each request id once."""

    def __init__(self, environment: Environment, *, clock: Callable[[], datetime]) -> None:
        self._environment = environment
        self._clock = clock
        self._running: dict[bytes, asyncio.Lock] = {}

    async def once(
        self,
        scope: str,
        request_id: str,
        request: Message,
        response: M,
        act: Callable[[], Awaitable[M]],
    ) -> M:
        """What `act` answers, or what it answered to this request id before.

        `scope` is caller and method; `response` an empty message to read an earlier answer into. An
        empty request id is always acted on. Raises `InvalidInput` when the id came with other
        content before.
        """
        if not request_id:
            return await act()
        key = hashlib.sha256(f"{scope}\n{request_id.lower()}".encode()).digest()
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        lock = self._running.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                return await self._once(key, digest, response, act)
        finally:
            if not lock.locked():
                self._running.pop(key, None)

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


def _remember(txn: Transaction, key: bytes, record: AnswerRecord) -> None:
    if txn.count(REQUESTS) >= COUNT_MAX:
        by_age = sorted(txn.scan(REQUESTS), key=lambda item: item[1].create_time)
        for old, _ in by_age[: COUNT_MAX // 2]:
            txn.delete(REQUESTS, old)
    txn.put(REQUESTS, key, record)
