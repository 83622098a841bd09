"""What is to come of a call by the permission table, read from its columns and by none of the
server's own judging.
"""

from __future__ import annotations

from cordon_server.api.enrolment import ENROL
from cordon_server.identity.names import PersonRole, Role
from cordon_server.identity.permissions import PERMISSIONS, Scope, Work
from tests.helpers.callers import Kind
from tests.helpers.matrix import Expected

ANSWERS = {
    f"/cordon.v1.{service}/{name}": frozenset(codes.split())
    for codes, services in {
        "NOT_FOUND": {
            "MatchService": "GetMatch GetMatchImages ClaimMatch AdjudicateMatch RecordOutcome",
            "ReceiptService": "IssueReceipt LookUpReceipt",
            "DeploymentService": "CreateDeployment UpdateDeployment AssignDeployment",
            "WatchlistService": "GetEntry RemoveEntry ApproveEntry GetProposal ListProposalRows"
            " DiscardProposal",
            "CameraService": "GetCamera RevokeCamera",
            "RetentionService": "PlaceHold LiftHold GetHold",
            "MachineService": "CreateEnrolmentToken RevokeCertificate",
            "IdentityService": "GetUser SetUserRoles SetUserTraining LockUser UnlockUser RevokeUser"
            " RevokeSessions",
        },
        "ALREADY_EXISTS": {"CameraService": "CreateCamera"},
        "FAILED_PRECONDITION": {
            "RecognitionService": "StreamFrames",
            "MeasurementService": "SeedCase RecordPass PreflightCamera",
            "DeploymentService": "SubmitDeployment AuthoriseDeployment PublishNotice ArmDeployment"
            " GetNotice HaltDeployment ResumeDeployment",
            "WatchlistService": "ReviewWatchlist",
        },
        "INVALID_ARGUMENT": {
            "DeploymentService": "RegisterSigningKey",
            "WatchlistService": "EnrolReference",
            "RetentionService": "ProveForgetting",
            "MachineService": "IssueCertificate",
            "IdentityService": "CreateUser ResetPassword",
        },
        # A bad request, and one too many.
        "INVALID_ARGUMENT RESOURCE_EXHAUSTED": {"MachineService": "RenewCertificate"},
        # A wrong password, and one too many.
        "UNAUTHENTICATED RESOURCE_EXHAUSTED": {"IdentityService": "SignIn StepUp ChangePassword"},
    }.items()
    for service, names in services.items()
    for name in names.split()
}
"""What a handler that begins makes of the requests of `every_method`; OK where none is named."""


BOUND = {PersonRole.OPERATOR, PersonRole.SUPERVISOR, PersonRole.WATCHLIST_OFFICER}
"""Who acts on the deployments that he is assigned to alone."""
OF_DEPLOYMENTS = (Scope.ASSIGNED_DEPLOYMENT, Scope.OWN_DEPLOYMENT)


def expected(
    method: str, machine: Role, role: PersonRole | None, kind: Kind | None, is_justified: bool
) -> Expected:
    """What the row of the method says about this caller; a person with no token has no role."""
    row = PERMISSIONS[method]
    if method == ENROL:
        return Expected(frozenset({"UNIMPLEMENTED"}))
    if machine not in row.machines:
        return denied("WRONG_MACHINE")
    if not row.people:
        return entered(method)
    if role is None or kind is None:
        return entered(method) if row.person_optional else unauthenticated("SIGN_IN_NEEDED")
    if kind.refused and not (kind.is_expired and row.even_expired):
        return unauthenticated(*kind.refused)
    if role not in row.people:
        return denied("WRONG_ROLE")
    if row.training and not kind.is_trained:
        return denied("TRAINING_NEEDED")
    if row.step_up and not kind.is_fresh:
        return denied("STEP_UP_NEEDED")
    if row.justification and not is_justified:
        return denied("JUSTIFICATION_NEEDED")
    if row.scope in OF_DEPLOYMENTS and role in BOUND and not kind.is_assigned:
        return denied("NOT_ASSIGNED")
    if row.scope is Scope.OWN_DEPLOYMENT and role in BOUND and not kind.is_maker:
        return denied("NOT_ITS_MAKER")
    if row.four_eyes in (Work.ENTRY, Work.PROPOSAL):
        return Expected(frozenset({"NOT_FOUND"}))  # Nobody made what is not there.
    if row.four_eyes is not None and role in BOUND and kind.is_maker:
        return denied("FOUR_EYES")
    return entered(method)


def denied(reason: str) -> Expected:
    return Expected(frozenset({"PERMISSION_DENIED"}), frozenset({reason}))


def unauthenticated(*reasons: str) -> Expected:
    return Expected(frozenset({"UNAUTHENTICATED"}), frozenset(reasons))


def entered(method: str) -> Expected:
    return Expected(ANSWERS.get(method, frozenset({"OK"})), is_entered=True)
