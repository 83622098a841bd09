"""Recognition needs an armed deployment, inside its window, under an authority that has not ended;
each by itself stops it, and says which (R7-R9)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from cordon_server.authority.cameras import Cameras
from cordon_server.authority.moves import check_recognising
from cordon_server.authority.records import DeploymentRecord, State
from cordon_server.domain import NotReady
from cordon_server.store.environment import Environment
from tests.unit.server.authority_rooms import DAY, Chain, a_chain, a_policy
from tests.unit.server.rooms import NOON, Clock

MOMENT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


@pytest.fixture
async def chain(registry: Environment, clock: Clock) -> Chain:
    await Cameras(registry, count_max=10, clock=clock).create("north", "", dry_run=False)
    return a_chain(registry, clock, a_policy(authority={"urgent_h_max": 1.0}))


def recognises(record: DeploymentRecord, now: datetime) -> str:
    """The reason why it does not; empty where it does."""
    try:
        check_recognising(record, now)
    except NotReady as refused:
        return refused.reason
    return ""


@pytest.mark.serves("R7")
async def test_from_the_windows_first_moment_until_before_its_last(chain: Chain) -> None:
    record = await chain.armed()

    assert recognises(record, NOON - MOMENT) == "WINDOW_NOT_OPEN"
    assert recognises(record, NOON) == ""
    assert recognises(record, NOON + DAY - MOMENT) == ""
    assert recognises(record, NOON + DAY) == "WINDOW_OVER"


@pytest.mark.serves("R9")
async def test_an_urgent_authority_ends_it_before_its_window_does(chain: Chain) -> None:
    record = await chain.armed(is_urgent=True)

    assert recognises(record, NOON + HOUR - MOMENT) == ""
    assert recognises(record, NOON + HOUR) == "AUTHORITY_EXPIRED"


@pytest.mark.serves("R9")
async def test_what_is_not_urgent_lasts_as_long_as_its_window(chain: Chain) -> None:
    assert (await chain.authorised()).until == NOON + DAY


@pytest.mark.serves("R7", "R8")
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        *(({"state": state}, "NOT_ARMED") for state in State if state is not State.ARMED),
        ({"authority": None}, "AUTHORITY_MISSING"),
    ],
)
async def test_nothing_else_recognises(chain: Chain, fields: dict[str, Any], reason: str) -> None:
    record = await chain.armed()

    assert recognises(msgspec.structs.replace(record, **fields), NOON) == reason
