"""The composition root: reading it top to bottom is reading the server. Nothing else constructs,
but for the parts that the settings alone make (`parts`)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from grpc_health.v1 import health as health_service
from grpc_health.v1 import health_pb2

from cordon.v1.machine_pb2_grpc import add_EnrolmentServiceServicer_to_server
from cordon_server.acts import Act, AuditClass
from cordon_server.api.audit import AuditServicer
from cordon_server.api.cameras import CameraServicer
from cordon_server.api.deployments import DeploymentServicer
from cordon_server.api.edge import Edge
from cordon_server.api.enrolment import EnrolmentEdge, EnrolmentServicer
from cordon_server.api.identity import IdentityServicer
from cordon_server.api.machines import MachineServicer, deny_identity
from cordon_server.api.matches import MatchServicer
from cordon_server.api.measurement import MeasurementServicer
from cordon_server.api.receipts import ReceiptServicer
from cordon_server.api.recognition import RecognitionServicer
from cordon_server.api.retention import RetentionServicer
from cordon_server.api.server import (
    RECOGNISING,
    SERVICES,
    add_services,
    make_enrolment_server,
    make_server,
)
from cordon_server.api.watchlist import WatchlistServicer
from cordon_server.audit.room import open_audit
from cordon_server.authority.cameras import Cameras
from cordon_server.authority.clock import KeptClock
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.policy import load_policy
from cordon_server.config import Settings
from cordon_server.domain import DeviceLost
from cordon_server.engine import open_engine
from cordon_server.identity.admission import Admission
from cordon_server.identity.calls import LiveCalls
from cordon_server.identity.hierarchy import load_authority
from cordon_server.identity.names import Role
from cordon_server.identity.rates import (
    ENROLMENTS_IN_ALL,
    ENROLMENTS_PER_ADDRESS,
    RENEWALS_IN_ALL,
    RENEWALS_PER_MACHINE,
    RateLimit,
)
from cordon_server.identity.scopes import Scopes
from cordon_server.identity.serving import ServerCertificate
from cordon_server.life import Stores, open_life
from cordon_server.matches.receipts import Receipts
from cordon_server.operations.metrics import Metrics, listening
from cordon_server.parts import (
    ceiling,
    made_of,
    open_keyring,
    publisher,
    server_started,
    warm_up,
)
from cordon_server.registry import open_registry
from cordon_server.sessions.ceiling_watch import CeilingWatch
from cordon_server.sessions.forecasting import Forecasting, comparisons
from cordon_server.sessions.live import Live
from cordon_server.sessions.makers import makers
from cordon_server.sessions.preflight import Preflights
from cordon_server.sessions.proof import Prover
from cordon_server.staff import open_staff
from cordon_server.store.lock import locked
from cordon_server.store.requests import RequestLedger

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    port: int
    enrolment_port: int
    provider: str


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@asynccontextmanager
async def running(
    settings: Settings, *, clock: Callable[[], datetime] = utc_now
) -> AsyncIterator[Running]:
    """A running server; leaving drains it.

    Health says NOT_SERVING from the first moment the port answers until models are warm and the
    galleries of armed deployments are loaded. Raises the `OurFault`s of a server that cannot start.
    """
    policy = load_policy(settings.authority.policy)
    async with AsyncExitStack() as stack:
        # First what only one server may have: the data directory.
        stack.enter_context(locked(settings.storage.data))
        certificate = ServerCertificate(settings.storage.certificates, clock=clock)
        authority = load_authority(settings.storage.certificates)
        keyring = await asyncio.to_thread(open_keyring, settings)

        # Before all that acts: what cannot be recorded is not done.
        audit = await stack.enter_async_context(
            open_audit(settings.audit_places, keyring, clock=clock)
        )

        metrics = Metrics()
        stack.enter_context(listening(metrics, settings.metrics.port))

        writer = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="writer"))
        registry = open_registry(settings, writer)
        stack.push_async_callback(registry.close)
        cameras = Cameras(registry, count_max=settings.limits.cameras_max, clock=clock)
        kept_clock = KeptClock(registry, wall=clock)
        deployments = Deployments(
            registry,
            policy,
            open_max=settings.limits.deployments_open_max,
            clock=kept_clock.now,
        )
        ledger = RequestLedger(registry, clock=clock)
        receipts = Receipts(registry, site=settings.site, recorder=audit, clock=clock)
        staff = open_staff(stack, settings, authority, registry, cameras, clock=clock)
        scopes = Scopes(deployments.get_now, makers(deployments, lambda name: live.opened(name)))
        admission = Admission(staff.people, scopes, clock=clock)
        calls = LiveCalls([staff.register.judge, admission.judge], clock=clock)
        rate = RateLimit(
            now_s=time.monotonic, per_key=ENROLMENTS_PER_ADDRESS, in_all=ENROLMENTS_IN_ALL
        )
        renewals = RateLimit(
            now_s=time.monotonic, per_key=RENEWALS_PER_MACHINE, in_all=RENEWALS_IN_ALL
        )

        # Ports that are taken are said so before the models' seconds.
        edge = Edge(
            site=settings.site,
            clock=clock,
            denied=staff.register,
            admission=admission,
            calls=calls,
            recorder=audit,
            tell=metrics.call_answered,
        )
        server, port = make_server(settings.listen, certificate, edge)
        enrolling, enrolment_port = make_enrolment_server(
            settings.listen,
            settings.listen.port_of_enrolment(port),
            certificate,
            EnrolmentEdge(rate, audit, metrics.call_answered),
        )

        engine = await open_engine(stack, settings)
        models = engine.models
        made = await asyncio.to_thread(made_of, models.pack, settings)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        stores = Stores(registry, keyring, audit, writer, kept_clock, clock)
        life = await open_life(
            settings,
            stores,
            engine,
            deployments,
            cameras,
            staff.officer_keys,
            made_of=made,
            tasks=tasks,
            metrics=metrics,
        )
        live = life.live
        metrics.watch(
            "cordon_certificate_reload_failures_total", lambda: certificate.reload_failures
        )
        metrics.watch("cordon_calls_running", lambda: len(calls))
        metrics.watch("cordon_queue_age_seconds", engine.scheduler.waiting_s)
        metrics.watch("cordon_audit_leaves_total", audit.size_now)
        metrics.watch("cordon_database_use_ratio", audit.used, database="audit")
        metrics.watch("cordon_database_use_ratio", registry.used, database="registry")
        metrics.watch("cordon_database_use_ratio", live.used, database="deployments")
        health = add_services(
            server,
            recognition=RecognitionServicer(live, settings.limits, audit, clock),
            matches=MatchServicer(
                live,
                receipts,
                CeilingWatch(ceiling(policy), life.stops.suspend),
                subscribers_max=settings.limits.subscribers_max,
            ),
            receipts=ReceiptServicer(
                receipts,
                deployments,
                live,
                life.holds,
                ledger,
                complaint_route=settings.authority.complaint_route,
            ),
            measurement=MeasurementServicer(
                live, Preflights(engine.scheduler, audit, clock=kept_clock.now), clock=clock
            ),
            watchlist=WatchlistServicer(live, settings.limits, life.manifest),
            deployments=DeploymentServicer(
                deployments,
                live,
                life.moves,
                life.stops,
                Forecasting(
                    live,
                    comparisons(models.pack.impostors),
                    settings.decision.margin_min,
                    policy.threshold.fpir_max,
                ),
                ledger,
                staff.officer_keys,
                publisher=publisher(settings),
                threshold_default=models.pack.score_threshold,
                check_user=staff.users.get,
                on_assigned=calls.look_again,
            ),
            cameras=CameraServicer(
                cameras,
                live,
                ledger,
                shut_out=lambda name: deny_identity(
                    staff.register, calls, staff.issuer.spiffe_id(Role.CAMERA, name)
                ),
            ),
            retention=RetentionServicer(
                deployments,
                live,
                life.manifest,
                life.holds,
                Prover(
                    life.opener,
                    engine.enroller,
                    engine.scheduler,
                    audit,
                    data=settings.storage.data,
                    site=settings.site,
                    clock=clock,
                ),
                ledger,
            ),
            machines=MachineServicer(
                staff.issuer,
                staff.enrolments,
                staff.register,
                calls,
                ledger,
                renewals,
                enrolment_address=lambda: _address(certificate.shown.hosts[0], enrolment_port),
                clock=clock,
            ),
            people=IdentityServicer(staff.people, staff.users, calls, ledger, clock=clock),
            audit=AuditServicer(audit, before_export=life.counting.record_armed),
        )
        add_EnrolmentServiceServicer_to_server(
            EnrolmentServicer(staff.issuer, staff.enrolments, rate), enrolling
        )
        for service in ("", *SERVICES):
            await health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        guarding = [
            tasks.create_task(each) for each in (calls.run(), certificate.watch(), audit.run())
        ]
        # While nobody can call: what is being made would look like what a kill has left.
        await life.forgetting.clear_up()
        await server.start()
        await enrolling.start()
        log.info("server.policy", policy=policy.name, digest=policy.digest.hex())
        log.info(
            "server.listening",
            host=settings.listen.host,
            port=port,
            enrolment_port=enrolment_port,
        )

        await asyncio.to_thread(warm_up, models, settings)
        await life.stops.settle()
        live.start()
        guarding += [
            tasks.create_task(each)
            for each in (life.forgetting.run(), life.stops.run(), life.counting.run())
        ]
        for service in ("", *SERVICES):
            await health.set(service, health_pb2.HealthCheckResponse.SERVING)
        for each in (models, engine.pictures):
            if each is not None:
                each.watch(_failing_over(live, health, tasks))
        await audit.note(server_started(models, policy, made))
        log.info(
            "server.serving",
            pid=os.getpid(),
            port=port,
            provider=models.provider,
            workers=engine.workers,
        )
        try:
            yield Running(port, enrolment_port, models.provider)
        finally:
            # Say so, send the cameras away, let calls finish, then stop what they used.
            await health.enter_graceful_shutdown()
            log.info("server.draining")
            await enrolling.stop(0)
            await live.stop()
            await server.stop(settings.listen.grace_s)
            for task in guarding:
                task.cancel()
            await kept_clock.keep(always=True)
            await asyncio.to_thread(engine.scheduler.stop, settings.listen.grace_s)
            await life.counting.record_armed()
            await live.close()
            await audit.note(Act(AuditClass.NONE, "server.stopped"))
            log.info("server.stopped")


def _failing_over(
    live: Live, health: health_service.aio.HealthServicer, tasks: asyncio.TaskGroup
) -> Callable[[DeviceLost], None]:
    """What to do when the device is lost: say so everywhere. It never goes on on the CPU, which
    could not keep up and would not be noticed."""
    loop = asyncio.get_running_loop()

    async def fail_over(lost: DeviceLost) -> None:
        for service in RECOGNISING:
            await health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        live.stop_recognising()
        log.critical("server.not_serving", reason=lost.reason, why=lost.message)

    def on_lost(lost: DeviceLost) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(lambda: tasks.create_task(fail_over(lost)))

    return on_lost


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
