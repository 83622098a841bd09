from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import pytest

from cordon_server.authority.clock import CLOCK
from cordon_server.authority.records import CAMERAS, DEPLOYMENTS
from cordon_server.authority.watchlist import Watchlist
from cordon_server.identity.users import UserRecord
from cordon_server.sessions import live as live_module
from cordon_server.sessions.deployment import TABLES
from cordon_server.store.environment import Environment
from cordon_server.store.requests import REQUESTS
from tests.unit.server.lists import a_watchlist
from tests.unit.server.live_rooms import LiveSite, a_live_site
from tests.unit.server.persons import PASSWORD, Desk, a_user, open_registry
from tests.unit.server.rooms import Clock, open_environment

REGISTRY = (CAMERAS, DEPLOYMENTS, REQUESTS, CLOCK)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writer() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


@pytest.fixture
async def registry(tmp_path: Path, writer: Executor) -> AsyncIterator[Environment]:
    environment = open_environment(tmp_path / "registry", REGISTRY, writer)
    yield environment
    await environment.close()


@pytest.fixture
async def environment(tmp_path: Path, writer: Executor) -> AsyncIterator[Environment]:
    """A deployment's."""
    environment = open_environment(tmp_path / "list", TABLES, writer)
    yield environment
    await environment.close()


@pytest.fixture
def watchlist(environment: Environment, writer: Executor, clock: Clock) -> Watchlist:
    return a_watchlist(environment, writer, clock)


@pytest.fixture
async def live_site(
    tmp_path: Path,
    registry: Environment,
    writer: Executor,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[LiveSite]:
    monkeypatch.setattr(live_module, "WATCH_S", 0.01)
    async with a_live_site(tmp_path, registry, writer, clock) as site:
        yield site


@pytest.fixture
async def desk(tmp_path: Path, writer: Executor, clock: Clock) -> AsyncIterator[Desk]:
    environment = open_registry(tmp_path / "people", writer)
    yield Desk(environment, writer, clock)
    await environment.close()


@pytest.fixture
async def anna(desk: Desk) -> UserRecord:
    """Someone with a password."""
    return desk.add(a_user("anna", password_hash=await desk.passwords.hash(PASSWORD)))
