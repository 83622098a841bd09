"""The part of WatchlistService for imports that wait for a second person."""

from __future__ import annotations

from functools import partial

from cordon.v1 import watchlist_pb2
from cordon_server.api import convert
from cordon_server.api.calls import acting, once
from cordon_server.api.edge import Context
from cordon_server.api.rules import PAGE_SIZE_DEFAULT
from cordon_server.api.watchlist_checks import ListCheckServicer
from cordon_server.api.watchlist_convert import proposal, proposal_row
from cordon_server.domain import InvalidInput


class ProposalServicer(ListCheckServicer):
    """Shows, applies and discards proposals."""

    async def GetProposal(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.GetProposalRequest, context: Context
    ) -> watchlist_pb2.GetProposalResponse:
        deployment = await self._opened(request.name)
        found = await deployment.proposals.get(convert.last_part(request.name))
        return watchlist_pb2.GetProposalResponse(
            proposal=proposal(found, deployment.record.deployment_id)
        )

    async def ListProposals(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.ListProposalsRequest, context: Context
    ) -> watchlist_pb2.ListProposalsResponse:
        deployment = await self._opened(request.parent)
        found = await deployment.proposals.all()
        return watchlist_pb2.ListProposalsResponse(
            proposals=[proposal(each, deployment.record.deployment_id) for each in found]
        )

    async def ListProposalRows(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.ListProposalRowsRequest, context: Context
    ) -> watchlist_pb2.ListProposalRowsResponse:
        deployment = await self._opened(request.parent)
        size = request.page_size or PAGE_SIZE_DEFAULT
        after = _row_of(convert.after_token(request.page_token))
        found = await deployment.proposals.rows(convert.last_part(request.parent), after, size + 1)
        page = found[:size]
        return watchlist_pb2.ListProposalRowsResponse(
            rows=[proposal_row(each, deployment.record.deployment_id) for each in page],
            next_page_token=convert.page_token(str(page[-1].row)) if len(found) > size else "",
        )

    async def ApplyProposal(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.ApplyProposalRequest, context: Context
    ) -> watchlist_pb2.ApplyProposalResponse:
        deployment = await self._opened(request.name)

        async def act() -> watchlist_pb2.ApplyProposalResponse:
            applied = await deployment.proposals.apply(
                convert.last_part(request.name),
                bytes.fromhex(request.digest),
                acting(),
                dry_run=request.validate_only,
            )
            return watchlist_pb2.ApplyProposalResponse(
                proposal=proposal(applied, deployment.record.deployment_id)
            )

        return await once(deployment.ledger, request, watchlist_pb2.ApplyProposalResponse(), act)

    async def DiscardProposal(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.DiscardProposalRequest, context: Context
    ) -> watchlist_pb2.DiscardProposalResponse:
        deployment = await self._opened(request.name)
        discard = partial(
            deployment.proposals.discard,
            convert.last_part(request.name),
            acting(),
            dry_run=request.validate_only,
        )

        async def act() -> watchlist_pb2.DiscardProposalResponse:
            await discard()
            return watchlist_pb2.DiscardProposalResponse()

        return await once(deployment.ledger, request, watchlist_pb2.DiscardProposalResponse(), act)


def _row_of(token: str) -> int | None:
    if not token:
        return None
    if not token.isdecimal() or len(token) > 10:
        raise InvalidInput("page_token is not from this server", field="page_token")
    return int(token)
