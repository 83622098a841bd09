"""A thousand wrong passwords at once on the real server: few are compared, others sign in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import grpc
import psutil
import pytest

from cordon.v1 import identity_pb2
from cordon.v1.identity_pb2_grpc import IdentityServiceStub
from cordon_client.channel import new_request_id
from tests.helpers.people import PASSWORD, bearer, channel_at, issue, keep_signed_in, sign_in
from tests.helpers.site import Site

COUNT = 1000
AT_ONCE = 40
"""Well below what a connection may have under way: a stream that has just ended still counts for a
moment, and one too many is turned away as UNAVAILABLE."""
PER_NAME_MAX, PER_MACHINE_MAX = 10, 30
"""The server's defaults."""
COMPARISON_S = 0.09
"""Processor time of one; a thousand would be a minute and a half."""
WAIT_S = 60.0


@pytest.fixture
def machine(site: Site) -> Path:
    """A workstation that nobody else signs in at."""
    name = site.new_name("guesser")
    folder = site.folder / "identities" / name
    issue(site.admin, "control", name, folder)
    return folder


@pytest.fixture
def victim(site: Site) -> str:
    """Someone whose password is guessed."""
    name = site.new_name("victim")
    user = identity_pb2.User(roles=[identity_pb2.USER_ROLE_AUDITOR])
    request = identity_pb2.CreateUserRequest(
        user_id=name, user=user, password=PASSWORD, request_id=new_request_id()
    )
    keep_signed_in(site.admin)
    with channel_at(site.admin) as channel:
        IdentityServiceStub(channel).CreateUser(request, metadata=bearer(site.admin))
    return name


def guesses(machine: Path, names: Sequence[str]) -> Counter[str]:
    """What came of guesses at a password of these people, many at once over one connection."""
    codes: Counter[str] = Counter()
    with channel_at(machine) as channel:
        stub = IdentityServiceStub(channel)
        for start in range(0, len(names), AT_ONCE):
            calls = [
                stub.SignIn.future(
                    identity_pb2.SignInRequest(name=f"users/{name}", password="wrong"),
                    timeout=WAIT_S,
                )
                for name in names[start : start + AT_ONCE]
            ]
            codes.update(call.code().name for call in calls)
    return codes


def compared(site: Site, machine: Path) -> int:
    """Wrong passwords given at the machine that the server compared."""
    events = (json.loads(line) for line in site.log.splitlines() if line.startswith("{"))
    wrong = [event for event in events if event["event"] == "person.wrong_password"]
    return sum(event["peer"].endswith(f"/{machine.name}") for event in wrong)


def cpu_s(site: Site) -> float:
    assert site.process is not None
    times = psutil.Process(site.process.pid).cpu_times()
    return float(times.user + times.system)


@pytest.mark.slow
def test_of_a_thousand_at_one_name_ten_are_compared_and_others_sign_in(
    site: Site, machine: Path, victim: str
) -> None:
    before_s = cpu_s(site)

    codes = guesses(machine, [victim] * COUNT)
    spent_s = cpu_s(site) - before_s
    sign_in(site.admin, "first")

    print(
        f"{COUNT} wrong passwords: {dict(codes)}, {compared(site, machine)} compared, "
        f"{spent_s:.1f} s of processor"
    )
    assert codes.keys() == {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
    assert codes["UNAUTHENTICATED"] == compared(site, machine) <= PER_NAME_MAX
    assert spent_s < COUNT * COMPARISON_S / 4
    with pytest.raises(grpc.RpcError) as refused:
        sign_in(machine, victim)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.slow
def test_of_a_thousand_names_at_one_machine_thirty_are_compared(site: Site, machine: Path) -> None:
    codes = guesses(machine, [f"nobody-{number}" for number in range(COUNT)])

    assert codes.keys() == {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
    assert codes["UNAUTHENTICATED"] == compared(site, machine) <= PER_MACHINE_MAX
