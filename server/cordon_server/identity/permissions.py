"""The one permission table: who may call which method, from where, and what else it takes.

What it omits is refused, and a server with a method that it omits does not start. The README's
table of roles is printed from it: python -m cordon_server.identity.role_table
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cordon_server.acts import AuditClass
from cordon_server.domain import ConfigInvalid
from cordon_server.identity.names import PersonRole, Role


class Scope(StrEnum):
    """On what a caller may act, where his role alone does not say."""

    NONE = "none"
    OWN_CAMERA = "own camera"
    """The camera that the certificate names; a stream has no way to name another."""
    ASSIGNED_DEPLOYMENT = "assigned deployment"
    """Operators, supervisors and watchlist officers: the deployments that they are assigned to."""
    OWN_DEPLOYMENT = "own deployment"
    """The same, and of those the ones that they made."""


class Work(StrEnum):
    """What somebody made that another has to approve; who made it is looked up for each kind."""

    DEPLOYMENT = "deployment"
    WATCHLIST = "watchlist"
    ENTRY = "entry"
    PROPOSAL = "proposal"


@dataclass(frozen=True, slots=True)
class Permission:
    """One row."""

    machines: frozenset[Role]
    """Certificates that may call it."""
    people: frozenset[PersonRole]
    """Who has to be signed in there; empty where the certificate alone calls, and no token is
    looked at."""
    audit: AuditClass
    reason: str = ""
    """Why its audit class is none."""
    scope: Scope = Scope.NONE
    person_optional: bool = False
    """Also without a person; a token that is shown has to be good all the same."""
    even_expired: bool = False
    """A token's end is excused, its session's is not: whoever was away for longer than a token
    lives goes on with the session he has."""
    justification: bool = False
    """The caller says why, and it is kept."""
    four_eyes: Work | None = None
    """Neither the person nor the workstation that made the work of this kind it acts on (R8)."""
    step_up: bool = False
    """The password was given just now."""
    training: bool = False
    """The person's training is valid (R27)."""


EVERYONE = frozenset(PersonRole)
_STAFF = frozenset({Role.CONTROL, Role.ADMIN})
MACHINES = frozenset(Role)


def _of(*roles: PersonRole) -> frozenset[PersonRole]:
    return frozenset(roles)


def _at(*roles: Role) -> frozenset[Role]:
    return frozenset(roles)


_OPERATORS = _of(PersonRole.OPERATOR, PersonRole.SUPERVISOR)
_OFFICER = _of(PersonRole.WATCHLIST_OFFICER)
_REVIEWERS = _of(PersonRole.WATCHLIST_OFFICER, PersonRole.AUTHORISING_OFFICER)
_APPROVER = _of(PersonRole.AUTHORISING_OFFICER)
_AUDITOR = _of(PersonRole.AUDITOR)
_HOLD_READERS = _of(PersonRole.AUTHORISING_OFFICER, PersonRole.AUDITOR)
_INQUIRERS = _REVIEWERS | _HOLD_READERS
_ADMINISTRATOR = _of(PersonRole.ADMINISTRATOR)
_ASSIGNED = Scope.ASSIGNED_DEPLOYMENT
_A = AuditClass


def _matches(audit: AuditClass) -> Permission:
    return Permission(_at(Role.CONTROL), _OPERATORS, audit, scope=_ASSIGNED, training=True)


def _supervision(audit: AuditClass) -> Permission:
    return Permission(_at(Role.CONTROL), _of(PersonRole.SUPERVISOR), audit, scope=_ASSIGNED)


def _list(audit: AuditClass, *, step_up: bool = False) -> Permission:
    return Permission(_at(Role.ADMIN), _OFFICER, audit, scope=_ASSIGNED, step_up=step_up)


def _review() -> Permission:
    return Permission(_at(Role.ADMIN), _REVIEWERS, _A.CONSULTATION, scope=_ASSIGNED)


def _second(of: Work) -> Permission:
    return Permission(_at(Role.ADMIN), _REVIEWERS, _A.ALTERATION, scope=_ASSIGNED, four_eyes=of)


def _administration(*, step_up: bool = False, justification: bool = False) -> Permission:
    return Permission(
        _at(Role.ADMIN),
        _ADMINISTRATOR,
        _A.ALTERATION,
        step_up=step_up,
        justification=justification,
    )


def _asking() -> Permission:
    return Permission(_at(Role.ADMIN), _OFFICER, _A.ALTERATION, scope=_ASSIGNED)


def _deciding() -> Permission:
    return Permission(
        _at(Role.ADMIN), _APPROVER, _A.ALTERATION, scope=_ASSIGNED, four_eyes=Work.DEPLOYMENT
    )


