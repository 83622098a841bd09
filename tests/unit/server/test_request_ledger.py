from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from cordon.v1 import camera_pb2
from cordon_server.domain import InvalidInput, NotReady
from cordon_server.store import requests
from cordon_server.store.environment import Environment
from cordon_server.store.requests import REQUESTS, RequestLedger
from tests.unit.server.rooms import Clock

ID = "0a1b2c3d-0000-4000-8000-00000000000a"
SCOPE = "spiffe://site.local/admin/first CreateCamera"


@dataclass
class Acts:
    """Counts what was done, and how much of it at once."""

    ledger: RequestLedger
    done: int = 0
    under_way: int = 0
    most_at_once: int = 0
    failures: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(
        self,
        camera_id: str = "north",
        request_id: str = ID,
        scope: str = SCOPE,
        trial: bool = False,
    ) -> str:
        request = camera_pb2.CreateCameraRequest(
            camera_id=camera_id, request_id=request_id, validate_only=trial
        )
        answer = await self.ledger.once(
            scope, request_id, request, camera_pb2.CreateCameraResponse(), self._act
        )
        return answer.camera.name

    async def _act(self) -> camera_pb2.CreateCameraResponse:
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            await self.gate.wait()
            if self.failures:
                self.failures -= 1
                raise NotReady("not this time")
            self.done += 1
            return camera_pb2.CreateCameraResponse(camera=camera_pb2.Camera(name=f"#{self.done}"))
        finally:
            self.under_way -= 1


@pytest.fixture
def acts(registry: Environment, clock: Clock) -> Acts:
    acts = Acts(RequestLedger(registry, clock=clock))
    acts.gate.set()
    return acts


async def test_the_same_request_again_gets_the_same_answer_and_has_no_second_effect(
    acts: Acts,
) -> None:
    assert [await acts.send() for _ in range(3)] == ["#1", "#1", "#1"]


async def test_the_same_request_many_times_at_once_is_acted_on_once(acts: Acts) -> None:
    acts.gate.clear()
    sent = [asyncio.create_task(acts.send()) for _ in range(8)]
    await asyncio.sleep(0.02)
    acts.gate.set()

    assert await asyncio.gather(*sent) == ["#1"] * 8


async def test_a_request_id_with_other_content_is_refused_by_name(acts: Acts) -> None:
    await acts.send("north")

    with pytest.raises(InvalidInput, match="fresh UUID") as refused:
        await acts.send("south")

    assert refused.value.field == "request_id"
    assert acts.done == 1


async def test_a_repeat_that_spells_its_uuid_in_the_other_case_is_the_same_request(
    acts: Acts,
) -> None:
    assert await acts.send(request_id=ID.lower()) == await acts.send(request_id=ID.upper())


async def test_callers_and_methods_do_not_share_request_ids(acts: Acts) -> None:
    assert await acts.send(scope="a CreateCamera") == "#1"
    assert await acts.send(scope="b CreateCamera") == "#2"
    assert await acts.send("south", scope="a CreateOther") == "#3"


async def test_without_a_request_id_each_is_acted_on(acts: Acts) -> None:
    assert [await acts.send(request_id="") for _ in range(2)] == ["#1", "#2"]


async def test_a_trial_writes_nothing_and_leaves_its_id_to_the_real_thing(
    acts: Acts, registry: Environment
) -> None:
    await acts.send(trial=True)

    assert await registry.read(lambda txn: txn.count(REQUESTS)) == 0
    assert await acts.send() == "#2"
    assert await acts.send() == "#2"


async def test_a_failure_is_not_remembered(acts: Acts) -> None:
    acts.failures = 1
    with pytest.raises(NotReady):
        await acts.send()

    assert await acts.send() == "#1"


async def test_after_a_failure_those_that_waited_go_one_at_a_time(acts: Acts) -> None:
    acts.failures = 2
    acts.gate.clear()
    early = [asyncio.create_task(acts.send()) for _ in range(3)]
    await asyncio.sleep(0.01)
    acts.gate.set()
    late = [asyncio.create_task(acts.send()) for _ in range(3)]
    answers = await asyncio.gather(*early, *late, return_exceptions=True)

    assert acts.most_at_once == 1
    assert acts.done == 1
    assert sum(isinstance(answer, NotReady) for answer in answers) == 2


async def test_an_answer_is_kept_for_a_day(acts: Acts, clock: Clock) -> None:
    await acts.send()
    clock.advance(hours=23, minutes=59)
    assert await acts.send() == "#1"
    clock.advance(minutes=1)
    assert await acts.send("south") == "#2"


async def test_answers_survive_the_server(acts: Acts, registry: Environment, clock: Clock) -> None:
    await acts.send()
    other = Acts(RequestLedger(registry, clock=clock))
    other.gate.set()

    assert await other.send() == "#1"
    assert other.done == 0


async def test_beyond_the_bound_the_oldest_half_is_forgotten(
    acts: Acts, registry: Environment, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "COUNT_MAX", 4)
    ids = [ID[:-1] + digit for digit in "01234"]
    for request_id in ids:
        await acts.send(request_id=request_id)
        clock.advance(seconds=1)

    assert await registry.read(lambda txn: txn.count(REQUESTS)) == 3
    assert [await acts.send(request_id=each) for each in ids[2:]] == ["#3", "#4", "#5"]
    assert await acts.send(request_id=ids[0]) == "#6"
