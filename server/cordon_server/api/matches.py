"""MatchService: the match log to the control room, and decisions back.

What goes out of a match is made of a `View` alone: what a caller may know is decided there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from cordon.v1 import match_pb2, match_pb2_grpc
from cordon_server.api import convert, match_messages
from cordon_server.api.calls import once
from cordon_server.api.edge import Context, caller, the_person
from cordon_server.api.rules import PAGE_SIZE_DEFAULT
from cordon_server.domain import InvalidInput, LimitReached
from cordon_server.identity.names import PersonRole
from cordon_server.matches.places import Verdict
from cordon_server.matches.receipts import Receipts
from cordon_server.matches.records import SEQUENCE_MAX, MatchRecord, Reviewer
from cordon_server.sessions.ceiling_watch import CeilingWatch
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.live import Live
from cordon_server.sessions.pictures import reference_pictures

READ_AHEAD = 50
"""Matches read from the log at once for one subscriber."""
HEARTBEAT_S = 5.0
"""How often a subscriber with nothing new hears that the stream is alive."""


class MatchServicer(match_pb2_grpc.MatchServiceServicer):
    """Serves the match log."""

    def __init__(
        self, live: Live, receipts: Receipts, ceiling: CeilingWatch, *, subscribers_max: int
    ) -> None:
        self._live = live
        self._receipts = receipts
        self._ceiling = ceiling
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
            async for response in _follow(deployment, request.after_sequence, the_reviewer()):
                yield response
        finally:
            self._subscribers -= 1
        self._live.check_following(deployment)

    async def GetMatch(  # noqa: N802  # gRPC's name
        self, request: match_pb2.GetMatchRequest, context: Context
    ) -> match_pb2.GetMatchResponse:
        deployment = await self._live.opened(convert.deployment_of(request.name))
        return match_pb2.GetMatchResponse(match=await _now(deployment, request.name))

    async def ListMatches(  # noqa: N802  # gRPC's name
        self, request: match_pb2.ListMatchesRequest, context: Context
    ) -> match_pb2.ListMatchesResponse:
        deployment = await self._live.opened(convert.deployment_of(request.parent))
        size = request.page_size or PAGE_SIZE_DEFAULT
        after = _token_sequence(request.page_token)
        found = await deployment.log.page(after, size + 1)
        page = found[:size]
        return match_pb2.ListMatchesResponse(
            matches=await _told(deployment, page, the_reviewer()),
            next_page_token=(
                convert.page_token(str(page[-1].match_id)) if len(found) > size else ""
            ),
        )

    async def GetMatchImages(  # noqa: N802  # gRPC's name
        self, request: match_pb2.GetMatchImagesRequest, context: Context
    ) -> match_pb2.GetMatchImagesResponse:
        deployment = await self._live.opened(convert.deployment_of(request.name))
        record = await deployment.log.get(_sequence(request.name))
        references = await reference_pictures(deployment, record)
        probes = await deployment.matches.review.show(record.match_id, the_reviewer(), references)
        return match_pb2.GetMatchImagesResponse(
            probes=map(match_messages.picture, probes),
            references=map(match_messages.picture, references),
        )

    async def ClaimMatch(  # noqa: N802  # gRPC's name
        self, request: match_pb2.ClaimMatchRequest, context: Context
    ) -> match_pb2.ClaimMatchResponse:
        deployment = await self._live.opened(convert.deployment_of(request.name))
        reviewer = the_reviewer()

        async def act() -> match_pb2.ClaimMatchResponse:
            until = await deployment.matches.review.claim(
                _sequence(request.name), reviewer, dry_run=request.validate_only
            )
            return match_pb2.ClaimMatchResponse(expire_time=convert.timestamp(until))

        return await once(deployment.ledger, request, match_pb2.ClaimMatchResponse(), act)

    async def AdjudicateMatch(  # noqa: N802  # gRPC's name
        self, request: match_pb2.AdjudicateMatchRequest, context: Context
    ) -> match_pb2.AdjudicateMatchResponse:
        deployment_id = convert.deployment_of(request.name)
        deployment = await self._live.opened(deployment_id)
        reviewer = the_reviewer()
        verdict = Verdict(
            match_messages.DECISIONS[request.decision],
            tuple(dict.fromkeys(match_messages.GROUNDS[reason] for reason in request.reasons)),
            frozenset(request.picture_ids),
        )

        async def act() -> match_pb2.AdjudicateMatchResponse:
            record = await deployment.log.get(_sequence(request.name))
            view = await deployment.matches.review.judge(
                record.match_id,
                verdict,
                reviewer,
                await reference_pictures(deployment, record),
                dry_run=request.validate_only,
            )
            if not request.validate_only:
                await self._receipts.note(deployment_id, view.record)
                await self._ceiling.look(deployment)
            return match_pb2.AdjudicateMatchResponse()

        response = await once(
            deployment.ledger,
            request,
            match_pb2.AdjudicateMatchResponse(),
            act,
        )
        response.match.CopyFrom(await _now(deployment, request.name))
        return response

    async def RecordOutcome(  # noqa: N802  # gRPC's name
        self, request: match_pb2.RecordOutcomeRequest, context: Context
    ) -> match_pb2.RecordOutcomeResponse:
        deployment_id = convert.deployment_of(request.name)
        deployment = await self._live.opened(deployment_id)
        reviewer, outcome = the_reviewer(), match_messages.OUTCOMES[request.outcome]

        async def act() -> match_pb2.RecordOutcomeResponse:
            record = await deployment.matches.outcomes.record(
                _sequence(request.name), outcome, reviewer, dry_run=request.validate_only
            )
            if not request.validate_only:
                await self._receipts.note(deployment_id, record, outcome)
            return match_pb2.RecordOutcomeResponse()

        response = await once(
            deployment.ledger,
            request,
            match_pb2.RecordOutcomeResponse(),
            act,
        )
        response.match.CopyFrom(await _now(deployment, request.name))
        return response


def the_reviewer() -> Reviewer:
    """Who makes the running call, and where."""
    person, peer = the_person(), caller()
    return Reviewer(
        person.user_id,
        person.session_id,
        str(peer.spiffe_id),
        peer.sha256,
        is_supervisor=PersonRole.SUPERVISOR in person.roles,
    )


async def _now(deployment: OpenDeployment, name: str) -> match_pb2.Match:
    """A match as the caller may know it now. Never part of a kept answer: that would outlive the
    match (R4)."""
    record = await deployment.log.get(_sequence(name))
    (match,) = await _told(deployment, [record], the_reviewer())
    return match


async def _told(
    deployment: OpenDeployment, records: Iterable[MatchRecord], reviewer: Reviewer
) -> list[match_pb2.Match]:
    """Matches as this person may know them."""
    views = await deployment.matches.review.views(records, reviewer)
    return [match_messages.match(view, deployment.record.deployment_id) for view in views]


async def _follow(
    deployment: OpenDeployment, sequence: int, reviewer: Reviewer
) -> AsyncIterator[match_pb2.SubscribeMatchesResponse]:
    """The log from a position on, until it closes; reads only as fast as the subscriber takes."""
    log = deployment.log
    while not log.is_closed:
        revisions = await log.after(sequence, READ_AHEAD)
        told = await _told(deployment, [each for _, each in revisions if each], reviewer)
        matches = {match.sequence: match for match in told}
        for sequence, _ in revisions:
            if (match := matches.get(sequence)) is not None:
                yield match_pb2.SubscribeMatchesResponse(match=match)
            else:
                deletion = match_pb2.Deletion(through_sequence=sequence)
                yield match_pb2.SubscribeMatchesResponse(deletion=deletion)
        if not revisions:
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
