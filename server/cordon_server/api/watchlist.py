"""WatchlistService: pictures onto a deployment's list, one by one or many in a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cordon.v1 import watchlist_pb2, watchlist_pb2_grpc
from cordon_server.api import convert
from cordon_server.api.edge import Context, caller
from cordon_server.api.rules import PAGE_SIZE_DEFAULT, check_row
from cordon_server.authority.watchlist import Application, Enrolment, Examined
from cordon_server.config import Limits
from cordon_server.domain import (
    InvalidInput,
    LimitReached,
    Reason,
    ReasonCode,
    UnusablePicture,
)
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.live import Live

EXAMINED_AHEAD = 4
"""Rows of one import that are worked on at once; their reports keep the order of the rows."""

Subject = watchlist_pb2.EnrolReferenceRequest | watchlist_pb2.ImportRow
Report = watchlist_pb2.ImportReferencesResponse


@dataclass(frozen=True, slots=True)
class ListChecks:
    """What a request must keep to beside its fields' rules."""

    categories: tuple[str, ...]
    image_bytes_max: int

    def check(self, request: Subject) -> None:
        """Raises `InvalidInput` for a category outside the closed set (R6) or too many bytes."""
        if request.category not in self.categories:
            raise InvalidInput(
                f"category must be one of {', '.join(self.categories)} (R6)", field="category"
            )
        self.check_image(request.image)

    def check_image(self, image: bytes) -> None:
        """Raises `UnusablePicture` for too many bytes."""
        if len(image) > self.image_bytes_max:
            message = (
                f"the picture has {len(image)} bytes, {self.image_bytes_max} are allowed; send a "
                "smaller one"
            )
            raise UnusablePicture(message, (Reason(ReasonCode.IMAGE_TOO_LARGE, message),))


