"""Cells of a matrix of calls: each a method, a connection and what is shown; run against a server
with a witness, they come back with the status that the caller saw and whether a handler began.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from tests.helpers.prepared_site import PreparedSite
from tests.helpers.traced_server import CALL_KEY, ENTERED

UNDER_WAY_MAX = 48
CALL_S_MAX = 30.0
TRIES_MAX = 3
LOST = grpc.StatusCode.UNAVAILABLE.name
DETAILS_KEY = "grpc-status-details-bin"

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What is to come of a cell."""

    codes: frozenset[str]
    reasons: frozenset[str] = frozenset()
    """In the error's details; any where none is named."""
    is_entered: bool = False


@dataclass(slots=True)
class Cell:
    """One call, what is expected of it, and what came of it."""

    label: str
    method: str
    channel: grpc.aio.Channel
    request: Message
    expected: Expected
    metadata: Metadata = ()
    code: str = ""
    reason: str = ""
    entries: list[str] = field(default_factory=list)
    """Methods of the handlers that began; more than one, or another's, is a fault."""

    @property
    def fault(self) -> str:
        """What is wrong with the cell; nothing where it is as expected."""
        wanted = self.expected
        is_right = (
            self.code in wanted.codes
            and (not wanted.reasons or self.reason in wanted.reasons)
            and self.entries == [self.method] * wanted.is_entered
        )
        if is_right:
            return ""
        return (
            f"{self.method} by {self.label}: {self.code} {self.reason}, handlers {self.entries}; "
            f"expected {sorted(wanted.codes)} {sorted(wanted.reasons)}, {wanted.is_entered}"
        )


async def run_cells(site: PreparedSite, cells: Sequence[Cell]) -> None:
    """Makes every call and finds out which handlers began."""
    first = sum(1 for _ in site.events(ENTERED))
    room = asyncio.Semaphore(UNDER_WAY_MAX)

    async def run(number: int, cell: Cell) -> None:
        async with room:
            numbered = (*cell.metadata, (CALL_KEY, str(number)))
            for _ in range(TRIES_MAX):
                cell.code, cell.reason = await call_method(
                    cell.channel, cell.method, cell.request, numbered
                )
                # A connection may end under its calls, for its age or its pings, and says nothing
                # of who may call what; a handler that had begun shows as entered twice.
                if cell.code != LOST or LOST in cell.expected.codes:
                    break

    async with asyncio.TaskGroup() as group:
        for number, cell in enumerate(cells):
            group.create_task(run(number, cell))
    # A handler's line is written before its call is answered.
    for event in list(site.events(ENTERED))[first:]:
        cells[int(event["call"])].entries.append(event["method"])


def check_cells(cells: Sequence[Cell], title: str) -> None:
    """Prints how many cells there are and fails when one is not as expected."""
    faults = [cell.fault for cell in cells if cell.fault]
    entered = sum(bool(cell.entries) for cell in cells)
    refused = Counter(f"{cell.code} {cell.reason}".strip() for cell in cells if not cell.entries)
    right = len(cells) - len(faults)
    print(f"\n{title}: {right} of {len(cells)} cells as expected; handlers ran in {entered}")
    for what, count in refused.most_common():
        print(f"  {count:6} {what}")
    assert not faults, "\n".join(faults[:40])


async def call_method(
    channel: Any, method: str, request: Message, metadata: Metadata
) -> tuple[str, str]:
    """The status of a call with this one message, and the reason in its details; a stream of
    responses is left after its first."""
    message = request.SerializeToString()
    try:
        if _streams(method):
            call: Any = channel.unary_stream(method)(message, metadata=metadata, timeout=CALL_S_MAX)
            if await call.read() is grpc.aio.EOF:
                return (await call.code()).name, reason_of(await call.trailing_metadata())
            call.cancel()
        else:
            await channel.unary_unary(method)(message, metadata=metadata, timeout=CALL_S_MAX)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            print(f"{method}: {error.details()}")
        return error.code().name, reason_of(error.trailing_metadata())
    return "OK", ""


def reason_of(trailers: Any) -> str:
    """The reason in an error's details, or nothing."""
    for key, value in trailers or ():
        if key == DETAILS_KEY:
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""


def _streams(method: str) -> bool:
    # Only a server puts v1 of reflection into the pool; it is v1alpha's to the byte.
    service, _, name = method.replace("n.v1.S", "n.v1alpha.S").removeprefix("/").rpartition("/")
    found = descriptor_pool.Default().FindMethodByName(f"{service}.{name}")
    return bool(found.server_streaming)
