"""The part of WatchlistService that looks at whole lists and writes nothing."""

from __future__ import annotations

from collections import Counter

from cordon.v1 import watchlist_pb2, watchlist_pb2_grpc
from cordon_server.api import convert
from cordon_server.api.edge import Context
from cordon_server.api.watchlist_convert import difference, entry, finding
from cordon_server.authority.manifest import Manifest
from cordon_server.authority.watchlist_difference import (
    Difference,
    differences,
    differences_since,
)
from cordon_server.authority.watchlist_lint import Listed
from cordon_server.domain import NotReady
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.live import Live

FINDINGS_MAX = 10_000
"""In one answer."""


class ListCheckServicer(watchlist_pb2_grpc.WatchlistServiceServicer):
    """Checks, compares and samples the lists of deployments that have not ended."""

    def __init__(self, live: Live, manifest: Manifest) -> None:
        self._live = live
        self._manifest = manifest

    async def CheckWatchlist(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.CheckWatchlistRequest, context: Context
    ) -> watchlist_pb2.CheckWatchlistResponse:
        deployment = await self._opened(request.name)
        found, state = await deployment.watchlist.findings()
        deployment_id = deployment.record.deployment_id
        return watchlist_pb2.CheckWatchlistResponse(
            digest=state.digest.hex(),
            findings=[finding(each, deployment_id) for each in found[:FINDINGS_MAX]],
            counts=Counter(str(each.kind) for each in found),
            entry_count=state.entries,
            cohort_count=deployment.watchlist.cohort_count,
        )

    async def CheckDifference(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.CheckDifferenceRequest, context: Context
    ) -> watchlist_pb2.CheckDifferenceResponse:
        this = await (await self._opened(request.name)).watchlist.whole()
        before, found, from_record = await self._since(this, request.other)
        same = (this.keys() & before) - {each.entry_id for each in found}
        return watchlist_pb2.CheckDifferenceResponse(
            differences=map(difference, found),
            unchanged_count=len(same),
            from_record=from_record,
        )

    async def _since(self, this: Listed, name: str) -> tuple[set[str], list[Difference], bool]:
        """Who was on the other list, how this differs, and whether the other is only on record."""
        try:
            other = await (await self._opened(name)).watchlist.whole()
        except NotReady as ended:
            record = await self._manifest.categories(convert.deployment_of(name))
            if not record:
                raise ended
            return set(record), list(differences_since(this, record)), True
        return set(other), list(differences(this, other)), False

    async def GetEntrySample(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.GetEntrySampleRequest, context: Context
    ) -> watchlist_pb2.GetEntrySampleResponse:
        deployment = await self._opened(request.name)
        state = await deployment.watchlist.state()
        drawn = await deployment.watchlist.sample(request.count)
        deployment_id = deployment.record.deployment_id
        return watchlist_pb2.GetEntrySampleResponse(
            entries=[entry(*each, deployment_id, state) for each in drawn],
            entry_count=state.entries,
            digest=state.digest.hex(),
        )

    async def _opened(self, name: str) -> OpenDeployment:
        return await self._live.opened(convert.deployment_of(name))
