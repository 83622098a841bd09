"""On what a caller may act: the deployments he is assigned to, and nothing that he made himself
where it takes two."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from cordon_server.api.edge import subject_of
from cordon_server.api.recording import others_of
from cordon_server.domain import ConfigInvalid, InvalidInput, NotFound, NotPermitted
from cordon_server.identity.calls import Call
from cordon_server.identity.names import PersonRole, Role
from cordon_server.identity.people import Person
from cordon_server.identity.permissions import PERMISSIONS, Scope, Work, clash, permission
from cordon_server.identity.scopes import Scopes, looks_at_names
from tests.helpers.every_method import requests
from tests.unit.server.persons import ADeployment, AMaker, Desk, a_peer, a_person, a_user

SUBSCRIBE = "/cordon.v1.MatchService/SubscribeMatches"
ASSIGN = "/cordon.v1.DeploymentService/AssignDeployment"
MARKET = "deployments/market"
SEES_ALL = {PersonRole.AUTHORISING_OFFICER, PersonRole.AUDITOR}
OF_DEPLOYMENTS = [
    name
    for name, row in PERMISSIONS.items()
    if row.scope in (Scope.ASSIGNED_DEPLOYMENT, Scope.OWN_DEPLOYMENT)
]
FOUR_EYES = [name for name, row in PERMISSIONS.items() if row.four_eyes is not None]
ROLES = [
    roles
    for size in range(1, 5)
    for roles in combinations(PersonRole, size)
    if clash(roles) is None
]
OWN = f"{MARKET}/matches/1"


def scopes(deployment: ADeployment) -> Scopes:
    """Of a server whose one deployment is "market"."""

    def stake(deployment_id: str) -> ADeployment:
        if deployment_id != "market":
            raise NotFound(deployment_id)
        return deployment

    async def makers(name: str) -> tuple[AMaker, ...]:
        return (stake(name.split("/")[1]).creator,)

    return Scopes(stake, dict.fromkeys(Work, makers))


def elsewhere() -> AMaker:
    return AMaker("olga", "spiffe://site.local/admin/elsewhere")


def made_by(user_id: str, *assignees: str) -> ADeployment:
    return ADeployment(assignees, AMaker(user_id, elsewhere().machine))


@pytest.mark.parametrize("method", OF_DEPLOYMENTS)
async def test_of_a_deployment_only_who_is_assigned_sees_anything_and_who_approves_all(
    method: str,
) -> None:
    row = permission(method)
    for roles in ROLES:
        who, allowed = a_person(*roles), row.people & set(roles)
        if not allowed:
            continue
        asked = scopes(made_by("olga")).check(method, a_peer(Role.ADMIN), who, OWN)
        if allowed & SEES_ALL:
            assert await asked == "market"
            continue
        with pytest.raises(NotPermitted, match="deployment assign market anna") as refused:
            await asked
        assert refused.value.reason == "NOT_ASSIGNED", roles


@pytest.mark.parametrize("method", OF_DEPLOYMENTS)
async def test_who_is_assigned_acts_and_where_the_table_says_so_only_the_maker(method: str) -> None:
    row = permission(method)
    who = a_person(*(row.people - SEES_ALL or row.people))
    maker, other = made_by("anna", "anna"), made_by("olga", "anna")
    if row.four_eyes is None:
        assert await scopes(maker).check(method, a_peer(), who, MARKET) == "market"
    if row.scope is Scope.OWN_DEPLOYMENT:
        with pytest.raises(NotPermitted) as refused:
            await scopes(other).check(method, a_peer(), who, MARKET)
        assert refused.value.reason == "NOT_ITS_MAKER"
    else:
        assert await scopes(other).check(method, a_peer(), who, MARKET) == "market"


async def test_who_was_taken_off_his_own_deployment_assigns_nobody_to_it() -> None:
    officer = a_person(PersonRole.WATCHLIST_OFFICER)

    with pytest.raises(NotPermitted) as refused:
        await scopes(made_by("anna")).check(ASSIGN, a_peer(), officer, MARKET)

    assert refused.value.reason == "NOT_ASSIGNED"


@pytest.mark.parametrize("name", ["", "deployments/", "cameras/north", "deployments/A", "market"])
@pytest.mark.parametrize("method", OF_DEPLOYMENTS)
async def test_a_request_that_names_no_deployment_is_refused(method: str, name: str) -> None:
    with pytest.raises(InvalidInput, match="names none") as refused:
        await scopes(ADeployment()).check(method, a_peer(), a_person(*PersonRole), name)

    assert refused.value.field == "name"


async def test_a_deployment_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(NotFound):
        await scopes(ADeployment()).check(
            SUBSCRIBE, a_peer(), a_person(PersonRole.OPERATOR), "deployments/fair"
        )


@pytest.mark.serves("R8")
@pytest.mark.parametrize("method", FOUR_EYES)
async def test_neither_the_maker_nor_his_workstation_approves(method: str) -> None:
    """R8."""
    approver = a_person(*(permission(method).people & SEES_ALL))
    here = str(a_peer(Role.ADMIN).spiffe_id)
    for maker in (AMaker("anna", here), AMaker("anna", elsewhere().machine), AMaker("olga", here)):
        with pytest.raises(NotPermitted, match=r"use another|takes another") as refused:
            await scopes(ADeployment((), maker)).check(method, a_peer(Role.ADMIN), approver, MARKET)
        assert refused.value.reason == "FOUR_EYES"
    other = scopes(ADeployment((), elsewhere()))

    assert await other.check(method, a_peer(Role.ADMIN), approver, MARKET) in ("", "market")


@pytest.mark.parametrize(
    "method", [name for name in PERMISSIONS if name not in {*OF_DEPLOYMENTS, *FOUR_EYES}]
)
async def test_where_the_table_says_nothing_of_it_names_are_not_looked_at(method: str) -> None:
    assert not looks_at_names(method)
    assert await scopes(ADeployment()).check(method, a_peer(), a_person(*PersonRole), "x") == ""


def test_names_are_looked_at_for_the_one_column_and_for_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = permission(SUBSCRIBE)
    alone = replace(row, scope=Scope.NONE, four_eyes=Work.DEPLOYMENT)
    monkeypatch.setitem(PERMISSIONS, "/cordon.v1.X/Approve", alone)

    assert row.four_eyes is None
    assert looks_at_names(SUBSCRIBE)
    assert looks_at_names("/cordon.v1.X/Approve")


def test_nobody_has_to_be_assigned_where_the_table_does_not_say_so() -> None:
    nobody = ADeployment()
    for method, row in PERMISSIONS.items():
        if row.scope not in (Scope.ASSIGNED_DEPLOYMENT, Scope.OWN_DEPLOYMENT):
            scopes(nobody).check_assigned(method, a_person(PersonRole.OPERATOR), "market")


async def test_where_the_certificate_alone_calls_nobody_is_assigned() -> None:
    assert await scopes(ADeployment()).check(SUBSCRIBE, a_peer(), None, MARKET) == ""


def test_four_eyes_for_work_that_nobody_can_tell_the_maker_of_stop_the_start() -> None:
    with pytest.raises(ConfigInvalid, match="deployment"):
        Scopes(lambda _: ADeployment(), {})


def test_the_request_of_every_method_that_is_judged_by_names_has_one() -> None:
    for method, request in requests("market").items():
        if looks_at_names(method):
            name = subject_of(request)
            assert name.startswith(MARKET), method


def test_every_deployment_that_a_request_names_is_judged() -> None:
    for method, request in requests("market").items():
        if looks_at_names(method):
            given = [value for _, value in getattr(request, "start", request).ListFields()]
            named = {each for each in given if str(each).startswith("deployments/")}
            assert named <= {subject_of(request), *others_of(request)}, method


async def test_who_is_assigned_to_one_list_compares_it_with_none_of_others(desk: Desk) -> None:
    desk.add(a_user("anna", PersonRole.WATCHLIST_OFFICER))
    desk.deployments |= {"market": ADeployment(("anna",)), "fair": ADeployment(("berta",))}
    compares = "/cordon.v1.WatchlistService/CheckDifference"
    call: Call[Person] = Call(compares, a_peer(Role.ADMIN), desk.person(), _ended, None)

    await desk.admission.admit_to(call, f"{MARKET}/watchlist", f"{MARKET}/watchlist")
    with pytest.raises(NotPermitted) as refused:
        await desk.admission.admit_to(call, f"{MARKET}/watchlist", "deployments/fair/watchlist")

    assert refused.value.reason == "NOT_ASSIGNED"


async def test_a_running_call_ends_when_its_caller_is_assigned_no_longer(desk: Desk) -> None:
    desk.add(a_user("anna", PersonRole.OPERATOR))
    desk.deployments["market"] = ADeployment(("anna",))
    call: Call[Person] = Call(SUBSCRIBE, a_peer(Role.CONTROL), desk.person(), _ended, None)

    await desk.admission.admit_to(call, MARKET)
    desk.admission.judge(call)
    desk.deployments["market"] = ADeployment()

    with pytest.raises(NotPermitted) as refused:
        desk.admission.judge(call)
    assert refused.value.reason == "NOT_ASSIGNED"


async def test_a_call_is_let_on_to_no_deployment_of_others(desk: Desk) -> None:
    desk.add(a_user("anna", PersonRole.OPERATOR))
    desk.deployments["market"] = ADeployment(("berta",))
    call: Call[Person] = Call(SUBSCRIBE, a_peer(Role.CONTROL), desk.person(), _ended, None)

    with pytest.raises(NotPermitted):
        await desk.admission.admit_to(call, MARKET)
    assert call.deployment_id == ""


async def _ended(error: object) -> None:
    """What a call is aborted by; no test here gets that far."""
