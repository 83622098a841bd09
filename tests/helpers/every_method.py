"""Every method of the descriptor pool, with a request that its handler answers and that changes
nothing: what it names is not there, or is there already.
"""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from cordon.v1 import (
    audit_pb2,
    camera_pb2,
    deployment_pb2,
    identity_pb2,
    machine_pb2,
    match_pb2,
    measurement_pb2,
    receipt_pb2,
    recognition_pb2,
    retention_pb2,
    watchlist_pb2,
)

NOBODY, NOTHING = "nobody", "nothing"
"""A user and a deployment, camera or machine that are not there."""
ABSENT = f"deployments/{NOTHING}"
_V1 = "/cordon.v1."


def requests(deployment: str = NOTHING, taken: str = NOBODY) -> dict[str, Message]:
    """Full method name to request. What is scoped asks for the deployment; `taken` is a name that a
    user and a camera have, so that neither can be made."""
    parent = f"deployments/{deployment}"
    match, entry = f"{parent}/matches/1", f"{parent}/entries/{NOTHING}"
    user, camera = f"users/{NOBODY}", f"cameras/{NOTHING}"
    proposal = f"{parent}/proposals/00000000-0000-0000-0000-000000000000"
    operator = identity_pb2.User(roles=[identity_pb2.USER_ROLE_OPERATOR])
    services: dict[str, dict[str, Message]] = {
        f"{_V1}RecognitionService": {
            "StreamFrames": recognition_pb2.StreamFramesRequest(
                hello=recognition_pb2.Hello(
                    client_version="test",
                    sent_at=_now(),
                    source_kind=recognition_pb2.SOURCE_KIND_VIDEO,
                )
            ),
        },
        f"{_V1}MatchService": {
            "SubscribeMatches": match_pb2.SubscribeMatchesRequest(parent=parent),
            "GetMatch": match_pb2.GetMatchRequest(name=match),
            "ListMatches": match_pb2.ListMatchesRequest(parent=parent),
            "GetMatchImages": match_pb2.GetMatchImagesRequest(name=match),
            "ClaimMatch": match_pb2.ClaimMatchRequest(name=match),
            "AdjudicateMatch": match_pb2.AdjudicateMatchRequest(
                name=match,
                decision=match_pb2.DECISION_TRUE,
                reasons=[match_pb2.ADJUDICATION_REASON_FEATURES_AGREE],
                picture_ids=["0" * 64],
            ),
            "RecordOutcome": match_pb2.RecordOutcomeRequest(
                name=match, outcome=match_pb2.MATCH_OUTCOME_LOST
            ),
        },
        f"{_V1}ReceiptService": {
            "IssueReceipt": receipt_pb2.IssueReceiptRequest(name=match),
            "LookUpReceipt": receipt_pb2.LookUpReceiptRequest(code="2222-2222-2222"),
        },
        f"{_V1}MeasurementService": {
            "SeedCase": measurement_pb2.SeedCaseRequest(
                parent=parent,
                external_ref=NOTHING,
                camera=camera,
                image=b"no picture",
                validate_only=True,
            ),
            "GetShiftReport": measurement_pb2.GetShiftReportRequest(parent=parent),
            "RecordPass": measurement_pb2.RecordPassRequest(
                parent=parent, external_ref=NOTHING, camera=camera
            ),
            "GetTpir": measurement_pb2.GetTpirRequest(parent=parent),
            "PreflightCamera": measurement_pb2.PreflightCameraRequest(
                start=measurement_pb2.PreflightStart(parent=parent, camera=camera)
            ),
            "ListCameraDrifts": measurement_pb2.ListCameraDriftsRequest(parent=parent),
        },
        f"{_V1}DeploymentService": {
            "CreateDeployment": deployment_pb2.CreateDeploymentRequest(
                deployment_id=NOTHING,
                deployment=deployment_pb2.Deployment(cameras=[camera]),
            ),
            "GetDeployment": deployment_pb2.GetDeploymentRequest(name=parent),
            "ListDeployments": deployment_pb2.ListDeploymentsRequest(),
            "AssignDeployment": deployment_pb2.AssignDeploymentRequest(name=parent, add=[user]),
            "UpdateDeployment": deployment_pb2.UpdateDeploymentRequest(
                name=parent,
                deployment=deployment_pb2.Deployment(cameras=[camera]),
                update_mask=FieldMask(paths=["cameras"]),
            ),
            "ForecastDeployment": deployment_pb2.ForecastDeploymentRequest(
                name=parent, faces_per_hour=600
            ),
            "SubmitDeployment": deployment_pb2.SubmitDeploymentRequest(name=parent),
            "AuthoriseDeployment": deployment_pb2.AuthoriseDeploymentRequest(
                name=parent, digest=bytes(32), signature=bytes(64)
            ),
            "GetNotice": deployment_pb2.GetNoticeRequest(name=parent),
            "PublishNotice": deployment_pb2.PublishNoticeRequest(name=parent, place="nowhere"),
            "HaltDeployment": deployment_pb2.HaltDeploymentRequest(name=parent),
            "ResumeDeployment": deployment_pb2.ResumeDeploymentRequest(name=parent),
            "RegisterSigningKey": deployment_pb2.RegisterSigningKeyRequest(
                public_key=bytes(32), signature=bytes(64)
            ),
            "GetPolicy": deployment_pb2.GetPolicyRequest(),
            "ArmDeployment": deployment_pb2.ArmDeploymentRequest(name=parent),
            "EndDeployment": deployment_pb2.EndDeploymentRequest(name=parent, validate_only=True),
        },
        f"{_V1}WatchlistService": {
            "EnrolReference": watchlist_pb2.EnrolReferenceRequest(
                parent=parent, external_ref="s-1", category="other", image=b"no picture"
            ),
            "ImportReferences": watchlist_pb2.ImportReferencesRequest(
                start=watchlist_pb2.ImportStart(parent=parent)
            ),
            "CheckReference": watchlist_pb2.CheckReferenceRequest(
                parent=parent, image=b"no picture"
            ),
            "GetEntry": watchlist_pb2.GetEntryRequest(name=entry),
            "ListEntries": watchlist_pb2.ListEntriesRequest(parent=parent),
            "RemoveEntry": watchlist_pb2.RemoveEntryRequest(name=entry),
            "ApproveEntry": watchlist_pb2.ApproveEntryRequest(name=entry),
            "GetWatchlist": watchlist_pb2.GetWatchlistRequest(name=f"{parent}/watchlist"),
            "CheckWatchlist": watchlist_pb2.CheckWatchlistRequest(name=f"{parent}/watchlist"),
            "CheckDifference": watchlist_pb2.CheckDifferenceRequest(
                name=f"{parent}/watchlist", other=f"{parent}/watchlist"
            ),
            "GetProposal": watchlist_pb2.GetProposalRequest(name=proposal),
            "ListProposals": watchlist_pb2.ListProposalsRequest(parent=parent),
            "ListProposalRows": watchlist_pb2.ListProposalRowsRequest(parent=proposal),
            "ApplyProposal": watchlist_pb2.ApplyProposalRequest(name=proposal, digest="0" * 64),
            "DiscardProposal": watchlist_pb2.DiscardProposalRequest(name=proposal),
            "GetEntrySample": watchlist_pb2.GetEntrySampleRequest(
                name=f"{parent}/watchlist", count=1
            ),
            "ReviewWatchlist": watchlist_pb2.ReviewWatchlistRequest(
                name=f"{parent}/watchlist", digest="0" * 64
            ),
        },
        f"{_V1}CameraService": {
            "CreateCamera": camera_pb2.CreateCameraRequest(camera_id=taken),
            "GetCamera": camera_pb2.GetCameraRequest(name=camera),
            "ListCameras": camera_pb2.ListCamerasRequest(),
            "RevokeCamera": camera_pb2.RevokeCameraRequest(name=camera),
        },
        f"{_V1}RetentionService": {
            "CheckListed": retention_pb2.CheckListedRequest(parent=parent, external_ref=NOTHING),
            "PlaceHold": retention_pb2.PlaceHoldRequest(
                hold_id=NOTHING, match=match, reason="a test"
            ),
            "LiftHold": retention_pb2.LiftHoldRequest(name=f"holds/{NOTHING}", reason="a test"),
            "GetHold": retention_pb2.GetHoldRequest(name=f"holds/{NOTHING}"),
            "ListHolds": retention_pb2.ListHoldsRequest(),
            "ProveForgetting": retention_pb2.ProveForgettingRequest(pictures=[b"no picture"]),
        },
        f"{_V1}MachineService": {
            "CreateEnrolmentToken": machine_pb2.CreateEnrolmentTokenRequest(
                role=machine_pb2.ROLE_CAMERA, id=NOTHING
            ),
            "IssueCertificate": machine_pb2.IssueCertificateRequest(
                role=machine_pb2.ROLE_CONTROL, id=NOTHING, csr_der=b"no request"
            ),
            "RenewCertificate": machine_pb2.RenewCertificateRequest(csr_der=b"no request"),
            "ListCertificates": machine_pb2.ListCertificatesRequest(page_size=1),
            "RevokeCertificate": machine_pb2.RevokeCertificateRequest(
                name=f"certificates/{'0' * 64}"
            ),
        },
        f"{_V1}EnrolmentService": {
            "Enrol": machine_pb2.EnrolRequest(token="cordon1.none", csr_der=b"no request"),
        },
        f"{_V1}IdentityService": {
            "SignIn": identity_pb2.SignInRequest(name=user, password="wrong"),
            "RenewToken": identity_pb2.RenewTokenRequest(),
            "StepUp": identity_pb2.StepUpRequest(password="wrong"),
            "SignOut": identity_pb2.SignOutRequest(),
            "WhoAmI": identity_pb2.WhoAmIRequest(),
            "ChangePassword": identity_pb2.ChangePasswordRequest(
                password="wrong", new_password="wrong too"
            ),
            "CreateUser": identity_pb2.CreateUserRequest(
                user_id=taken, user=operator, password="easy"
            ),
            "GetUser": identity_pb2.GetUserRequest(name=user),
            "ListUsers": identity_pb2.ListUsersRequest(page_size=1),
            "SetUserRoles": identity_pb2.SetUserRolesRequest(name=user, roles=operator.roles),
            "SetUserTraining": identity_pb2.SetUserTrainingRequest(name=user),
            "ResetPassword": identity_pb2.ResetPasswordRequest(name=user, password="easy"),
            "LockUser": identity_pb2.LockUserRequest(name=user),
            "UnlockUser": identity_pb2.UnlockUserRequest(name=user),
            "RevokeUser": identity_pb2.RevokeUserRequest(name=user),
            "RevokeSessions": identity_pb2.RevokeSessionsRequest(name=user),
        },
        f"{_V1}AuditService": {
            "ListRecords": audit_pb2.ListRecordsRequest(page_size=1),
            "GetCheckpoint": audit_pb2.GetCheckpointRequest(),
            "GetInclusionProof": audit_pb2.GetInclusionProofRequest(index=0),
            "GetConsistencyProof": audit_pb2.GetConsistencyProofRequest(first_size=1),
            "ExportAudit": audit_pb2.ExportAuditRequest(),
        },
        "/grpc.health.v1.Health": {
            "Check": health_pb2.HealthCheckRequest(),
            "List": health_pb2.HealthListRequest(),
            "Watch": health_pb2.HealthCheckRequest(),
        },
        "/grpc.reflection.v1.ServerReflection": {"ServerReflectionInfo": _list_services()},
        "/grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": _list_services()},
    }
    return {
        f"{service}/{method}": request
        for service, methods in services.items()
        for method, request in methods.items()
    }


def _list_services() -> Message:
    request: Message = reflection_pb2.ServerReflectionRequest(list_services="")
    return request


def _now() -> Timestamp:
    now = Timestamp()
    now.GetCurrentTime()
    return now
