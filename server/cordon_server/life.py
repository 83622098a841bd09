"""The life of deployments, put together: what is open, how it moves, stops and is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

from cordon_server.acts import Fact
from cordon_server.audit.log import AuditLog
from cordon_server.authority.cameras import Cameras
from cordon_server.authority.clock import KeptClock
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.manifest import Manifest
from cordon_server.config import Settings
from cordon_server.engine import Engine
from cordon_server.identity.officer_keys import OfficerKeys
from cordon_server.matches.views import ReviewRule
from cordon_server.operations.metrics import Metrics
from cordon_server.parts import (
    cohort,
    decision_rule,
    entry_rules,
    holds_files,
    match_classes,
    stream_limits,
)
from cordon_server.sessions.counting import Counting
from cordon_server.sessions.deployment import DeploymentOpener
from cordon_server.sessions.forgetting import Forgetting
from cordon_server.sessions.ground import Ground
from cordon_server.sessions.holds import Holds
from cordon_server.sessions.live import Live
from cordon_server.sessions.moves import Moves
from cordon_server.sessions.stops import Stops
from cordon_server.store.environment import Environment
from cordon_server.store.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Stores:
    """Where things are kept, and by which keys and clock."""

    registry: Environment
    keyring: Keyring
    audit: AuditLog
    writer: Executor
    kept_clock: KeptClock
    wall: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Life:
    """What happens to deployments."""

    opener: DeploymentOpener
    live: Live
    manifest: Manifest
    holds: Holds
    forgetting: Forgetting
    counting: Counting
    moves: Moves
    stops: Stops


async def open_life(
    settings: Settings,
    stores: Stores,
    engine: Engine,
    deployments: Deployments,
    cameras: Cameras,
    officer_keys: OfficerKeys,
    *,
    made_of: Mapping[str, Fact],
    tasks: asyncio.TaskGroup,
    metrics: Metrics,
) -> Life:
    """Introduces them to each other; nothing of them runs yet. Raises `ConfigInvalid` for a cohort
    that cannot be read."""
    policy, clock, audit = deployments.policy, stores.wall, stores.audit
    model = engine.models.pack
    opener = DeploymentOpener(
        folder=settings.deployments_folder,
        keyring=stores.keyring,
        model_id=model.model_id,
        dimension=model.dimension,
        size_bytes_max=settings.storage.size_bytes_max,
        duplicate_score=settings.watchlist.duplicate_score,
        entries_max=min(settings.limits.entries_max, policy.watchlist.entries_max),
        references_per_entry_max=settings.limits.references_per_entry_max,
        entry_rules=entry_rules(policy),
        recorder=audit,
        examiner=engine.enroller,
        examining=engine.examining,
        writer=stores.writer,
        clock=clock,
        cohort=await asyncio.to_thread(cohort, settings, engine.models),
        rule=decision_rule(settings),
        review=ReviewRule(policy.adjudication.reviewers, policy.adjudication.blind),
        on_drift=metrics.drift_raised,
    )
    live = Live(
        deployments,
        cameras,
        opener,
        engine.scheduler,
        stream_limits(settings),
        engine.load,
        tasks=tasks,
        clock=stores.kept_clock.now,
        wall=clock,
        tell=metrics.frame_answered,
    )
    manifest = Manifest(stores.registry, kept_for=settings.storage.manifest_kept_for, clock=clock)
    holds = Holds(stores.registry, holds_files(settings, stores.keyring), audit, clock=clock)
    forgetting = Forgetting(
        deployments, live, opener, manifest, holds, match_classes(policy), audit, clock=clock
    )
    live.before_end = forgetting.before_end
    ground = Ground(
        deployments,
        live,
        audit,
        stores.kept_clock,
        model.model_id,
        made_of,
        officer_keys.find,
        tasks,
    )
    counting = Counting(lambda: live.open_deployments, audit)
    moves, stops = Moves(ground), Stops(ground, counting)
    live.on_list_change = moves.list_changes
    return Life(opener, live, manifest, holds, forgetting, counting, moves, stops)
