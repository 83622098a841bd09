"""The import against a real gRPC server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from cordon.v1 import watchlist_pb2
from cordon.v1.watchlist_pb2_grpc import (
    WatchlistServiceServicer,
    add_WatchlistServiceServicer_to_server,
)
from cordon_admin.importing import IN_FLIGHT_MAX, Import
from cordon_admin.rows import rows_of
from cordon_client.errors import ClientError, ExitCode
from tests.helpers.pki import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from cordon_admin.report import RowReport
    from cordon_admin.rows import Row
    from cordon_client.identity import ClientIdentity

ACCEPTED = watchlist_pb2.ENROL_OUTCOME_ACCEPTED
ALREADY = watchlist_pb2.ENROL_OUTCOME_ALREADY_ENROLLED
PARENT = "deployments/market"

_Servicer: Any = WatchlistServiceServicer


@dataclass
class Watchlist(_Servicer):  # type: ignore[misc]  # the base is abstract in its stubs only
    """Enrols by content, as the real one; breaks off after each count in `cuts`."""

    cuts: list[int] = field(default_factory=list)
    cut_code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    holds: asyncio.Event | None = None
    """Rows are answered only once it is set."""
    breaks_at_end: int = 0
    """So many streams break when their rows are answered."""
    enrolled: dict[bytes, int] = field(default_factory=dict)
    starts: list[watchlist_pb2.ImportStart] = field(default_factory=list)
    waiting_max: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when as many rows wait as may be in flight, less the one being held."""

    async def ImportReferences(self, request_iterator, context):  # type: ignore[no-untyped-def]  # noqa: N802
        """One stream; a cut leaves the row that was just enrolled without an answer."""
        left = self.cuts.pop(0) if self.cuts else -1
        waiting: asyncio.Queue[watchlist_pb2.ImportRow | None] = asyncio.Queue()

        async def receive() -> None:
            async for request in request_iterator:
                if request.HasField("start"):
                    self.starts.append(request.start)
                else:
                    waiting.put_nowait(request.row)
                    self.waiting_max = max(self.waiting_max, waiting.qsize())
                    if self.waiting_max >= IN_FLIGHT_MAX - 1:
                        self.full.set()
            waiting.put_nowait(None)

        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(receive())
            while (row := await waiting.get()) is not None:
                if self.holds is not None:
                    await self.holds.wait()
                is_new = row.image not in self.enrolled
                self.enrolled[row.image] = self.enrolled.get(row.image, 0) + is_new
                if left == 0:
                    receiving.cancel()
                    break
                left -= 1
                yield watchlist_pb2.ImportReferencesResponse(
                    row=row.row,
                    external_ref=row.external_ref,
                    outcome=ACCEPTED if is_new else ALREADY,
                    reference=f"{PARENT}/entries/{row.external_ref}/references/{row.row}",
                )
        if self.breaks_at_end > 0:
            self.breaks_at_end, left = self.breaks_at_end - 1, 0
        if left == 0:
            await context.abort(self.cut_code, "")


