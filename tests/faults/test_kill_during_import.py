"""A server that is killed while it enrols has lost nothing that it acknowledged."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator

import grpc
import pytest

from cordon.v1 import watchlist_pb2, watchlist_pb2_grpc
from tests.data import shared_data
from tests.helpers.rpc import channel_of
from tests.helpers.site import Site

KILLS = 20
ROWS_BEFORE_KILL_MAX = 25


@pytest.mark.slow
async def test_twenty_kills_lose_no_acknowledged_entry_and_double_none(own_site: Site) -> None:
    chance = random.Random(20)
    people = sorted(p for p in shared_data("lfw", "deepfunneled").iterdir() if p.is_dir())
    rows = {person.name: min(person.glob("*.jpg")).read_bytes() for person in people[:600]}
    deployment = own_site.add_deployment(own_site.add_camera()[0])
    acknowledged: dict[str, int] = {}
    rejected: set[str] = set()

    for _ in range(KILLS):
        left = [ref for ref in rows if ref not in acknowledged and ref not in rejected]
        after = chance.randrange(1, ROWS_BEFORE_KILL_MAX)
        await _import_until_killed(own_site, deployment, left, rows, acknowledged, rejected, after)
        await asyncio.to_thread(own_site.start)

    listed = own_site.cordon_json("admin", "watchlist", "list", deployment)
    references = {entry["external_ref"]: len(entry["references"]) for entry in listed}
    print(f"\n{len(acknowledged)} acknowledged before {KILLS} kills, {len(references)} listed")
    assert len(acknowledged) >= KILLS
    assert acknowledged.keys() <= references.keys()
    assert set(references.values()) == {1}
    # What was written but not yet acknowledged may be there too: at most what was under way.
    assert len(references) - len(acknowledged) <= KILLS * 8


async def _import_until_killed(
    site: Site,
    deployment: str,
    left: list[str],
    rows: dict[str, bytes],
    acknowledged: dict[str, int],
    rejected: set[str],
    kill_after: int,
) -> None:
    """Imports what is left and kills the server after some acknowledgements."""
    async with channel_of(site.officer, fresh=True) as channel:
        stub = watchlist_pb2_grpc.WatchlistServiceStub(channel)
        reports = stub.ImportReferences(_requests(deployment, left, rows))
        seen = 0
        try:
            async for report in reports:
                if report.outcome == watchlist_pb2.ENROL_OUTCOME_REJECTED:
                    rejected.add(report.external_ref)
                else:
                    acknowledged[report.external_ref] = report.outcome
                seen += 1
                if seen == kill_after:
                    await asyncio.to_thread(site.stop, signal.SIGKILL)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE  # noqa: PT017  # the code, not the raise


async def _requests(
    deployment: str, left: list[str], rows: dict[str, bytes]
) -> AsyncIterator[watchlist_pb2.ImportReferencesRequest]:
    start = watchlist_pb2.ImportStart(parent=f"deployments/{deployment}")
    yield watchlist_pb2.ImportReferencesRequest(start=start)
    for number, ref in enumerate(left):
        yield watchlist_pb2.ImportReferencesRequest(
            row=watchlist_pb2.ImportRow(
                row=number, external_ref=ref, category="wanted", image=rows[ref]
            )
        )


def test_a_stopped_server_leaves_a_data_directory_that_only_its_owner_reads(own_site: Site) -> None:
    own_site.add_deployment(own_site.add_camera()[0])

    code = own_site.stop()

    assert code == 0
    for path in (own_site.folder / "data").rglob("*"):
        assert not path.stat().st_mode & 0o077, f"{path} is open to others"
    keys = list(own_site.folder.rglob("*key.pem"))
    assert keys
    assert all(not key.stat().st_mode & 0o077 for key in keys)