def _staff(audit: AuditClass, reason: str = "") -> Permission:
    return Permission(_STAFF, EVERYONE, audit, reason)


def _auditing(audit: AuditClass, reason: str = "") -> Permission:
    return Permission(_at(Role.ADMIN), _AUDITOR, audit, reason)


def _technical(reason: str) -> Permission:
    return Permission(MACHINES, frozenset(), _A.NONE, reason)


_NO_PERSON_IN_IT = "places and machines, no personal data"
_STAFF_AT_MOST = "places, machines and who works there; nobody who is looked for"
_OF_MANY = "means and shares of many people, and nothing of anyone"
_PROBE = "says whether the server works, and nothing of anyone"
_HASHES = "hashes and a signature, no personal data"
_CONTRACT = "the contract is public"

PERMISSIONS: dict[str, Permission] = {
    "/cordon.v1.RecognitionService/StreamFrames": Permission(
        _at(Role.CAMERA), frozenset(), _A.COLLECTION, scope=Scope.OWN_CAMERA
    ),
    "/cordon.v1.MatchService/SubscribeMatches": _matches(_A.CONSULTATION),
    "/cordon.v1.MatchService/GetMatch": _matches(_A.CONSULTATION),
    "/cordon.v1.MatchService/ListMatches": _matches(_A.CONSULTATION),
    "/cordon.v1.MatchService/GetMatchImages": _matches(_A.CONSULTATION),
    "/cordon.v1.MatchService/ClaimMatch": _matches(_A.CONSULTATION),
    "/cordon.v1.MatchService/AdjudicateMatch": _matches(_A.ALTERATION),
    "/cordon.v1.MatchService/RecordOutcome": _matches(_A.ALTERATION),
    "/cordon.v1.ReceiptService/IssueReceipt": _matches(_A.DISCLOSURE),
    # A code names no deployment, and the one that it leads to may have ended.
    "/cordon.v1.ReceiptService/LookUpReceipt": Permission(
        _at(Role.CONTROL), _OPERATORS, _A.DISCLOSURE, training=True
    ),
    "/cordon.v1.MeasurementService/SeedCase": _supervision(_A.ALTERATION),
    "/cordon.v1.MeasurementService/GetShiftReport": _supervision(_A.CONSULTATION),
    "/cordon.v1.MeasurementService/RecordPass": _matches(_A.COLLECTION),
    "/cordon.v1.MeasurementService/GetTpir": _supervision(_A.CONSULTATION),
    "/cordon.v1.MeasurementService/PreflightCamera": _supervision(_A.COLLECTION),
    "/cordon.v1.MeasurementService/ListCameraDrifts": Permission(
        _at(Role.CONTROL), _OPERATORS, _A.NONE, _OF_MANY, scope=_ASSIGNED
    ),
    "/cordon.v1.DeploymentService/CreateDeployment": Permission(
        _at(Role.ADMIN), _OFFICER, _A.ALTERATION
    ),
    "/cordon.v1.DeploymentService/GetDeployment": _staff(_A.NONE, _STAFF_AT_MOST),
    "/cordon.v1.DeploymentService/ListDeployments": _staff(_A.NONE, _STAFF_AT_MOST),
    "/cordon.v1.DeploymentService/UpdateDeployment": _asking(),
    "/cordon.v1.DeploymentService/AssignDeployment": Permission(
        _at(Role.ADMIN), _REVIEWERS, _A.ALTERATION, scope=Scope.OWN_DEPLOYMENT
    ),
    "/cordon.v1.DeploymentService/ForecastDeployment": Permission(
        _at(Role.ADMIN), _REVIEWERS, _A.COMBINATION, scope=_ASSIGNED
    ),
    "/cordon.v1.DeploymentService/SubmitDeployment": _asking(),
    "/cordon.v1.DeploymentService/AuthoriseDeployment": _deciding(),
    "/cordon.v1.DeploymentService/GetNotice": _staff(_A.NONE, _NO_PERSON_IN_IT),
    "/cordon.v1.DeploymentService/PublishNotice": Permission(
        _at(Role.ADMIN), _REVIEWERS, _A.ALTERATION, scope=_ASSIGNED
    ),
    "/cordon.v1.DeploymentService/ArmDeployment": _deciding(),
    # Stopping asks for no assignment, no training, no password and no room on a disk.
    "/cordon.v1.DeploymentService/HaltDeployment": Permission(
        _STAFF,
        _OPERATORS | _APPROVER,
        _A.NONE,
        "is on record when recognition has stopped, as what it did",
    ),
    "/cordon.v1.DeploymentService/ResumeDeployment": Permission(
        _STAFF, _APPROVER, _A.ALTERATION, scope=_ASSIGNED
    ),
    "/cordon.v1.DeploymentService/RegisterSigningKey": Permission(
        _at(Role.ADMIN), _APPROVER, _A.ALTERATION, step_up=True
    ),
    "/cordon.v1.DeploymentService/GetPolicy": _staff(_A.NONE, _NO_PERSON_IN_IT),
    "/cordon.v1.DeploymentService/EndDeployment": Permission(
        _STAFF,
        _of(PersonRole.AUTHORISING_OFFICER, PersonRole.SUPERVISOR),
        _A.ERASURE,
        scope=_ASSIGNED,
    ),
    "/cordon.v1.WatchlistService/EnrolReference": _list(_A.COLLECTION),
    "/cordon.v1.WatchlistService/ImportReferences": _list(_A.COLLECTION, step_up=True),
    "/cordon.v1.WatchlistService/CheckReference": _list(_A.COMBINATION),
    "/cordon.v1.WatchlistService/GetEntry": _review(),
    "/cordon.v1.WatchlistService/ListEntries": _review(),
    "/cordon.v1.WatchlistService/RemoveEntry": _list(_A.ERASURE),
    "/cordon.v1.WatchlistService/ApproveEntry": _second(Work.ENTRY),
    "/cordon.v1.WatchlistService/GetWatchlist": _review(),
    "/cordon.v1.WatchlistService/ReviewWatchlist": _second(Work.WATCHLIST),
    "/cordon.v1.WatchlistService/CheckWatchlist": _review(),
    "/cordon.v1.WatchlistService/CheckDifference": _review(),
    "/cordon.v1.WatchlistService/GetEntrySample": _review(),
    "/cordon.v1.WatchlistService/GetProposal": _review(),
    "/cordon.v1.WatchlistService/ListProposals": _review(),
    "/cordon.v1.WatchlistService/ListProposalRows": _review(),
    "/cordon.v1.WatchlistService/ApplyProposal": _second(Work.PROPOSAL),
    "/cordon.v1.WatchlistService/DiscardProposal": _list(_A.ERASURE),
    "/cordon.v1.CameraService/CreateCamera": _administration(),
    "/cordon.v1.CameraService/GetCamera": _staff(_A.NONE, _NO_PERSON_IN_IT),
    "/cordon.v1.CameraService/ListCameras": _staff(_A.NONE, _NO_PERSON_IN_IT),
    "/cordon.v1.CameraService/RevokeCamera": _administration(step_up=True),
    "/cordon.v1.RetentionService/CheckListed": Permission(
        _at(Role.ADMIN), _INQUIRERS, _A.CONSULTATION
    ),
    "/cordon.v1.RetentionService/PlaceHold": Permission(_at(Role.ADMIN), _APPROVER, _A.ALTERATION),
    "/cordon.v1.RetentionService/LiftHold": Permission(
        _at(Role.ADMIN), _APPROVER, _A.ERASURE, step_up=True
    ),
    "/cordon.v1.RetentionService/GetHold": Permission(_at(Role.ADMIN), _APPROVER, _A.DISCLOSURE),
    "/cordon.v1.RetentionService/ListHolds": Permission(
        _at(Role.ADMIN), _HOLD_READERS, _A.NONE, "names of holds and matches, no personal data"
    ),
    "/cordon.v1.RetentionService/ProveForgetting": Permission(
        _at(Role.ADMIN), _HOLD_READERS, _A.COLLECTION
    ),
    "/cordon.v1.MachineService/CreateEnrolmentToken": _administration(),
    "/cordon.v1.MachineService/IssueCertificate": _administration(),
    "/cordon.v1.MachineService/RenewCertificate": Permission(MACHINES, frozenset(), _A.ALTERATION),
    "/cordon.v1.MachineService/ListCertificates": Permission(
        _at(Role.ADMIN), _ADMINISTRATOR, _A.NONE, _NO_PERSON_IN_IT
    ),
    "/cordon.v1.MachineService/RevokeCertificate": _administration(
        step_up=True, justification=True
    ),
    # On a port of its own, where nobody has a certificate yet: here it is refused to everyone.
    "/cordon.v1.EnrolmentService/Enrol": Permission(frozenset(), frozenset(), _A.ALTERATION),
    "/cordon.v1.IdentityService/SignIn": Permission(_STAFF, frozenset(), _A.ALTERATION),
    "/cordon.v1.IdentityService/RenewToken": Permission(
        _STAFF, EVERYONE, _A.NONE, "goes on with a session on record", even_expired=True
    ),
    "/cordon.v1.IdentityService/StepUp": _staff(_A.ALTERATION),
    "/cordon.v1.IdentityService/SignOut": _staff(_A.ALTERATION),
    "/cordon.v1.IdentityService/WhoAmI": Permission(
        _STAFF, EVERYONE, _A.NONE, "tells the caller of himself", person_optional=True
    ),
    "/cordon.v1.IdentityService/ChangePassword": _staff(_A.ALTERATION),
    "/cordon.v1.IdentityService/CreateUser": _administration(),
    "/cordon.v1.IdentityService/GetUser": Permission(
        _at(Role.ADMIN), _ADMINISTRATOR, _A.CONSULTATION
    ),
    "/cordon.v1.IdentityService/ListUsers": Permission(
        _at(Role.ADMIN), _ADMINISTRATOR, _A.CONSULTATION
    ),
    "/cordon.v1.IdentityService/SetUserRoles": _administration(step_up=True),
    "/cordon.v1.IdentityService/SetUserTraining": _administration(),
    "/cordon.v1.IdentityService/ResetPassword": _administration(step_up=True),
    "/cordon.v1.IdentityService/LockUser": _administration(step_up=True),
    "/cordon.v1.IdentityService/UnlockUser": _administration(),
    "/cordon.v1.IdentityService/RevokeUser": _administration(step_up=True),
    "/cordon.v1.IdentityService/RevokeSessions": _administration(step_up=True),
    "/cordon.v1.AuditService/ListRecords": _auditing(_A.CONSULTATION),
    "/cordon.v1.AuditService/GetCheckpoint": _auditing(_A.NONE, _HASHES),
    "/cordon.v1.AuditService/GetInclusionProof": _auditing(_A.CONSULTATION),
    "/cordon.v1.AuditService/GetConsistencyProof": _auditing(_A.NONE, _HASHES),
    "/cordon.v1.AuditService/ExportAudit": _auditing(_A.DISCLOSURE),
    "/grpc.health.v1.Health/Check": _technical(_PROBE),
    "/grpc.health.v1.Health/List": _technical(_PROBE),
    "/grpc.health.v1.Health/Watch": _technical(_PROBE),
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": _technical(_CONTRACT),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _technical(_CONTRACT),
}

