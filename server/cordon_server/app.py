"""The composition root: reading it top to bottom is reading the server. Nothing else constructs,
but for the parts that the settings alone make (`parts`)."""

from __future__ import annotations

import asyncio
import os
import sys
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
from cordon_server.authority.clock import CLOCK, KeptClock
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.manifest import MANIFEST, Manifest
from cordon_server.authority.policy import load_policy
from cordon_server.authority.records import CAMERAS, DEPLOYMENTS
from cordon_server.config import Settings
from cordon_server.domain import DeviceLost
from cordon_server.identity.admission import Admission
from cordon_server.identity.attempts import Attempts
from cordon_server.identity.calls import LiveCalls
from cordon_server.identity.enrolment import ENROLMENTS, Enrolments
from cordon_server.identity.hierarchy import load_authority
from cordon_server.identity.issuance import Issuer
from cordon_server.identity.keys import SIGNING_KEYS, SigningKeys
from cordon_server.identity.names import Role
from cordon_server.identity.officer_keys import OFFICER_KEYS, OfficerKeys
from cordon_server.identity.passwords import Passwords
from cordon_server.identity.people import People
from cordon_server.identity.rates import (
    ENROLMENTS_IN_ALL,
    ENROLMENTS_PER_ADDRESS,
    RENEWALS_IN_ALL,
    RENEWALS_PER_MACHINE,
    RateLimit,
)
from cordon_server.identity.register import CERTIFICATE_KEYS, CERTIFICATES, CertificateRegister
from cordon_server.identity.scopes import Scopes
from cordon_server.identity.serving import ServerCertificate
from cordon_server.identity.sessions import SESSIONS
from cordon_server.identity.users import USERS, Users
from cordon_server.matches.receipts import RECEIPT_TABLES, Receipts
from cordon_server.matches.views import ReviewRule
from cordon_server.operations.metrics import Metrics, listening
from cordon_server.parts import (
    analyser_settings,
    calibration,
    ceiling,
    cohort,
    decision_rule,
    decoder,
    entry_rules,
    holds_files,
    keep_components,
    load_rules,
    match_classes,
    open_keyring,
    open_pack,
    open_pictures,
    publisher,
    server_started,
    stream_limits,
    warm_up,
)
from cordon_server.recognition.analyse import Analyser
from cordon_server.recognition.enrol import Enroller
from cordon_server.recognition.load import Load
from cordon_server.recognition.scheduler import Scheduler
from cordon_server.sessions.ceiling_watch import CeilingWatch
from cordon_server.sessions.counting import Counting
from cordon_server.sessions.deployment import DeploymentOpener
from cordon_server.sessions.forecasting import Forecasting, comparisons
from cordon_server.sessions.forgetting import Forgetting
from cordon_server.sessions.ground import Ground
from cordon_server.sessions.holds import HOLDS, Holds
from cordon_server.sessions.live import Live
from cordon_server.sessions.load_watch import LoadWatch
from cordon_server.sessions.makers import makers
from cordon_server.sessions.moves import Moves
from cordon_server.sessions.proof import Prover
from cordon_server.sessions.stops import Stops
from cordon_server.store.environment import Environment
from cordon_server.store.lock import locked
from cordon_server.store.requests import REQUESTS, RequestLedger
from cordon_server.store.sealing import PlainSealer

log = structlog.get_logger()

SWITCH_S = 0.0005
"""How long a thread may keep the interpreter from another where a GPU's thread is one of them.
Python's own 5 ms are several batches."""

