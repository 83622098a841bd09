"""The permission table, cell by cell: what it says is written here a second time, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from itertools import combinations, product
from pathlib import Path

import pytest

from cordon.v1 import match_pb2
from cordon_server.acts import AuditClass
from cordon_server.api.server import methods
from cordon_server.domain import ConfigInvalid, NotPermitted, Unauthenticated
from cordon_server.identity.admission import (
    check_fresh,
    check_justified,
    check_machine,
    check_person,
    permitted,
)
from cordon_server.identity.names import PersonRole, Role
from cordon_server.identity.permissions import (
    PERMISSIONS,
    Work,
    check_complete,
    clash,
    permission,
    words,
)
from tests.unit.server.persons import a_peer, a_person
from tests.unit.server.rooms import NOON

FRESH = timedelta(minutes=2)
C, R, A = "camera", "control", "admin"
OP, SUP, WO, AO = "operator", "supervisor", "watchlist_officer", "authorising_officer"
AUD, ADM = "auditor", "administrator"
ANY = f"{OP} {SUP} {WO} {AO} {AUD} {ADM}"

INTENDED = {
    "cordon.v1.RecognitionService/StreamFrames": (C, ""),
    "cordon.v1.MatchService/SubscribeMatches": (R, f"{OP} {SUP}"),
    "cordon.v1.MatchService/GetMatch": (R, f"{OP} {SUP}"),
    "cordon.v1.MatchService/ListMatches": (R, f"{OP} {SUP}"),
    "cordon.v1.MatchService/GetMatchImages": (R, f"{OP} {SUP}"),
    "cordon.v1.MatchService/ClaimMatch": (R, f"{OP} {SUP}"),
    "cordon.v1.MatchService/AdjudicateMatch": (R, f"{OP} {SUP}"),
    "cordon.v1.MatchService/RecordOutcome": (R, f"{OP} {SUP}"),
    "cordon.v1.ReceiptService/IssueReceipt": (R, f"{OP} {SUP}"),
    "cordon.v1.ReceiptService/LookUpReceipt": (R, f"{OP} {SUP}"),
    "cordon.v1.MeasurementService/SeedCase": (R, SUP),
    "cordon.v1.MeasurementService/GetShiftReport": (R, SUP),
    "cordon.v1.MeasurementService/RecordPass": (R, f"{OP} {SUP}"),
    "cordon.v1.MeasurementService/GetTpir": (R, SUP),
    "cordon.v1.MeasurementService/PreflightCamera": (R, SUP),
    "cordon.v1.MeasurementService/ListCameraDrifts": (R, f"{OP} {SUP}"),
    "cordon.v1.DeploymentService/CreateDeployment": (A, WO),
    "cordon.v1.DeploymentService/GetDeployment": (f"{R} {A}", ANY),
    "cordon.v1.DeploymentService/ListDeployments": (f"{R} {A}", ANY),
    "cordon.v1.DeploymentService/AssignDeployment": (A, f"{WO} {AO}"),
    "cordon.v1.DeploymentService/UpdateDeployment": (A, WO),
    "cordon.v1.DeploymentService/ForecastDeployment": (A, f"{WO} {AO}"),
    "cordon.v1.DeploymentService/SubmitDeployment": (A, WO),
    "cordon.v1.DeploymentService/AuthoriseDeployment": (A, AO),
    "cordon.v1.DeploymentService/GetNotice": (f"{R} {A}", ANY),
    "cordon.v1.DeploymentService/PublishNotice": (A, f"{WO} {AO}"),
    "cordon.v1.DeploymentService/ArmDeployment": (A, AO),
    "cordon.v1.DeploymentService/HaltDeployment": (f"{R} {A}", f"{OP} {SUP} {AO}"),
    "cordon.v1.DeploymentService/ResumeDeployment": (f"{R} {A}", AO),
    "cordon.v1.DeploymentService/RegisterSigningKey": (A, AO),
    "cordon.v1.DeploymentService/GetPolicy": (f"{R} {A}", ANY),
    "cordon.v1.DeploymentService/EndDeployment": (f"{R} {A}", f"{AO} {SUP}"),
    "cordon.v1.WatchlistService/EnrolReference": (A, WO),
    "cordon.v1.WatchlistService/ImportReferences": (A, WO),
    "cordon.v1.WatchlistService/CheckReference": (A, WO),
    "cordon.v1.WatchlistService/GetEntry": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/ListEntries": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/RemoveEntry": (A, WO),
    "cordon.v1.WatchlistService/ApproveEntry": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/GetWatchlist": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/ReviewWatchlist": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/CheckWatchlist": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/CheckDifference": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/GetEntrySample": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/GetProposal": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/ListProposals": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/ListProposalRows": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/ApplyProposal": (A, f"{WO} {AO}"),
    "cordon.v1.WatchlistService/DiscardProposal": (A, WO),
    "cordon.v1.CameraService/CreateCamera": (A, ADM),
    "cordon.v1.CameraService/GetCamera": (f"{R} {A}", ANY),
    "cordon.v1.CameraService/ListCameras": (f"{R} {A}", ANY),
    "cordon.v1.CameraService/RevokeCamera": (A, ADM),
    "cordon.v1.RetentionService/CheckListed": (A, f"{WO} {AO} {AUD}"),
    "cordon.v1.RetentionService/PlaceHold": (A, AO),
    "cordon.v1.RetentionService/LiftHold": (A, AO),
    "cordon.v1.RetentionService/GetHold": (A, AO),
    "cordon.v1.RetentionService/ListHolds": (A, f"{AO} {AUD}"),
    "cordon.v1.RetentionService/ProveForgetting": (A, f"{AO} {AUD}"),
    "cordon.v1.MachineService/CreateEnrolmentToken": (A, ADM),
    "cordon.v1.MachineService/IssueCertificate": (A, ADM),
    "cordon.v1.MachineService/RenewCertificate": (f"{C} {R} {A}", ""),
    "cordon.v1.MachineService/ListCertificates": (A, ADM),
    "cordon.v1.MachineService/RevokeCertificate": (A, ADM),
    "cordon.v1.EnrolmentService/Enrol": ("", ""),
    "cordon.v1.IdentityService/SignIn": (f"{R} {A}", ""),
    "cordon.v1.IdentityService/RenewToken": (f"{R} {A}", ANY),
    "cordon.v1.IdentityService/StepUp": (f"{R} {A}", ANY),
    "cordon.v1.IdentityService/SignOut": (f"{R} {A}", ANY),
    "cordon.v1.IdentityService/WhoAmI": (f"{R} {A}", f"{ANY} nobody"),
    "cordon.v1.IdentityService/ChangePassword": (f"{R} {A}", ANY),
    "cordon.v1.IdentityService/CreateUser": (A, ADM),
    "cordon.v1.IdentityService/GetUser": (A, ADM),
    "cordon.v1.IdentityService/ListUsers": (A, ADM),
    "cordon.v1.IdentityService/SetUserRoles": (A, ADM),
    "cordon.v1.IdentityService/SetUserTraining": (A, ADM),
    "cordon.v1.IdentityService/ResetPassword": (A, ADM),
    "cordon.v1.IdentityService/LockUser": (A, ADM),
    "cordon.v1.IdentityService/UnlockUser": (A, ADM),
    "cordon.v1.IdentityService/RevokeUser": (A, ADM),
    "cordon.v1.IdentityService/RevokeSessions": (A, ADM),
    "cordon.v1.AuditService/ListRecords": (A, AUD),
    "cordon.v1.AuditService/GetCheckpoint": (A, AUD),
    "cordon.v1.AuditService/GetInclusionProof": (A, AUD),
    "cordon.v1.AuditService/GetConsistencyProof": (A, AUD),
    "cordon.v1.AuditService/ExportAudit": (A, AUD),
    "grpc.health.v1.Health/Check": (f"{C} {R} {A}", ""),
    "grpc.health.v1.Health/List": (f"{C} {R} {A}", ""),
    "grpc.health.v1.Health/Watch": (f"{C} {R} {A}", ""),
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": (f"{C} {R} {A}", ""),
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": (f"{C} {R} {A}", ""),
}
"""Method -> from which certificates, by whom; nobody: also without a person."""
PEOPLE: list[PersonRole | None] = [None, *PersonRole]
NEED_FRESH = {
    *("ImportReferences", "RevokeCamera", "RevokeCertificate", "SetUserRoles", "LockUser"),
    *("RevokeUser", "RevokeSessions", "ResetPassword", "LiftHold", "RegisterSigningKey"),
}
NEED_TRAINING = {
    *("SubscribeMatches", "GetMatch", "ListMatches", "GetMatchImages", "ClaimMatch"),
    *("AdjudicateMatch", "RecordOutcome", "IssueReceipt", "LookUpReceipt", "RecordPass"),
}


def verdict(method: str, role: Role, who: PersonRole | None) -> str:
    """What the table says to a call, in a word; as `Admission.admit` asks it."""
    person = a_person(who) if who else None
    try:
        check_machine(method, a_peer(role))
        check_person(method, person if permission(method).people else None, NOON)
    except NotPermitted:
        return "not permitted"
    except Unauthenticated:
        return "unauthenticated"
    return "permitted"


def intended(method: str, role: Role, who: PersonRole | None) -> str:
    machines, people = (part.split() for part in INTENDED[method.removeprefix("/")])
    if role not in machines:
        return "not permitted"
    if not people or (who or "nobody") in people:
        return "permitted"
    return "not permitted" if who else "unauthenticated"


def test_every_cell_is_as_intended() -> None:
    cells = list(product(PERMISSIONS, Role, PEOPLE))

    outcomes = {cell: verdict(*cell) for cell in cells}

    permitted_cells = list(outcomes.values()).count("permitted")
    print(f"cells: {len(cells)}, permitted: {permitted_cells}")
    assert outcomes == {cell: intended(*cell) for cell in cells}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("who", PEOPLE)
def test_what_a_caller_is_told_that_he_may_do_he_may(role: Role, who: PersonRole | None) -> None:
    told = permitted(a_peer(role), a_person(who) if who else None, NOON)

    assert told == sorted(
        method for method in PERMISSIONS if intended(method, role, who) == "permitted"
    )


def served_by_the_contract() -> Iterator[str]:
    """Every method of every proto of ours, and of the services that gRPC brings along."""
    for path in sorted(Path(str(match_pb2.__file__)).parent.glob("*_pb2.py")):
        services = import_module(f"cordon.v1.{path.stem}").DESCRIPTOR.services_by_name.values()
        for service in services:
            yield from (f"/{service.full_name}/{method.name}" for method in service.methods)
    yield from (f"/grpc.health.v1.Health/{each}" for each in ("Check", "List", "Watch"))
    for version in ("v1", "v1alpha"):
        yield f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"


def test_the_table_names_every_method_of_the_descriptor_pool_and_no_other() -> None:
    check_complete(methods())

    assert set(methods()) == set(PERMISSIONS) == set(served_by_the_contract())
    assert {f"/{each}" for each in INTENDED} == set(PERMISSIONS)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("method", ["/cordon.v1.MatchService/EraseMatches", "", "GetMatch"])
def test_a_method_that_the_table_omits_is_refused_to_everyone(
    method: str, role: Role, who: PersonRole | None
) -> None:
    with pytest.raises(NotPermitted, match="for no certificates") as refused:
        check_machine(method, a_peer(role))

    assert refused.value.reason == "WRONG_MACHINE"


def test_a_method_without_a_row_stops_the_start() -> None:
    with pytest.raises(ConfigInvalid, match=r"no permission is stated for /cordon\.v1\.X/Y"):
        check_complete([*methods(), "/cordon.v1.X/Y"])


def test_a_row_without_a_method_stops_the_start() -> None:
    served = [each for each in methods() if not each.endswith("GetMatch")]

    with pytest.raises(ConfigInvalid, match=r"not served: /cordon\.v1\.MatchService/GetMatch"):
        check_complete(served)


@pytest.mark.parametrize("method", PERMISSIONS)
def test_a_fresh_password_is_wanted_where_intended_for_two_minutes(method: str) -> None:
    wanted = method.rsplit("/")[-1] in NEED_FRESH
    person = a_person(PersonRole.ADMINISTRATOR, auth_time=NOON)

    check_fresh(method, person, NOON + FRESH, FRESH)
    for now, who in ((NOON + FRESH + timedelta(microseconds=1), person), (NOON, None)):
        if wanted:
            with pytest.raises(NotPermitted, match="cordon admin step-up") as refused:
                check_fresh(method, who, now, FRESH)
            assert refused.value.reason == "STEP_UP_NEEDED"
        else:
            check_fresh(method, who, now, FRESH)


@pytest.mark.serves("R27")
@pytest.mark.parametrize("method", PERMISSIONS)
def test_training_is_wanted_where_intended_until_it_ends(method: str) -> None:
    wanted = method.rsplit("/")[-1] in NEED_TRAINING
    roles = permission(method).people
    if not roles:
        return
    who = next(iter(roles))

    check_person(method, a_person(who, training_expire_time=NOON), NOON - timedelta(seconds=1))
    for end in (NOON, None):
        if wanted:
            with pytest.raises(NotPermitted, match=r"training .* \(R27\)") as refused:
                check_person(method, a_person(who, training_expire_time=end), NOON)
            assert refused.value.reason == "TRAINING_NEEDED"
        else:
            check_person(method, a_person(who, training_expire_time=end), NOON)


@pytest.mark.parametrize("method", PERMISSIONS)
def test_a_reason_is_wanted_for_revoking_a_certificate(method: str) -> None:
    check_justified(method, "lost with the van")
    if method.endswith("/RevokeCertificate"):
        with pytest.raises(NotPermitted, match="--reason TEXT") as refused:
            check_justified(method, "")
        assert refused.value.reason == "JUSTIFICATION_NEEDED"
    else:
        check_justified(method, "")


def test_every_method_has_an_audit_class_or_a_reason_for_none() -> None:
    for method, row in PERMISSIONS.items():
        assert (row.audit is AuditClass.NONE) == bool(row.reason), method


def test_only_approving_takes_four_eyes() -> None:
    assert {method: row.four_eyes for method, row in PERMISSIONS.items() if row.four_eyes} == {
        "/cordon.v1.DeploymentService/AuthoriseDeployment": Work.DEPLOYMENT,
        "/cordon.v1.DeploymentService/ArmDeployment": Work.DEPLOYMENT,
        "/cordon.v1.WatchlistService/ApproveEntry": Work.ENTRY,
        "/cordon.v1.WatchlistService/ReviewWatchlist": Work.WATCHLIST,
        "/cordon.v1.WatchlistService/ApplyProposal": Work.PROPOSAL,
    }


def compatible_sets() -> list[tuple[PersonRole, ...]]:
    every = [roles for size in range(1, 7) for roles in combinations(sorted(PersonRole), size)]
    return [roles for roles in every if clash(roles) is None]


def may(roles: tuple[PersonRole, ...], service: str, method: str) -> bool:
    row = permission(f"/cordon.v1.{service}/{method}")
    return bool(row.people & set(roles))


@pytest.mark.serves("R8")
def test_nobody_both_proposes_and_approves() -> None:
    for roles in compatible_sets():
        approves = may(roles, "DeploymentService", "AuthoriseDeployment")
        for proposal in ("EnrolReference", "ImportReferences"):
            assert not (approves and may(roles, "WatchlistService", proposal)), roles
        assert not (approves and may(roles, "DeploymentService", "CreateDeployment")), roles


def test_an_administrator_sees_no_faces_matches_or_lists_whatever_else_he_is() -> None:
    biometric = [
        method.removeprefix("/cordon.v1.").split("/")
        for method in PERMISSIONS
        if method.split("/")[1].endswith(("MatchService", "WatchlistService"))
    ]

    for roles in compatible_sets():
        if PersonRole.ADMINISTRATOR in roles:
            assert not [one for one in biometric if may(roles, one[0], one[1])], roles
    assert {service.removesuffix("Service") for service, _ in biometric} == {"Match", "Watchlist"}


@pytest.mark.serves("R11")
def test_nobody_judges_who_reads_what_others_have_judged() -> None:
    readers = [("AuditService", "ListRecords"), ("AuditService", "ExportAudit")]
    readers += [("RetentionService", "GetHold")]

    for roles in compatible_sets():
        if may(roles, "MatchService", "AdjudicateMatch"):
            assert not [one for one in readers if may(roles, *one)], roles


def test_which_roles_go_together() -> None:
    assert [clash([role]) for role in PersonRole] == [None] * 6
    assert sorted(map("+".join, compatible_sets())) == sorted(
        [
            *PersonRole,
            "administrator+auditor",
            *("auditor+authorising_officer", "auditor+watchlist_officer"),
            *("operator+supervisor", "operator+watchlist_officer", "supervisor+watchlist_officer"),
            "operator+supervisor+watchlist_officer",
        ]
    )


def test_roles_are_named_as_people_name_them() -> None:
    roles = frozenset({PersonRole.WATCHLIST_OFFICER, PersonRole.OPERATOR})

    assert words(roles) == "operator, watchlist officer"
    assert words(frozenset()) == "none"
