"""MeasurementService: known cases among the matches, and what they show."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime

from cordon.v1 import measurement_pb2, measurement_pb2_grpc
from cordon_server.api import convert
from cordon_server.api.calls import once
from cordon_server.api.edge import Context, the_person
from cordon_server.domain import VOLUNTEER, InvalidInput, NotFound, NotReady
from cordon_server.matches.drift import BASELINE_TRACKS, WINDOW_TRACKS, Measure
from cordon_server.matches.drift_watch import CameraDrift
from cordon_server.matches.rates import Rate
from cordon_server.matches.records import VolunteerRecord
from cordon_server.matches.seeds import Case, OperatorResult
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.sessions.live import Live
from cordon_server.sessions.preflight import KnownPicture, Preflights, volunteer


class MeasurementServicer(measurement_pb2_grpc.MeasurementServiceServicer):
    """Serves what is measured while people work."""

    def __init__(
        self, live: Live, preflights: Preflights, *, clock: Callable[[], datetime]
    ) -> None:
        self._live = live
        self._preflights = preflights
        self._clock = clock

    async def SeedCase(  # noqa: N802  # gRPC's name
        self, request: measurement_pb2.SeedCaseRequest, context: Context
    ) -> measurement_pb2.SeedCaseResponse:
        deployment_id = convert.deployment_of(request.parent)
        deployment = await self._live.opened(deployment_id)
        user_id = the_person().user_id

        async def act() -> measurement_pb2.SeedCaseResponse:
            self._live.check_open(deployment)
            case = await _case(deployment, request)
            if request.validate_only:
                return measurement_pb2.SeedCaseResponse()
            async with deployment.logging:
                # It may have been halted meanwhile, and nothing is logged after that (R13).
                self._live.check_open(deployment)
                match_id = await deployment.matches.seeds.place(case, user_id)
            return measurement_pb2.SeedCaseResponse(
                match=f"deployments/{deployment_id}/matches/{match_id}"
            )

        return await once(
            deployment.ledger,
            request,
            measurement_pb2.SeedCaseResponse(),
            act,
        )

    async def GetShiftReport(  # noqa: N802  # gRPC's name
        self, request: measurement_pb2.GetShiftReportRequest, context: Context
    ) -> measurement_pb2.GetShiftReportResponse:
        deployment = await self._live.opened(convert.deployment_of(request.parent))
        since = convert.optional_moment(request, "since", "since")
        results = await deployment.matches.seeds.report(since)
        return measurement_pb2.GetShiftReportResponse(results=map(_result, results))

    async def RecordPass(  # noqa: N802  # gRPC's name
        self, request: measurement_pb2.RecordPassRequest, context: Context
    ) -> measurement_pb2.RecordPassResponse:
        deployment = await self._live.opened(convert.deployment_of(request.parent))
        user_id = the_person().user_id

        async def act() -> measurement_pb2.RecordPassResponse:
            self._live.check_open(deployment)
            record = await self._pass(deployment, request, user_id)
            await deployment.matches.volunteers.passed(record, dry_run=request.validate_only)
            return measurement_pb2.RecordPassResponse(pass_time=convert.timestamp(record.time))

        return await once(
            deployment.ledger,
            request,
            measurement_pb2.RecordPassResponse(),
            act,
        )

    async def GetTpir(  # noqa: N802  # gRPC's name
        self, request: measurement_pb2.GetTpirRequest, context: Context
    ) -> measurement_pb2.GetTpirResponse:
        deployment = await self._live.opened(convert.deployment_of(request.parent))
        rates = await deployment.matches.volunteers.rates()
        return measurement_pb2.GetTpirResponse(
            rates=[
                measurement_pb2.HourlyRate(
                    camera=f"cameras/{each.camera_id}",
                    start_time=convert.timestamp(each.hour),
                    recognised=_rate(each.recognised),
                )
                for each in rates
            ]
        )

    async def PreflightCamera(  # noqa: N802  # gRPC's name
        self,
        request_iterator: AsyncIterator[measurement_pb2.PreflightCameraRequest],
        context: Context,
    ) -> measurement_pb2.PreflightCameraResponse:
        first = await anext(request_iterator, None)
        if first is None or first.WhichOneof("payload") != "start":
            raise InvalidInput("the first message of a pre-flight is start", field="payload")
        start, user_id = first.start, the_person().user_id
        deployment = await self._live.opened(convert.deployment_of(start.parent))
        camera_id, pictures = convert.last_part(start.camera), _pictures(request_iterator)

        async def act() -> measurement_pb2.PreflightCameraResponse:
            if start.validate_only:
                await self._preflights.check(deployment, camera_id, pictures)
                return measurement_pb2.PreflightCameraResponse()
            found = await self._preflights.run(deployment, camera_id, pictures, user_id)
            return measurement_pb2.PreflightCameraResponse(
                recognised=_rate(found.recognised),
                volunteers=_rate(found.volunteers),
                threshold=found.threshold,
                **{why.value: count for why, count in found.missed.items()},
            )

        return await once(deployment.ledger, start, measurement_pb2.PreflightCameraResponse(), act)

    async def ListCameraDrifts(  # noqa: N802  # gRPC's name
        self, request: measurement_pb2.ListCameraDriftsRequest, context: Context
    ) -> measurement_pb2.ListCameraDriftsResponse:
        deployment = await self._live.opened(convert.deployment_of(request.parent))
        watch = deployment.matches.drift
        return measurement_pb2.ListCameraDriftsResponse(
            drifts=[_drift(name, watch.camera(name)) for name in deployment.record.cameras]
        )

    async def _pass(
        self,
        deployment: OpenDeployment,
        request: measurement_pb2.RecordPassRequest,
        user_id: str,
    ) -> VolunteerRecord:
        """The pass that is meant; raises what is wrong with it."""
        camera_id, record = convert.last_part(request.camera), deployment.record
        if camera_id not in record.cameras:
            raise InvalidInput(
                f"camera {camera_id} is not of this deployment; its cameras are: "
                + ", ".join(record.cameras),
                field="camera",
            )
        entry_id = await volunteer(deployment, request.external_ref)
        now = self._clock()
        time = convert.optional_moment(request, "pass_time", "pass_time") or now
        if not record.start_time <= time <= now:
            raise InvalidInput(
                "a pass lies between the start of the deployment and now", field="pass_time"
            )
        return VolunteerRecord(entry_id, camera_id, time, user_id)


async def _pictures(
    requests: AsyncIterator[measurement_pb2.PreflightCameraRequest],
) -> AsyncIterator[KnownPicture]:
    """What follows the start."""
    async for request in requests:
        if request.WhichOneof("payload") != "picture":
            raise InvalidInput("start comes first and once; send pictures now", field="payload")
        yield KnownPicture(request.picture.external_ref, request.picture.jpeg)


async def _case(deployment: OpenDeployment, request: measurement_pb2.SeedCaseRequest) -> Case:
    """The case as the deployment's own figures make it; raises what is wrong with it."""
    camera_id, entry_id = convert.last_part(request.camera), request.external_ref
    session = deployment.cameras.get(camera_id)
    if session is None or session.newest is None:
        raise NotReady(
            f"camera {camera_id} is not streaming into this deployment, and a case there would be "
            "known for one; take a camera that is",
            reason="NOT_STREAMING",
        )
    _, references = await deployment.watchlist.get(entry_id)
    if not references:
        raise NotFound(f"entry {entry_id} has no picture to compare with")
    candidate = deployment.gallery.candidate_of(entry_id, references[0].reference_id)
    if candidate is None or candidate.category == VOLUNTEER:
        raise InvalidInput(
            f"{entry_id} is never an alert now, as a volunteer or until the entry is approved, and "
            "a case would be known for one; take another entry",
            reason="NEVER_AN_ALERT",
            field="external_ref",
        )
    point = (request.face_point.x, request.face_point.y) if request.HasField("face_point") else None
    examined = await deployment.watchlist.examine(request.image, point)
    for reference in references:
        if examined.face_jpeg == await deployment.watchlist.image(entry_id, reference.reference_id):
            raise InvalidInput(
                "this very picture is enrolled: the pair would be twice the same; give another",
                reason="ENROLLED_PICTURE",
                field="image",
            )
    frame_sequence, captured_at = session.newest
    return Case(
        candidate=candidate,
        camera_id=camera_id,
        frame_sequence=frame_sequence,
        captured_at=captured_at,
        probe_jpeg=examined.face_jpeg,
        quality=examined.quality,
        is_true=request.same_person,
    )