REGISTRY_TABLES = (
    CAMERAS,
    DEPLOYMENTS,
    REQUESTS,
    CERTIFICATES,
    CERTIFICATE_KEYS,
    ENROLMENTS,
    USERS,
    SESSIONS,
    SIGNING_KEYS,
    *RECEIPT_TABLES,
    MANIFEST,
    HOLDS,
    OFFICER_KEYS,
    CLOCK,
)


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
        registry = Environment(
            settings.registry_folder,
            REGISTRY_TABLES,
            size_bytes_max=settings.storage.size_bytes_max,
            sealer=PlainSealer(),
            writer=writer,
        )
        stack.push_async_callback(registry.close)
        cameras = Cameras(registry, count_max=settings.limits.cameras_max, clock=clock)
        kept_clock = KeptClock(registry, wall=clock)
        officer_keys = OfficerKeys(registry, clock=clock)
        deployments = Deployments(
            registry,
            policy,
            open_max=settings.limits.deployments_open_max,
            clock=kept_clock.now,
        )
        ledger = RequestLedger(registry, clock=clock)
        receipts = Receipts(registry, site=settings.site, recorder=audit, clock=clock)
        register = CertificateRegister(registry, clock=clock)
        issuer = Issuer(registry, authority, settings.site, cameras, clock=clock)
        enrolments = Enrolments(registry, issuer)
        users = Users(registry, count_max=settings.people.users_max, clock=clock)
        comparing = stack.enter_context(ThreadPoolExecutor(2, thread_name_prefix="passwords"))
        people = People(
            registry,
            Passwords(comparing),
            Attempts(settings.people.attempt_limits, clock=clock),
            SigningKeys(registry, clock=clock),
            settings.people.session_rules,
            site=settings.site,
            clock=clock,
        )
        scopes = Scopes(deployments.get_now, makers(deployments, lambda name: live.opened(name)))
        admission = Admission(people, scopes, clock=clock)
        calls = LiveCalls([register.judge, admission.judge], clock=clock)
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
            denied=register,
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

        models = await asyncio.to_thread(open_pack, settings)
        stack.push_async_callback(asyncio.to_thread, models.close)
        if models.provider != "cpu":
            stack.callback(sys.setswitchinterval, sys.getswitchinterval())
            sys.setswitchinterval(SWITCH_S)
        pictures = await asyncio.to_thread(open_pictures, models)
        if pictures is not None:
            stack.push_async_callback(asyncio.to_thread, pictures.close)
        measured = await asyncio.to_thread(calibration, models, settings, pictures)
        models.limit_batch(measured.batch)
        count = settings.recognition.workers or measured.workers
        analysers = [
            Analyser(models, analyser_settings(settings), decoder(settings, pictures))
            for _ in range(count)
        ]
        examining = stack.enter_context(ThreadPoolExecutor(count, thread_name_prefix="examining"))
        enroller = Enroller(models)
        opener = DeploymentOpener(
            folder=settings.deployments_folder,
            keyring=keyring,
            model_id=models.pack.model_id,
            dimension=models.pack.dimension,
            size_bytes_max=settings.storage.size_bytes_max,
            duplicate_score=settings.watchlist.duplicate_score,
            entries_max=min(settings.limits.entries_max, policy.watchlist.entries_max),
            references_per_entry_max=settings.limits.references_per_entry_max,
            entry_rules=entry_rules(policy),
            recorder=audit,
            examiner=enroller,
            examining=examining,
            writer=writer,
            clock=clock,
            cohort=await asyncio.to_thread(cohort, settings, models),
            rule=decision_rule(settings),
            review=ReviewRule(policy.adjudication.reviewers, policy.adjudication.blind),
        )

        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        scheduler = Scheduler(analysers, age_s_max=settings.recognition.frame_age_s_max)
        live = Live(
            deployments,
            cameras,
            opener,
            scheduler,
            stream_limits(settings),
            LoadWatch(
                Load(count, load_rules(settings), measured.typical_s),
                settings.recognition.weights,
            ),
            tasks=tasks,
            clock=kept_clock.now,
            wall=clock,
            tell=metrics.frame_answered,
        )
        metrics.watch(
            "cordon_certificate_reload_failures_total", lambda: certificate.reload_failures
        )
        metrics.watch("cordon_calls_running", lambda: len(calls))
        metrics.watch("cordon_queue_age_seconds", scheduler.waiting_s)
        metrics.watch("cordon_audit_leaves_total", audit.size_now)
        metrics.watch("cordon_database_use_ratio", audit.used, database="audit")
        metrics.watch("cordon_database_use_ratio", registry.used, database="registry")
        metrics.watch("cordon_database_use_ratio", live.used, database="deployments")
        manifest = Manifest(registry, kept_for=settings.storage.manifest_kept_for, clock=clock)
        holds = Holds(registry, holds_files(settings, keyring), audit, clock=clock)
        forgetting = Forgetting(
            deployments,
            live,
            opener,
            manifest,
            holds,
            match_classes(policy),
            audit,
            clock=clock,
        )
        live.before_end = forgetting.before_end
        ground = Ground(
            deployments,
            live,
            audit,
            kept_clock,
            models.pack.model_id,
            officer_keys.find,
        )
        counting = Counting(lambda: live.open_deployments, audit)
        moves, stops = Moves(ground), Stops(ground, counting)
        live.on_list_change = moves.list_changes
        health = add_services(
            server,
            recognition=RecognitionServicer(live, settings.limits, audit, clock),
            matches=MatchServicer(
                live,
                receipts,
                CeilingWatch(ceiling(policy), stops.suspend),
                subscribers_max=settings.limits.subscribers_max,
            ),
            receipts=ReceiptServicer(
                receipts,
                deployments,
                live,
                holds,
                ledger,
                complaint_route=settings.authority.complaint_route,
            ),
            measurement=MeasurementServicer(live, clock=clock),
            watchlist=WatchlistServicer(live, settings.limits, manifest),
            deployments=DeploymentServicer(
                deployments,
                live,
                moves,
                stops,
                Forecasting(
                    live,
                    comparisons(models.pack.impostors),
                    settings.decision.margin_min,
                    policy.threshold.fpir_max,
                ),
                ledger,
                officer_keys,
                publisher=publisher(settings),
                threshold_default=models.pack.score_threshold,
                check_user=users.get,
                on_assigned=calls.look_again,
            ),
            cameras=CameraServicer(
                cameras,
                live,
                ledger,
                shut_out=lambda name: deny_identity(
                    register, calls, issuer.spiffe_id(Role.CAMERA, name)
                ),
            ),
            retention=RetentionServicer(
                deployments,
                live,
                manifest,
                holds,
                Prover(
                    opener,
                    enroller,
                    scheduler,
                    audit,
                    data=settings.storage.data,
                    site=settings.site,
                    clock=clock,
                ),
                ledger,
            ),
            machines=MachineServicer(
                issuer,
                enrolments,
                register,
                calls,
                ledger,
                renewals,
                enrolment_address=lambda: _address(certificate.shown.hosts[0], enrolment_port),
                clock=clock,
            ),
            people=IdentityServicer(people, users, calls, ledger, clock=clock),
            audit=AuditServicer(audit),
        )
        add_EnrolmentServiceServicer_to_server(
            EnrolmentServicer(issuer, enrolments, rate), enrolling
        )
        for service in ("", *SERVICES):
            await health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        guarding = [
            tasks.create_task(each) for each in (calls.run(), certificate.watch(), audit.run())
        ]
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
        await forgetting.clear_up()
        await stops.settle()
        live.start()
        guarding += [
            tasks.create_task(each) for each in (forgetting.run(), stops.run(), counting.run())
        ]
        for service in ("", *SERVICES):
            await health.set(service, health_pb2.HealthCheckResponse.SERVING)
        for each in (models, pictures):
            if each is not None:
                each.watch(_failing_over(live, health, tasks))
        components = await asyncio.to_thread(keep_components, models.pack, settings)
        await audit.note(server_started(models, policy, components))
        log.info(
            "server.serving", pid=os.getpid(), port=port, provider=models.provider, workers=count
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
            await asyncio.to_thread(scheduler.stop, settings.listen.grace_s)
            await counting.record_armed()
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
