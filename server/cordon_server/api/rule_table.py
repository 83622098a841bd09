"""The field rules of the contract as one table; `rules` applies it.

A message that is not in the table has no rules; a test compares the table with the protos, so a
field cannot be renamed past its rule.
"""

from __future__ import annotations

from typing import Any

from cordon_server.api.convert_deployment import FIELDS as DEPLOYMENT_FIELDS
from cordon_server.api.rule_kinds import (
    Rule,
    between,
    camera_name,
    certificate_name,
    corners,
    day,
    deployment_name,
    each,
    entry_name,
    exactly,
    external_ref,
    hex_digest,
    hold_name,
    label,
    line,
    long_text,
    match_name,
    matches,
    one_of,
    optional,
    picture_point,
    present,
    proposal_name,
    rationale,
    reason_text,
    request_id,
    secret,
    some,
    spiffe_id,
    text,
    user_name,
    watchlist_name,
)
from cordon_server.authority.signing import PUBLIC_KEY_BYTES, SIGNATURE_BYTES
from cordon_server.authority.steps import ASSIGNEES_MAX
from cordon_server.identity.sessions import SESSION_ID_PATTERN

PAGE_SIZE_MAX = 1000
CAMERAS_PER_DEPLOYMENT_MAX = 64
FACES_PER_HOUR_MAX = 1_000_000
OPERATORS_MAX = 1000
SAMPLE_COUNT_MAX = 100
PROOF_PICTURES_MAX = 50


def _deployment_mask(value: Any) -> str | None:
    paths = list(value.paths) if value is not None else []
    if not paths or len(set(paths)) != len(paths):
        return "must name fields, each once"
    unknown = [path for path in paths if path not in DEPLOYMENT_FIELDS]
    return "must name fields that may be changed, as the contract lists them" if unknown else None


_roles = some(one_of(1, 2, 3, 4, 5, 6), 6)
_page = {
    "page_size": between(0, PAGE_SIZE_MAX),
    "page_token": optional(matches(r"[A-Za-z0-9._=-]{1,128}", "a token from the page before")),
}
_mutation = {"request_id": request_id}
_subject = {
    "external_ref": external_ref,
    "category": present,
    "threshold": between(-1, 1),
    "image": present,
    "face_point": picture_point,
    "lawful_source": one_of(*range(7)),
    "rationale": rationale,
    "requester": text,
    "birth_date": day,
    "age_group": one_of(0, 1, 2),
    "captured_on": day,
    "override_reason": rationale,
}

