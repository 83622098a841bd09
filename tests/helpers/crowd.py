"""People of the mosaics' crowd on a list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from cordon.v1 import watchlist_pb2, watchlist_pb2_grpc
from tests.helpers.rpc import channel_of
from tests.helpers.site import Site


async def list_people(site: Site, deployment: str, pictures: Sequence[Path]) -> int:
    """Imports each picture as a subject of its own; how many passed the gate."""

    async def requests() -> AsyncIterator[watchlist_pb2.ImportReferencesRequest]:
        start = watchlist_pb2.ImportStart(parent=f"deployments/{deployment}")
        yield watchlist_pb2.ImportReferencesRequest(start=start)
        for row, picture in enumerate(pictures):
            subject = watchlist_pb2.ImportRow(
                row=row, external_ref=f"s-{row}", category="wanted", image=picture.read_bytes()
            )
            yield watchlist_pb2.ImportReferencesRequest(row=subject)

    async with channel_of(site.officer, fresh=True) as channel:
        stub = watchlist_pb2_grpc.WatchlistServiceStub(channel)
        outcomes = [report.outcome async for report in stub.ImportReferences(requests())]
    return outcomes.count(watchlist_pb2.ENROL_OUTCOME_ACCEPTED)
