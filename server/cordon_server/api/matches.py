"""MatchService: the match log to the control room, and decisions back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from cordon.v1 import match_pb2, match_pb2_grpc
from cordon_server.api import convert
from cordon_server.api.edge import Context, caller
from cordon_server.api.rules import PAGE_SIZE_DEFAULT
from cordon_server.domain import InvalidInput, LimitReached
from cordon_server.matches.log import SEQUENCE_MAX
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.live import Live

READ_AHEAD = 50
"""Matches read from the log at once for one subscriber."""
HEARTBEAT_S = 5.0
"""How often a subscriber with nothing new hears that the stream is alive."""


class MatchServicer(match_pb2_grpc.MatchServiceServicer):
    """Serves the match log."""

    def __init__(self, live: Live, *, subscribers_max: int) -> None:
        self._live = live
        self._subscribers_max = subscribers_max
        self._subscribers = 0

    async def SubscribeMatches(  # noqa: N802  # gRPC's name
        self, request: match_pb2.SubscribeMatchesRequest, context: Context
    ) -> AsyncIterator[match_pb2.SubscribeMatchesResponse]:
        deployment = await self._live.opened(convert.deployment_of(request.parent))
        if request.after_sequence > deployment.log.head:
            raise InvalidInput(
                f"the log ends at {deployment.log.head}, nothing can come after "
                f"{request.after_sequence}; subscribe with a sequence you were given",
                field="after_sequence",
            )
        if self._subscribers >= self._subscribers_max:
            raise LimitReached(
                f"{self._subscribers} streams follow matches and limits.subscribers_max allows no "
                "more; close one"
            )
        self._subscribers += 1
        try:
            async for response in _follow(deployment, request.after_sequence):
                yield response
        finally:
            self._subscribers -= 1
        self._live.check_following(deployment)

    async def GetMatch(  # noqa: N802  # gRPC's name
        self, request: match_pb2.GetMatchRequest, context: Context
    ) -> match_pb2.GetMatchResponse:
        deployment_id = convert.deployment_of(request.name)
        deployment = await self._live.opened(deployment_id)
        record = await deployment.log.get(_sequence(request.name))
        return match_pb2.GetMatchResponse(match=convert.match(record, deployment_id))

    async def ListMatches(  # noqa: N802  # gRPC's name
        self, request: match_pb2.ListMatchesRequest, context: Context
    ) -> match_pb2.ListMatchesResponse:
        deployment_id = convert.deployment_of(request.parent)
        deployment = await self._live.opened(deployment_id)
        size = request.page_size or PAGE_SIZE_DEFAULT
        after = _token_sequence(request.page_token)
        found = await deployment.log.page(after, size + 1)
        page = found[:size]
        return match_pb2.ListMatchesResponse(
            matches=[convert.match(record, deployment_id) for record in page],
            next_page_token=(
                convert.page_token(str(page[-1].match_id)) if len(found) > size else ""
            ),
        )

    async def GetMatchImages(  # noqa: N802  # gRPC's name
        self, request: match_pb2.GetMatchImagesRequest, context: Context
    ) -> match_pb2.GetMatchImagesResponse:
        deployment = await self._live.opened(convert.deployment_of(request.name))
        sequence = _sequence(request.name)
        record = await deployment.log.get(sequence)
        return match_pb2.GetMatchImagesResponse(
            probe_jpeg=await deployment.log.image(sequence),
            reference_jpeg=await deployment.watchlist.image(record.entry_id, record.reference_id),
        )

    async def AdjudicateMatch(  # noqa: N802  # gRPC's name
        self, request: match_pb2.AdjudicateMatchRequest, context: Context
    ) -> match_pb2.AdjudicateMatchResponse:
        deployment_id = convert.deployment_of(request.name)
        deployment = await self._live.opened(deployment_id)
        adjudicator = str(caller().spiffe_id)

        async def act() -> match_pb2.AdjudicateMatchResponse:
            record = await deployment.log.adjudicate(
                _sequence(request.name),
                convert.DECISIONS[request.decision],
                adjudicator,
                dry_run=request.validate_only,
            )
            return match_pb2.AdjudicateMatchResponse(match=convert.match(record, deployment_id))

        return await deployment.ledger.once(
            f"{adjudicator} AdjudicateMatch",
            request.request_id,
            request,
            match_pb2.AdjudicateMatchResponse(),
            act,
        )


async def _follow(
    deployment: OpenDeployment, sequence: int
) -> AsyncIterator[match_pb2.SubscribeMatchesResponse]:
    """The log from a position on, until it closes; reads only as fast as the subscriber takes."""
    deployment_id, log = deployment.record.deployment_id, deployment.log
    while not log.is_closed:
        records = await log.after(sequence, READ_AHEAD)
        for record in records:
            sequence = record.sequence
            yield match_pb2.SubscribeMatchesResponse(match=convert.match(record, deployment_id))
        if not records:
            heartbeat = match_pb2.Heartbeat(head_sequence=log.head)
            yield match_pb2.SubscribeMatchesResponse(heartbeat=heartbeat)
            await log.wait_beyond(sequence, HEARTBEAT_S)


def _sequence(name: str) -> int:
    return int(convert.last_part(name))


def _token_sequence(token: str) -> int:
    after = convert.after_token(token) or "0"
    if not after.isdecimal() or int(after) > SEQUENCE_MAX:
        raise InvalidInput("page_token is not from this server", field="page_token")
    return int(after)