NOBODY = Permission(frozenset(), frozenset(), AuditClass.NONE, "refused to everyone")
"""The row of a method that has none."""

INCOMPATIBLE: tuple[tuple[PersonRole, PersonRole, str], ...] = (
    (
        PersonRole.WATCHLIST_OFFICER,
        PersonRole.AUTHORISING_OFFICER,
        "nobody both proposes and approves",
    ),
    *(
        (PersonRole.ADMINISTRATOR, role, "an administrator sees no faces, matches or lists")
        for role in (
            PersonRole.OPERATOR,
            PersonRole.SUPERVISOR,
            PersonRole.WATCHLIST_OFFICER,
            PersonRole.AUTHORISING_OFFICER,
        )
    ),
    *(
        (reader, judge, "who judges matches does not read what others have judged")
        for reader in (PersonRole.AUDITOR, PersonRole.AUTHORISING_OFFICER)
        for judge in (PersonRole.OPERATOR, PersonRole.SUPERVISOR)
    ),
)
"""Roles that no person holds together, and why."""


def permission(method: str) -> Permission:
    """The method's row; one that nobody satisfies where there is none."""
    return PERMISSIONS.get(method, NOBODY)


def clash(roles: Iterable[PersonRole]) -> str | None:
    """Why these roles cannot be one person's, or None when they can."""
    held = set(roles)
    for one, other, why in INCOMPATIBLE:
        if {one, other} <= held:
            return f"{one} and {other} cannot be one person: {why}"
    return None


def check_complete(methods: Iterable[str]) -> None:
    """Raises `ConfigInvalid` when a method that the server would serve has no row, or a row no
    method."""
    served = set(methods)
    if missing := sorted(served - PERMISSIONS.keys()):
        raise ConfigInvalid(f"no permission is stated for {', '.join(missing)}")
    if idle := sorted(PERMISSIONS.keys() - served):
        raise ConfigInvalid(f"permissions are stated for methods not served: {', '.join(idle)}")


def words(roles: frozenset[Role] | frozenset[PersonRole]) -> str:
    """Roles as people say them."""
    return ", ".join(sorted(role.replace("_", " ") for role in roles)) or "none"