def _drift(camera_id: str, drift: CameraDrift) -> measurement_pb2.CameraDrift:
    shown = measurement_pb2.CameraDrift(
        camera=f"cameras/{camera_id}",
        baseline_people=drift.baseline.tracks,
        baseline_people_needed=BASELINE_TRACKS,
        windows=drift.windows,
        window_people=WINDOW_TRACKS,
    )
    for measure, number in _MEASURES.items():
        told = shown.measures.add(measure=number)
        if drift.baseline.tracks >= BASELINE_TRACKS:
            told.baseline = drift.baseline.value(measure)
        if drift.current is not None:
            told.current = drift.current.value(measure)
        if (alarm := drift.alarms.get(measure)) is not None:
            told.alarm_time.CopyFrom(convert.timestamp(alarm.raise_time))
    return shown


_MEASURES = {
    Measure.QUALITY: measurement_pb2.DRIFT_MEASURE_QUALITY,
    Measure.SCORE: measurement_pb2.DRIFT_MEASURE_SCORE,
    Measure.ALERTS: measurement_pb2.DRIFT_MEASURE_ALERTS,
}


def _result(result: OperatorResult) -> measurement_pb2.OperatorResult:
    return measurement_pb2.OperatorResult(
        user=f"users/{result.user_id}",
        missed=_rate(result.missed),
        accepted=_rate(result.accepted),
        undecided=_rate(result.undecided),
        errors=_rate(result.errors),
    )


def _rate(rate: Rate) -> measurement_pb2.Rate:
    return measurement_pb2.Rate(count=rate.count, total=rate.of, low=rate.low, high=rate.high)