@asynccontextmanager
async def serving(servicer: Watchlist, folder: Path) -> AsyncIterator[ClientIdentity]:
    authority = Authority()
    server = grpc.aio.server()
    add_WatchlistServiceServicer_to_server(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", authority.server_credentials())
    await server.start()
    try:
        yield authority.client(folder / "identity", f"127.0.0.1:{port}")
    finally:
        await server.stop(None)


def pictures(folder: Path, count: int) -> list[Row]:
    images = []
    for number in range(count):
        image = folder / f"{number}.jpg"
        image.write_bytes(b"picture %d" % number)
        images.append(image)
    return rows_of("A-17", images, "wanted")


def importing(
    identity: ClientIdentity, rows: list[Row], **settings: float
) -> tuple[Import, list[RowReport], list[str]]:
    reports: list[RowReport] = []
    troubles: list[str] = []
    work = Import(
        identity,
        PARENT,
        rows,
        on_report=reports.append,
        on_trouble=troubles.append,
        give_up_after_s=settings.get("give_up_after_s", 20.0),
    )
    return work, reports, troubles


async def test_every_row_is_reported_once_and_in_order(tmp_path: Path) -> None:
    rows = pictures(tmp_path, 30)
    async with serving(Watchlist(), tmp_path) as identity:
        work, reports, troubles = importing(identity, rows)
        await work.run()

    assert [report.row for report in reports] == list(range(1, 31))
    assert {report.outcome for report in reports} == {"accepted"}
    assert troubles == []


@pytest.mark.parametrize(("as_proposal", "streams"), [(True, 2), (False, 1)])
async def test_a_proposal_is_complete_when_its_stream_has_ended_well(
    tmp_path: Path, as_proposal: bool, streams: int
) -> None:
    servicer = Watchlist(breaks_at_end=1)
    async with serving(servicer, tmp_path) as identity:
        work, reports, _ = importing(identity, pictures(tmp_path, 3))
        work.as_proposal = as_proposal
        await work.run()

    assert [start.as_proposal for start in servicer.starts] == [as_proposal] * streams
    assert [report.row for report in reports] == [1, 2, 3]


async def test_a_second_import_changes_nothing(tmp_path: Path) -> None:
    rows = pictures(tmp_path, 5)
    servicer = Watchlist()
    async with serving(servicer, tmp_path) as identity:
        await importing(identity, rows)[0].run()
        work, reports, _ = importing(identity, rows)
        await work.run()

    assert {report.outcome for report in reports} == {"already_enrolled"}
    assert set(servicer.enrolled.values()) == {1}


async def test_lost_connections_lose_no_row_and_repeat_none(tmp_path: Path) -> None:
    rows = pictures(tmp_path, 30)
    servicer = Watchlist(cuts=[3, 0, 7, 1])
    async with serving(servicer, tmp_path) as identity:
        work, reports, troubles = importing(identity, rows)
        await work.run()

    assert sorted(report.row for report in reports) == list(range(1, 31))
    assert set(servicer.enrolled.values()) == {1}
    assert len(servicer.enrolled) == 30
    # What had landed without an answer is answered so the second time.
    assert [r.outcome for r in reports].count("already_enrolled") >= 3
    assert 1 <= len(troubles) <= 4


async def test_the_act_keeps_its_request_id_across_connections(tmp_path: Path) -> None:
    servicer = Watchlist(cuts=[1, 1])
    async with serving(servicer, tmp_path) as identity:
        await importing(identity, pictures(tmp_path, 5))[0].run()

    assert len(servicer.starts) == 3
    assert len({start.request_id for start in servicer.starts}) == 1


async def test_rows_in_flight_are_bounded(tmp_path: Path) -> None:
    holds = asyncio.Event()
    servicer = Watchlist(holds=holds)
    async with serving(servicer, tmp_path) as identity:
        work, reports, _ = importing(identity, pictures(tmp_path, 40))
        async with asyncio.TaskGroup() as group:
            group.create_task(work.run())
            await servicer.full.wait()
            holds.set()

    assert servicer.waiting_max <= IN_FLIGHT_MAX
    assert len(reports) == 40


async def test_a_refusal_is_final(tmp_path: Path) -> None:
    servicer = Watchlist(cuts=[0] * 9, cut_code=grpc.StatusCode.FAILED_PRECONDITION)
    async with serving(servicer, tmp_path) as identity:
        work, reports, _ = importing(identity, pictures(tmp_path, 3))
        with pytest.raises(ClientError) as refused:
            await work.run()

    assert refused.value.exit_code is ExitCode.CONFLICT
    assert reports == []


async def test_it_gives_up_on_a_server_that_stays_away(tmp_path: Path) -> None:
    async with serving(Watchlist(), tmp_path) as identity:
        pass
    work, reports, troubles = importing(identity, pictures(tmp_path, 3), give_up_after_s=0.5)

    with pytest.raises(ClientError) as gone:
        await work.run()

    assert gone.value.exit_code is ExitCode.UNAVAILABLE
    assert "3 rows are not answered" in gone.value.what
    assert reports == []
    assert [trouble for trouble in troubles if "No server answers" in trouble] == troubles
    assert len(troubles) == 1


async def test_pictures_that_cannot_be_sent_are_reported_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    rows = pictures(tmp_path, 4)
    rows[1].image.unlink()
    with rows[2].image.open("wb") as huge:
        huge.truncate(17 * 1024 * 1024)
    async with serving(Watchlist(), tmp_path) as identity:
        work, reports, _ = importing(identity, rows)
        await work.run()

    found = {r.row: (r.outcome, [reason["code"] for reason in r.reasons]) for r in reports}
    assert found == {
        1: ("accepted", []),
        2: ("rejected", ["not_an_image"]),
        3: ("rejected", ["image_too_large"]),
        4: ("accepted", []),
    }