RULES: dict[str, dict[str, Rule]] = {
    "cordon.v1.Hello": {"client_version": text, "sent_at": present},
    "cordon.v1.Frame": {"sequence": present, "captured_at": present},
    "cordon.v1.SubscribeMatchesRequest": {"parent": deployment_name},
    "cordon.v1.GetMatchRequest": {"name": match_name},
    "cordon.v1.ListMatchesRequest": {"parent": deployment_name, **_page},
    "cordon.v1.GetMatchImagesRequest": {"name": match_name},
    "cordon.v1.ClaimMatchRequest": {"name": match_name, **_mutation},
    "cordon.v1.AdjudicateMatchRequest": {
        "name": match_name,
        "decision": one_of(1, 2, 3),
        "reasons": some(one_of(1, 2, 3, 4, 5, 6, 7, 8), 3),
        "picture_ids": some(matches(r"[0-9a-f]{64}", "a SHA-256 in lower-case hexadecimal"), 8),
        **_mutation,
    },
    "cordon.v1.RecordOutcomeRequest": {
        "name": match_name,
        "outcome": one_of(1, 2, 3, 4, 5, 6),
        **_mutation,
    },
    "cordon.v1.IssueReceiptRequest": {"name": match_name, **_mutation},
    "cordon.v1.LookUpReceiptRequest": {
        "code": matches(r"[0-9A-Za-z -]{1,32}", "a receipt code"),
        **_mutation,
    },
    "cordon.v1.SeedCaseRequest": {
        "parent": deployment_name,
        "external_ref": external_ref,
        "camera": camera_name,
        "image": present,
        "face_point": picture_point,
        **_mutation,
    },
    "cordon.v1.GetShiftReportRequest": {"parent": deployment_name},
    "cordon.v1.RecordPassRequest": {
        "parent": deployment_name,
        "external_ref": external_ref,
        "camera": camera_name,
        **_mutation,
    },
    "cordon.v1.GetTpirRequest": {"parent": deployment_name},
    "cordon.v1.PreflightStart": {
        "parent": deployment_name,
        "camera": camera_name,
        **_mutation,
    },
    "cordon.v1.PreflightPicture": {"external_ref": external_ref, "jpeg": present},
    "cordon.v1.ListCameraDriftsRequest": {"parent": deployment_name},
    "cordon.v1.EnrolReferenceRequest": {"parent": deployment_name, **_subject, **_mutation},
    "cordon.v1.ImportStart": {"parent": deployment_name, **_mutation},
    "cordon.v1.CheckReferenceRequest": {
        "parent": deployment_name,
        "image": present,
        "face_point": picture_point,
    },
    "cordon.v1.GetEntryRequest": {"name": entry_name},
    "cordon.v1.ListEntriesRequest": {"parent": deployment_name, **_page},
    "cordon.v1.RemoveEntryRequest": {"name": entry_name, **_mutation},
    "cordon.v1.ApproveEntryRequest": {"name": entry_name, **_mutation},
    "cordon.v1.GetWatchlistRequest": {"name": watchlist_name},
    "cordon.v1.GetProposalRequest": {"name": proposal_name},
    "cordon.v1.ListProposalsRequest": {"parent": deployment_name},
    "cordon.v1.ListProposalRowsRequest": {"parent": proposal_name, **_page},
    "cordon.v1.ApplyProposalRequest": {"name": proposal_name, "digest": hex_digest, **_mutation},
    "cordon.v1.DiscardProposalRequest": {"name": proposal_name, **_mutation},
    "cordon.v1.CheckWatchlistRequest": {"name": watchlist_name},
    "cordon.v1.CheckDifferenceRequest": {"name": watchlist_name, "other": watchlist_name},
    "cordon.v1.GetEntrySampleRequest": {
        "name": watchlist_name,
        "count": between(1, SAMPLE_COUNT_MAX),
    },
    "cordon.v1.ReviewWatchlistRequest": {
        "name": watchlist_name,
        "digest": hex_digest,
        **_mutation,
    },
    "cordon.v1.CreateDeploymentRequest": {
        "deployment_id": label,
        "deployment": present,
        **_mutation,
    },
    "cordon.v1.Deployment": {
        "location": text,
        "purpose": optional(label),
        "justification": long_text,
        "accountable_person": text,
        "notice_exemption": long_text,
        "zones": each(present, CAMERAS_PER_DEPLOYMENT_MAX),
        "cameras": each(camera_name, CAMERAS_PER_DEPLOYMENT_MAX),
        "assignees": each(user_name, ASSIGNEES_MAX),
        "threshold": between(0, 1),
    },
    "cordon.v1.GetDeploymentRequest": {"name": deployment_name},
    "cordon.v1.AssignDeploymentRequest": {
        "name": deployment_name,
        "add": each(user_name, ASSIGNEES_MAX),
        "remove": each(user_name, ASSIGNEES_MAX),
        **_mutation,
    },
    "cordon.v1.ListDeploymentsRequest": _page,
    "cordon.v1.Zone": {"camera": camera_name, "points": corners},
    "cordon.v1.ZonePoint": {"x": between(0, 1), "y": between(0, 1)},
    "cordon.v1.ImpactAssessment": {
        "document_sha256": exactly(32),
        "owner": line,
        "review_time": present,
    },
    "cordon.v1.UpdateDeploymentRequest": {
        "name": deployment_name,
        "deployment": present,
        "update_mask": _deployment_mask,
        **_mutation,
    },
    "cordon.v1.ForecastDeploymentRequest": {
        "name": deployment_name,
        "faces_per_hour": between(1, FACES_PER_HOUR_MAX),
        "operators": between(0, OPERATORS_MAX),
        "threshold": between(0, 1),
    },
    "cordon.v1.SubmitDeploymentRequest": {
        "name": deployment_name,
        "faces_per_hour": between(0, FACES_PER_HOUR_MAX),
        "operators": between(0, OPERATORS_MAX),
        **_mutation,
    },
    "cordon.v1.AuthoriseDeploymentRequest": {
        "name": deployment_name,
        "digest": exactly(32),
        "signature": exactly(SIGNATURE_BYTES),
        **_mutation,
    },
    "cordon.v1.GetNoticeRequest": {"name": deployment_name},
    "cordon.v1.PublishNoticeRequest": {"name": deployment_name, "place": line, **_mutation},
    "cordon.v1.ArmDeploymentRequest": {"name": deployment_name, **_mutation},
    "cordon.v1.HaltDeploymentRequest": {"name": deployment_name, **_mutation},
    "cordon.v1.ResumeDeploymentRequest": {"name": deployment_name, **_mutation},
    "cordon.v1.RegisterSigningKeyRequest": {
        "public_key": exactly(PUBLIC_KEY_BYTES),
        "signature": exactly(SIGNATURE_BYTES),
        **_mutation,
    },
    "cordon.v1.EndDeploymentRequest": {"name": deployment_name, **_mutation},
    "cordon.v1.CheckListedRequest": {
        "parent": deployment_name,
        "external_ref": external_ref,
    },
    "cordon.v1.PlaceHoldRequest": {
        "hold_id": label,
        "match": match_name,
        "reason": reason_text,
        **_mutation,
    },
    "cordon.v1.LiftHoldRequest": {"name": hold_name, "reason": reason_text, **_mutation},
    "cordon.v1.GetHoldRequest": {"name": hold_name},
    "cordon.v1.ListHoldsRequest": _page,
    "cordon.v1.ProveForgettingRequest": {
        "pictures": some(present, PROOF_PICTURES_MAX),
        **_mutation,
    },
    "cordon.v1.CreateCameraRequest": {"camera_id": label, **_mutation},
    "cordon.v1.Camera": {"display_name": text},
    "cordon.v1.GetCameraRequest": {"name": camera_name},
    "cordon.v1.ListCamerasRequest": _page,
    "cordon.v1.RevokeCameraRequest": {"name": camera_name, **_mutation},
    "cordon.v1.CreateEnrolmentTokenRequest": {"role": one_of(1, 2, 3), "id": label, **_mutation},
    "cordon.v1.IssueCertificateRequest": {
        "role": one_of(1, 2, 3),
        "id": label,
        "csr_der": present,
        **_mutation,
    },
    "cordon.v1.RenewCertificateRequest": {"csr_der": present},
    "cordon.v1.ListCertificatesRequest": {"spiffe_id": optional(spiffe_id), **_page},
    "cordon.v1.RevokeCertificateRequest": {
        "name": optional(certificate_name),
        "spiffe_id": optional(spiffe_id),
        **_mutation,
    },
    "cordon.v1.EnrolRequest": {
        "token": matches(r"[\x21-\x7e]{1,256}", "a token"),
        "csr_der": present,
    },
    "cordon.v1.SignInRequest": {
        "name": user_name,
        "password": secret,
        "new_password": optional(secret),
    },
    "cordon.v1.StepUpRequest": {"password": secret},
    "cordon.v1.ChangePasswordRequest": {"password": secret, "new_password": secret},
    "cordon.v1.CreateUserRequest": {
        "user_id": label,
        "user": present,
        "password": secret,
        **_mutation,
    },
    "cordon.v1.User": {"display_name": text, "roles": _roles},
    "cordon.v1.GetUserRequest": {"name": user_name},
    "cordon.v1.ListUsersRequest": _page,
    "cordon.v1.SetUserRolesRequest": {"name": user_name, "roles": _roles, **_mutation},
    "cordon.v1.SetUserTrainingRequest": {"name": user_name, **_mutation},
    "cordon.v1.ResetPasswordRequest": {"name": user_name, "password": secret, **_mutation},
    "cordon.v1.LockUserRequest": {"name": user_name, **_mutation},
    "cordon.v1.UnlockUserRequest": {"name": user_name, **_mutation},
    "cordon.v1.RevokeUserRequest": {"name": user_name, **_mutation},
    "cordon.v1.RevokeSessionsRequest": {
        "name": user_name,
        "session_id": optional(
            matches(SESSION_ID_PATTERN, "the session_id of a token, 32 hexadecimal digits")
        ),
        **_mutation,
    },
    "cordon.v1.ListRecordsRequest": {"deployment": optional(deployment_name), **_page},
}

ROW_RULES = _subject
"""Rules of an import row. Broken ones are the row's report, not the end of the stream."""
