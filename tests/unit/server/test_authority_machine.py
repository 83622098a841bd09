"""Any sequence of moves, changes, clock jumps and restarts: nobody is recognised without a valid
authority, and nothing outlives its window.

The registry, the moves and the clock are the server's own; what is modelled is who signed what.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from cordon_server.authority import content, steps
from cordon_server.authority.cameras import Cameras
from cordon_server.authority.checks import Present
from cordon_server.authority.clock import CLOCK, KeptClock
from cordon_server.authority.deployments import Deployments
from cordon_server.authority.moves import check_recognising
from cordon_server.authority.records import (
    CAMERAS,
    DEPLOYMENTS,
    Actor,
    DeploymentRecord,
    State,
)
from cordon_server.authority.signing import is_signed
from cordon_server.authority.steps import Officer
from cordon_server.authority.terms import HaltCause
from cordon_server.domain import CordonError
from tests.unit.server.authority_rooms import APPROVER, COUNTS, KEY, LIST, a_policy, a_terms
from tests.unit.server.rooms import MODEL, NOON, OFFICER, Clock, open_environment

EXAMPLES, STEPS = 100, 110
"""More than 10,000 steps in all."""
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
NAMES = st.sampled_from(["a", "b", "c"])
HOURS = st.sampled_from([0.5, 3.0, 12.0, 24.0, 26.0])
OFFICERS = st.sampled_from(
    [APPROVER, OFFICER, Actor("olga", APPROVER.machine), Actor("otto", OFFICER.machine)]
)
COUNTED: Counter[str] = Counter()
"""Steps taken, and how often a deployment was recognising after one."""
Step = Callable[[DeploymentRecord], DeploymentRecord]


class Life(RuleBasedStateMachine):
    """Deployments that share a camera."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.writer = ThreadPoolExecutor(1)
        self.loop = asyncio.new_event_loop()
        self.clock, self.passed_s = Clock(), 0.0
        self.policy = a_policy(authority={"urgent_h_max": 2.0})
        self.lists = dict.fromkeys("abc", b"l" * 32)
        self.seen: dict[str, State] = {}
        self.latest = NOON

    @initialize()
    def begin(self) -> None:
        self.open()
        cameras = Cameras(self.registry, count_max=9, clock=self.clock)
        for name in ("north", "south"):
            self.run(cameras.create(name, "", dry_run=False))

    def open(self) -> None:
        tables = (CAMERAS, DEPLOYMENTS, CLOCK)
        self.registry = open_environment(Path(self.folder.name), tables, self.writer)
        self.time = KeptClock(self.registry, wall=self.clock, monotonic_s=lambda: self.passed_s)
        self.deployments = Deployments(self.registry, self.policy, open_max=9, clock=self.time.now)

    def teardown(self) -> None:
        if hasattr(self, "registry"):
            self.run(self.registry.close())
        self.loop.close()
        self.writer.shutdown()
        self.folder.cleanup()

    def run(self, act: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(act)

    def attempt(self, act: Coroutine[Any, Any, DeploymentRecord]) -> None:
        """A move, made or refused."""
        try:
            self.run(act)
        except CordonError:
            return

    def take(self, name: str, step: Step) -> None:
        self.attempt(self.deployments.take(name, step, dry_run=False))

    def present(self, name: str) -> Present:
        listed = replace(LIST, digest=self.lists[name])
        return Present(self.time.now(), self.policy, MODEL, listed)

    def records(self) -> list[DeploymentRecord]:
        found: list[DeploymentRecord] = self.run(self.deployments.page("", 9))
        return found

    @rule(name=NAMES, urgent=st.booleans(), hours=HOURS)
    def create(self, name: str, urgent: bool, hours: float) -> None:
        now = self.time.now()
        terms = a_terms(now, end_time=now + timedelta(hours=hours), is_urgent=urgent)
        self.attempt(self.deployments.create(name, terms, OFFICER, dry_run=False))

    @rule(name=NAMES)
    def submit(self, name: str) -> None:
        present = self.present(name)
        self.take(name, lambda record: steps.submitted(record, OFFICER, present, ""))

    @rule(name=NAMES, officer=OFFICERS, key=st.sampled_from([KEY, OTHER_KEY]))
    def authorise(self, name: str, officer: Actor, key: Ed25519PrivateKey) -> None:
        present, public = self.present(name), KEY.public_key().public_bytes_raw()

        def step(record: DeploymentRecord) -> DeploymentRecord:
            digest = b"d" * 32
            if record.submission is not None:
                digest = content.digest(record, record.submission)
            signature = key.sign(content.SIGNED_PREFIX + digest)
            who = Officer(officer, public)
            return steps.authorised(record, who, present, digest, signature)

        self.take(name, step)

    @rule(name=NAMES, is_right=st.booleans())
    def arm(self, name: str, is_right: bool) -> None:
        key = (KEY if is_right else OTHER_KEY).public_key().public_bytes_raw()
        self.attempt(self.deployments.arm(name, self.present(name), key, dry_run=False))

    @rule(name=NAMES)
    def go_all_the_way(self, name: str) -> None:
        """As it should be done: chance alone would seldom arm anything."""
        self.submit(name)
        self.authorise(name, APPROVER, KEY)
        self.arm(name, True)

    @rule(name=NAMES)
    def halt(self, name: str) -> None:
        now = self.time.now()
        self.take(name, lambda record: steps.halted(record, HaltCause.PERSON, now))

    @rule(name=NAMES, officer=OFFICERS)
    def resume(self, name: str, officer: Actor) -> None:
        who = Officer(officer, KEY.public_key().public_bytes_raw())
        self.attempt(self.deployments.resume(name, who, self.present(name), dry_run=False))

    @rule(name=NAMES)
    def end(self, name: str) -> None:
        now = self.time.now()
        self.take(name, lambda record: steps.ended(record, COUNTS, now))

    @rule(name=NAMES)
    def erase(self, name: str) -> None:
        now = self.time.now()
        self.take(name, lambda record: steps.erased(record, now))

    @rule(name=NAMES, hours=HOURS)
    def update(self, name: str, hours: float) -> None:
        fields = {"end_time": self.time.now() + timedelta(hours=hours)}
        self.attempt(self.deployments.update(name, fields, dry_run=False))

    @rule(name=NAMES, digest=st.sampled_from([b"l" * 32, b"m" * 32]))
    def change_list(self, name: str, digest: bytes) -> None:
        self.lists[name] = digest

    @rule(name=NAMES, hours=HOURS)
    def tamper(self, name: str, hours: float) -> None:
        """Somebody with access to the disk wants a longer window, before it is armed."""

        def act(txn: Any) -> None:
            record = txn.get(DEPLOYMENTS, name.encode())
            if record is not None and record.state is State.AUTHORISED:
                longer = record.end_time + timedelta(hours=hours)
                txn.put(
                    DEPLOYMENTS, name.encode(), msgspec.structs.replace(record, end_time=longer)
                )

        self.run(self.registry.write(act))

    @rule(hours=st.sampled_from([-30.0, -2.0, 0.1, 0.4, 2.0]))
    def set_wall_clock(self, hours: float) -> None:
        self.clock.advance(hours=hours)

    @rule(hours=st.sampled_from([0.05, 0.3, 1.0]))
    def let_time_pass(self, hours: float) -> None:
        self.clock.advance(hours=hours)
        self.passed_s += hours * 3600

    @rule()
    def look(self) -> None:
        """As the server does every second."""
        now = self.time.now()
        for record in self.run(self.deployments.all_over()):
            self.take(record.deployment_id, lambda each: steps.ended(each, COUNTS, now))
            self.take(record.deployment_id, lambda each: steps.erased(each, now))
        assert not self.run(self.deployments.all_over())

    @rule()
    def restart(self) -> None:
        self.run(self.time.keep(always=True))
        self.run(self.registry.close())
        self.open()

    @invariant()
    def time_does_not_go_back(self) -> None:
        if hasattr(self, "registry"):
            now = self.time.now()
            assert now >= self.latest
            self.latest = now

    @invariant()
    def nobody_is_recognised_without_a_valid_authority(self) -> None:
        if not hasattr(self, "registry"):
            return
        now = self.time.now()
        COUNTED["steps"] += 1
        armed_cameras: list[str] = []
        for record in self.records():
            self.check_way(record)
            if recognises(record, now):
                COUNTED["recognising"] += 1
                self.check_authority(record, now)
            if record.state is State.ARMED:
                armed_cameras += record.cameras
        assert len(armed_cameras) == len(set(armed_cameras))

    def check_authority(self, record: DeploymentRecord, now: datetime) -> None:
        """By this hand, and none of the server's checks."""
        submission, authority = record.submission, record.authority
        assert submission is not None
        assert authority is not None
        assert authority.officer.user_id != submission.requester.user_id
        assert authority.officer.machine != submission.requester.machine
        digest = content.digest(record, submission)
        public = KEY.public_key().public_bytes_raw()
        assert is_signed(digest, authority.signature, public)
        assert record.start_time <= now < min(record.end_time, authority.expire_time)
        if record.is_urgent:
            assert now - authority.sign_time < timedelta(hours=2)

    def check_way(self, record: DeploymentRecord) -> None:
        """What has ended never comes back."""
        before = self.seen.get(record.deployment_id)
        if before in (State.ENDED, State.ERASED):
            assert record.state in (State.ENDED, State.ERASED)
        self.seen[record.deployment_id] = record.state


def recognises(record: DeploymentRecord, now: datetime) -> bool:
    try:
        check_recognising(record, now)
    except CordonError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.serves("R2", "R7", "R8", "R9", "R13")
def test_no_sequence_of_moves_clocks_and_restarts_recognises_without_a_valid_authority() -> None:
    COUNTED.clear()

    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
    assert COUNTED["steps"] >= 10_000
    assert COUNTED["recognising"] >= 500
