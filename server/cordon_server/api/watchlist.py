"""WatchlistService: pictures onto a deployment's list, and what people do with the list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

from cordon.v1 import watchlist_pb2
from cordon_server.api import convert
from cordon_server.api.calls import acting, once
from cordon_server.api.edge import Context
from cordon_server.api.rules import PAGE_SIZE_DEFAULT
from cordon_server.api.watchlist_convert import (
    Subject,
    application,
    entry,
    outcome,
    point,
    watchlist,
)
from cordon_server.api.watchlist_import import Importing, Requests, Turn, check_rows
from cordon_server.api.watchlist_proposals import ProposalServicer
from cordon_server.authority.manifest import Manifest
from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist_enrolment import Enrolment, Examined
from cordon_server.authority.watchlist_rules import Application
from cordon_server.config.sections import Limits
from cordon_server.domain import InvalidInput, Reason, ReasonCode, UnusablePicture
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.live import Live


class WatchlistServicer(ProposalServicer):
    """Serves the watchlists of deployments that have not ended."""

    def __init__(self, live: Live, limits: Limits, manifest: Manifest) -> None:
        super().__init__(live, manifest)
        self._image_bytes_max = limits.image_bytes_max

    async def EnrolReference(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.EnrolReferenceRequest, context: Context
    ) -> watchlist_pb2.EnrolReferenceResponse:
        deployment = await self._opened(request.parent)

        async def act() -> watchlist_pb2.EnrolReferenceResponse:
            enrolment = await self._enrol(
                deployment, request.validate_only, acting(), request, turn=None
            )
            return await _enrolled(deployment, enrolment, dry_run=request.validate_only)

        return await once(deployment.ledger, request, watchlist_pb2.EnrolReferenceResponse(), act)

    async def ImportReferences(  # type: ignore[override]  # noqa: N802  # the stub knows generators only
        self,
        request_iterator: AsyncIterator[watchlist_pb2.ImportReferencesRequest],
        context: Context,
    ) -> None:
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("payload") != "start":
            raise InvalidInput("the first message of an import is start", field="payload")
        start = first.start
        deployment = await self._opened(start.parent)
        if start.as_proposal:
            await self._propose(deployment, start, request_iterator, context)
            return
        check_rows(deployment.watchlist.rules.entry, start)
        enrol = partial(self._enrol, deployment, start.validate_only, acting())
        await Importing(deployment.record.deployment_id, enrol).run(request_iterator, context)

    async def _propose(
        self,
        deployment: OpenDeployment,
        start: watchlist_pb2.ImportStart,
        requests: Requests,
        context: Context,
    ) -> None:
        """Tries the rows and keeps them for a second person."""
        if start.validate_only or not start.request_id:
            raise InvalidInput(
                "a proposal has a request_id and is a trial by itself; leave validate_only out",
                field="request_id",
            )
        applicant, deployment_id = acting(), deployment.record.deployment_id
        draft = await deployment.proposals.draw_up(start.request_id.lower(), applicant)

        async def enrol(row: watchlist_pb2.ImportRow, turn: Turn) -> Enrolment:
            asked = application(row, applicant)
            examined = await self._examined(deployment, asked)
            if turn is not None:
                await turn
            return await draft.add(row.row, asked, examined)

        proposal_id = draft.record.proposal_id
        await Importing(
            deployment_id,
            enrol,
            refused=draft.refuse,
            proposal=f"deployments/{deployment_id}/proposals/{proposal_id}",
        ).run(requests, context)
        await deployment.proposals.complete(draft.record)

    async def CheckReference(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.CheckReferenceRequest, context: Context
    ) -> watchlist_pb2.CheckReferenceResponse:
        deployment = await self._opened(request.parent)
        self._check_image(request.image)
        deployment_id = deployment.record.deployment_id
        try:
            examined = await deployment.watchlist.examine(request.image, point(request))
        except UnusablePicture as unusable:
            return watchlist_pb2.CheckReferenceResponse(
                reasons=[convert.reason(each, deployment_id) for each in unusable.reasons]
            )
        return watchlist_pb2.CheckReferenceResponse(
            quality=convert.quality(examined.quality),
            similar=[
                watchlist_pb2.Similar(
                    reference=convert.reference_name(deployment_id, entry, reference), score=score
                )
                for entry, reference, score in deployment.watchlist.similar(examined.template)
            ],
        )

    async def GetEntry(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.GetEntryRequest, context: Context
    ) -> watchlist_pb2.GetEntryResponse:
        deployment = await self._opened(request.name)
        record, references = await deployment.watchlist.get(convert.last_part(request.name))
        return watchlist_pb2.GetEntryResponse(
            entry=entry(
                record,
                references,
                deployment.record.deployment_id,
                await deployment.watchlist.state(),
            )
        )

    async def ListEntries(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.ListEntriesRequest, context: Context
    ) -> watchlist_pb2.ListEntriesResponse:
        deployment = await self._opened(request.parent)
        size = request.page_size or PAGE_SIZE_DEFAULT
        after = convert.after_token(request.page_token)
        found = await deployment.watchlist.page(after, size + 1)
        page, deployment_id = found[:size], deployment.record.deployment_id
        state = await deployment.watchlist.state()
        return watchlist_pb2.ListEntriesResponse(
            entries=[entry(record, refs, deployment_id, state) for record, refs in page],
            next_page_token=convert.page_token(page[-1][0].entry_id) if len(found) > size else "",
        )

    async def RemoveEntry(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.RemoveEntryRequest, context: Context
    ) -> watchlist_pb2.RemoveEntryResponse:
        deployment = await self._opened(request.name)

        async def act() -> watchlist_pb2.RemoveEntryResponse:
            removed = await deployment.watchlist.remove(
                convert.last_part(request.name), by=acting(), dry_run=request.validate_only
            )
            return watchlist_pb2.RemoveEntryResponse(references_removed=removed)

        return await once(deployment.ledger, request, watchlist_pb2.RemoveEntryResponse(), act)

    async def ApproveEntry(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.ApproveEntryRequest, context: Context
    ) -> watchlist_pb2.ApproveEntryResponse:
        deployment = await self._opened(request.name)

        async def act() -> watchlist_pb2.ApproveEntryResponse:
            approved = await deployment.watchlist.approve(
                convert.last_part(request.name), acting(), dry_run=request.validate_only
            )
            return watchlist_pb2.ApproveEntryResponse(
                entry=entry(*approved, deployment.record.deployment_id)
            )

        return await once(deployment.ledger, request, watchlist_pb2.ApproveEntryResponse(), act)

    async def GetWatchlist(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.GetWatchlistRequest, context: Context
    ) -> watchlist_pb2.GetWatchlistResponse:
        deployment = await self._opened(request.name)
        state = await deployment.watchlist.state()
        return watchlist_pb2.GetWatchlistResponse(
            watchlist=watchlist(state, deployment.record.deployment_id)
        )

    async def ReviewWatchlist(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.ReviewWatchlistRequest, context: Context
    ) -> watchlist_pb2.ReviewWatchlistResponse:
        deployment = await self._opened(request.name)

        async def act() -> watchlist_pb2.ReviewWatchlistResponse:
            state = await deployment.watchlist.review(
                bytes.fromhex(request.digest),
                acting(),
                deployment.record.creator,
                dry_run=request.validate_only,
            )
            return watchlist_pb2.ReviewWatchlistResponse(
                watchlist=watchlist(state, deployment.record.deployment_id)
            )

        return await once(deployment.ledger, request, watchlist_pb2.ReviewWatchlistResponse(), act)

    async def _enrol(
        self,
        deployment: OpenDeployment,
        dry_run: bool,
        applicant: Actor,
        request: Subject,
        turn: Turn,
    ) -> Enrolment:
        """Examines at once, enrols when `turn` is over."""
        asked, listed = application(request, applicant), deployment.watchlist
        self._check_image(request.image)
        if (known := await listed.known(asked)) is not None:
            return known
        examined = await self._examined(deployment, asked)
        if turn is not None:
            await turn
        return await listed.enrol(asked, examined, dry_run=dry_run)

    async def _examined(self, deployment: OpenDeployment, asked: Application) -> Examined:
        self._check_image(asked.image)
        overridden = bool(asked.particulars.override_reason)
        return await deployment.watchlist.examine(
            asked.image, asked.face_point, overridden=overridden
        )

    def _check_image(self, image: bytes) -> None:
        """Raises `UnusablePicture` for too many bytes."""
        if len(image) > self._image_bytes_max:
            message = (
                f"the picture has {len(image)} bytes, {self._image_bytes_max} are allowed; send a "
                "smaller one"
            )
            raise UnusablePicture(message, (Reason(ReasonCode.IMAGE_TOO_LARGE, message),))


async def _enrolled(
    deployment: OpenDeployment, enrolment: Enrolment, *, dry_run: bool
) -> watchlist_pb2.EnrolReferenceResponse:
    deployment_id = deployment.record.deployment_id
    response = watchlist_pb2.EnrolReferenceResponse(
        outcome=outcome(enrolment),
        warnings=[convert.reason(each, deployment_id) for each in enrolment.warnings],
    )
    if not (dry_run and enrolment.is_new):
        record, references = await deployment.watchlist.get(enrolment.entry.entry_id)
        response.entry.CopyFrom(entry(record, references, deployment_id))
    return response