class WatchlistServicer(watchlist_pb2_grpc.WatchlistServiceServicer):
    """Serves the watchlists of deployments that have not ended."""

    def __init__(self, live: Live, categories: tuple[str, ...], limits: Limits) -> None:
        self._live = live
        self._checks = ListChecks(categories, limits.image_bytes_max)

    async def EnrolReference(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.EnrolReferenceRequest, context: Context
    ) -> watchlist_pb2.EnrolReferenceResponse:
        deployment = await self._opened(request.parent)

        async def act() -> watchlist_pb2.EnrolReferenceResponse:
            enrolment = await self._enrol(deployment, request, dry_run=request.validate_only)
            return await _enrolled(deployment, enrolment, dry_run=request.validate_only)

        return await deployment.ledger.once(
            f"{caller().spiffe_id} EnrolReference",
            request.request_id,
            request,
            watchlist_pb2.EnrolReferenceResponse(),
            act,
        )

    async def ImportReferences(  # type: ignore[override]  # noqa: N802  # the stub knows generators only
        self,
        request_iterator: AsyncIterator[watchlist_pb2.ImportReferencesRequest],
        context: Context,
    ) -> None:
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("payload") != "start":
            raise InvalidInput("the first message of an import is start", field="payload")
        deployment = await self._opened(first.start.parent)
        async with asyncio.TaskGroup() as tasks:
            reports: asyncio.Queue[asyncio.Task[Report] | None] = asyncio.Queue(EXAMINED_AHEAD)
            feeding = tasks.create_task(
                self._feed(tasks, deployment, first.start.validate_only, request_iterator, reports)
            )
            while (report := await reports.get()) is not None:
                await context.write(await report)
            await feeding

    async def CheckReference(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.CheckReferenceRequest, context: Context
    ) -> watchlist_pb2.CheckReferenceResponse:
        deployment = await self._opened(request.parent)
        self._checks.check_image(request.image)
        deployment_id = deployment.record.deployment_id
        try:
            examined = await deployment.watchlist.examine(request.image, _point(request))
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
            entry=convert.entry(record, references, deployment.record.deployment_id)
        )

    async def ListEntries(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.ListEntriesRequest, context: Context
    ) -> watchlist_pb2.ListEntriesResponse:
        deployment = await self._opened(request.parent)
        size = request.page_size or PAGE_SIZE_DEFAULT
        after = convert.after_token(request.page_token)
        found = await deployment.watchlist.page(after, size + 1)
        page, deployment_id = found[:size], deployment.record.deployment_id
        return watchlist_pb2.ListEntriesResponse(
            entries=[convert.entry(record, refs, deployment_id) for record, refs in page],
            next_page_token=convert.page_token(page[-1][0].entry_id) if len(found) > size else "",
        )

    async def RemoveEntry(  # noqa: N802  # gRPC's name
        self, request: watchlist_pb2.RemoveEntryRequest, context: Context
    ) -> watchlist_pb2.RemoveEntryResponse:
        deployment = await self._opened(request.name)

        async def act() -> watchlist_pb2.RemoveEntryResponse:
            removed = await deployment.watchlist.remove(
                convert.last_part(request.name), dry_run=request.validate_only
            )
            return watchlist_pb2.RemoveEntryResponse(references_removed=removed)

        return await deployment.ledger.once(
            f"{caller().spiffe_id} RemoveEntry",
            request.request_id,
            request,
            watchlist_pb2.RemoveEntryResponse(),
            act,
        )

    async def _opened(self, name: str) -> OpenDeployment:
        return await self._live.opened(convert.deployment_of(name))

    async def _enrol(
        self,
        deployment: OpenDeployment,
        request: Subject,
        *,
        dry_run: bool,
        turn: asyncio.Task[Report] | None = None,
    ) -> Enrolment:
        """Examines at once, enrols when `turn` is over."""
        self._checks.check(request)
        application = _application(request)
        watchlist = deployment.watchlist
        if (known := await watchlist.known(application)) is not None:
            return known
        examined: Examined = await watchlist.examine(application.image, application.face_point)
        if turn is not None:
            await turn
        return await watchlist.enrol(application, examined, dry_run=dry_run)

    async def _feed(
        self,
        tasks: asyncio.TaskGroup,
        deployment: OpenDeployment,
        dry_run: bool,
        requests: AsyncIterator[watchlist_pb2.ImportReferencesRequest],
        reports: asyncio.Queue[asyncio.Task[Report] | None],
    ) -> None:
        """Starts work on rows; waits when EXAMINED_AHEAD reports are not out yet.

        Rows are examined side by side and enrolled in their order, so that of two rows with one
        face it is always the first that is accepted.
        """
        turn: asyncio.Task[Report] | None = None
        async for request in requests:
            if request.WhichOneof("payload") != "row":
                raise InvalidInput("start comes first and once; send rows now", field="payload")
            turn = tasks.create_task(self._report(deployment, request.row, turn, dry_run=dry_run))
            await reports.put(turn)
        await reports.put(None)

    async def _report(
        self,
        deployment: OpenDeployment,
        row: watchlist_pb2.ImportRow,
        turn: asyncio.Task[Report] | None,
        *,
        dry_run: bool,
    ) -> Report:
        deployment_id = deployment.record.deployment_id
        report = Report(row=row.row, external_ref=row.external_ref)
        try:
            check_row(row)
            enrolment = await self._enrol(deployment, row, dry_run=dry_run, turn=turn)
        except (InvalidInput, LimitReached) as error:
            report.outcome = watchlist_pb2.ENROL_OUTCOME_REJECTED
            report.reasons.extend(convert.reason(each, deployment_id) for each in _reasons(error))
            return report
        finally:
            if turn is not None:  # or the row behind this one would overtake those before it
                await turn
        report.outcome = _outcome(enrolment)
        report.reasons.extend(convert.reason(each, deployment_id) for each in enrolment.warnings)
        report.reference = convert.reference_name(
            deployment_id, enrolment.entry.entry_id, enrolment.reference_id
        )
        return report


def _application(request: Subject) -> Application:
    return Application(
        entry_id=request.external_ref,
        category=request.category,
        threshold=request.threshold if request.HasField("threshold") else None,
        image=request.image,
        face_point=_point(request),
    )


def _point(
    request: Subject | watchlist_pb2.CheckReferenceRequest,
) -> tuple[float, float] | None:
    if not request.HasField("face_point"):
        return None
    return request.face_point.x, request.face_point.y


def _reasons(error: InvalidInput | LimitReached) -> tuple[Reason, ...]:
    if isinstance(error, UnusablePicture):
        return error.reasons
    is_full = isinstance(error, LimitReached)
    code = ReasonCode.LIMIT_REACHED if is_full else ReasonCode.BAD_FIELD
    return (Reason(code, error.message),)


def _outcome(enrolment: Enrolment) -> watchlist_pb2.EnrolOutcome.ValueType:
    if enrolment.is_new:
        return watchlist_pb2.ENROL_OUTCOME_ACCEPTED
    return watchlist_pb2.ENROL_OUTCOME_ALREADY_ENROLLED


async def _enrolled(
    deployment: OpenDeployment, enrolment: Enrolment, *, dry_run: bool
) -> watchlist_pb2.EnrolReferenceResponse:
    deployment_id = deployment.record.deployment_id
    response = watchlist_pb2.EnrolReferenceResponse(
        outcome=_outcome(enrolment),
        warnings=[convert.reason(each, deployment_id) for each in enrolment.warnings],
    )
    if not (dry_run and enrolment.is_new):
        record, references = await deployment.watchlist.get(enrolment.entry.entry_id)
        response.entry.CopyFrom(convert.entry(record, references, deployment_id))
    return response
