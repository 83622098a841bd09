"""The protocol's messages as records for output, and the columns that tables show of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cordon.v1 import camera_pb2, deployment_pb2, match_pb2, watchlist_pb2
from cordon_client.names import short
from cordon_client.times import moment

if TYPE_CHECKING:
    from collections.abc import Iterable

CAMERA_COLUMNS = {
    "NAME": "id",
    "DISPLAY NAME": "display_name",
    "STATE": "state",
    "LIVE": "is_live",
    "DEPLOYMENT": "live_deployment",
    "LAST FRAME": "last_frame_time",
}

CAMERA_DETAILS = {
    "Name": "id",
    "Display name": "display_name",
    "State": "state",
    "Registered": "create_time",
    "Revoked": "revoke_time",
    "Live": "is_live",
    "Connected since": "connect_time",
    "Deployment": "live_deployment",
    "Last frame": "last_frame_time",
    "Frames received": "frames_received",
    "Frames processed": "frames_processed",
    "Frames superseded": "frames_superseded",
    "Frames expired": "frames_expired",
    "Frames rejected": "frames_rejected",
    "Faces searched": "faces_searched",
}

DEPLOYMENT_COLUMNS = {
    "NAME": "id",
    "LOCATION": "location",
    "STATE": "state",
    "UNTIL": "end_time",
    "SUBJECTS": "entry_count",
    "MATCHES": "match_count",
}

DEPLOYMENT_DETAILS = {
    "Name": "id",
    "Location": "location",
    "State": "state",
    "Purpose": "purpose",
    "Why": "justification",
    "Accountable": "accountable_person",
    "Urgent": "urgent",
    "No notice because": "notice_exemption",
    "Impact assessment": "impact_assessment_words",
    "Cameras": "camera_ids",
    "Zones": "zone_words",
    "Assigned": "assignee_ids",
    "Threshold": "threshold",
    "From": "start_time",
    "Until": "end_time",
    "Made": "create_time",
    "Submitted": "submit_time",
    "Requester": "requester",
    "Policy": "policy",
    "Policy digest": "policy_digest",
    "List digest": "list_digest",
    "Model": "model",
    "Forecast": "forecast",
    "Authorised": "sign_time",
    "Officer": "officer",
    "Authority until": "expire_time",
    "Authority digest": "digest",
    "Notice at": "notice_place",
    "Published": "publish_time",
    "Armed": "arm_time",
    "Halted": "halt_time",
    "Halted by": "halt_cause",
    "Ended": "ended_time",
    "Erased": "erase_time",
    "Subjects": "entry_count",
    "Pictures": "reference_count",
    "Matches": "match_count",
}

ENTRY_COLUMNS = {
    "REF": "external_ref",
    "CATEGORY": "category",
    "THRESHOLD": "threshold",
    "PICTURES": "reference_count",
    "ENROLLED": "create_time",
    "WAITS": "is_waiting",
    "REVIEWED": "review_time",
}

ENTRY_DETAILS = {
    "Ref": "external_ref",
    "Category": "category",
    "Source": "lawful_source",
    "Rationale": "rationale",
    "Requester": "requester",
    "Born": "birth_date",
    "Age": "age_group",
    "Threshold": "threshold",
    "Expires": "expire_time",
    "Pictures": "reference_count",
    "Enrolled": "create_time",
    "By": "enrolled_by",
    "Approved by": "approved_by",
    "Waits for a second person": "is_waiting",
    "Reviewed": "review_time",
}

WATCHLIST_DETAILS = {
    "Digest": "digest",
    "Subjects": "entry_count",
    "Pictures": "reference_count",
    "By category": "told_categories",
    "Waiting for a second person": "waiting_count",
    "Reviewed": "is_reviewed",
    "Last reviewed": "review_time",
    "By": "reviewed_by",
}

REFERENCE_COLUMNS = {
    "PICTURE": "id",
    "ENROLLED": "create_time",
    "TAKEN": "captured_on",
    "EYES PX": "inter_eye_px",
    "SHARPNESS": "sharpness",
    "LUMINANCE": "luminance",
    "MODEL": "model",
    "BELOW THE GATE": "overridden",
    "WAITS": "is_waiting",
}


def camera_record(camera: camera_pb2.Camera) -> dict[str, Any]:
    """One camera; its live counts are None where it is not connected."""
    live = camera.live if camera.HasField("live") else None
    return {
        "name": camera.name,
        "id": short(camera.name),
        "display_name": camera.display_name,
        "state": enum_word(camera_pb2.CameraState.Name(camera.state), "CAMERA_STATE"),
        "create_time": moment(camera, "create_time"),
        "revoke_time": moment(camera, "revoke_time"),
        "is_live": live is not None,
        "connect_time": moment(live, "connect_time") if live else None,
        "last_frame_time": moment(live, "last_frame_time") if live else None,
        "live_deployment": short(live.deployment) if live else None,
        **{name: getattr(live, name) if live else None for name in _LIVE_COUNTS},
    }


_LIVE_COUNTS = (
    "frames_received",
    "frames_processed",
    "frames_superseded",
    "frames_expired",
    "frames_rejected",
    "faces_searched",
)


def deployment_record(deployment: deployment_pb2.Deployment) -> dict[str, Any]:
    """One deployment."""
    state = deployment_pb2.DeploymentState.Name(deployment.state)
    return {
        "name": deployment.name,
        "id": short(deployment.name),
        "location": deployment.location,
        "state": enum_word(state, "DEPLOYMENT_STATE"),
        "cameras": list(deployment.cameras),
        "camera_ids": [short(name) for name in deployment.cameras],
        "threshold": rounded(deployment.threshold),
        "start_time": moment(deployment, "start_time"),
        "end_time": moment(deployment, "end_time"),
        "create_time": moment(deployment, "create_time"),
        "arm_time": moment(deployment, "arm_time"),
        "ended_time": moment(deployment, "ended_time"),
        "erase_time": moment(deployment, "erase_time"),
        "assignees": list(deployment.assignees),
        "assignee_ids": [short(name) for name in deployment.assignees],
        "purpose": deployment.purpose or None,
        "justification": deployment.justification or None,
        "accountable_person": deployment.accountable_person or None,
        "urgent": deployment.urgent,
        "notice_exemption": deployment.notice_exemption or None,
        **_authority_record(deployment),
        "entry_count": deployment.entry_count,
        "reference_count": deployment.reference_count,
        "match_count": deployment.match_count,
    }


def _authority_record(deployment: deployment_pb2.Deployment) -> dict[str, Any]:
    """What was asked for in writing and what was signed; None where it is not there."""
    zones = [
        f"{short(zone.camera)}="
        + ":".join(f"{rounded(point.x)},{rounded(point.y)}" for point in zone.points)
        for zone in deployment.zones
    ]
    submission, authority = deployment.submission, deployment.authority
    assessment, halting = deployment.impact_assessment, deployment.halting
    cause = deployment_pb2.HaltCause.Name(halting.cause)
    has_assessment = deployment.HasField("impact_assessment")
    return {
        "zones": zones,
        "zone_words": zones or None,
        "impact_assessment_sha256": assessment.document_sha256.hex() or None,
        "impact_assessment_owner": assessment.owner or None,
        "impact_assessment_review_time": moment(assessment, "review_time"),
        "impact_assessment_words": assessment.owner if has_assessment else None,
        "requester": submission.requester or None,
        "requester_machine": submission.requester_machine or None,
        "submit_time": moment(submission, "submit_time"),
        "policy": submission.policy or None,
        "policy_digest": submission.policy_digest.hex() or None,
        "list_digest": submission.list_digest.hex() or None,
        "model": submission.model or None,
        "forecast": submission.forecast or None,
        "officer": authority.officer or None,
        "officer_machine": authority.officer_machine or None,
        "sign_time": moment(authority, "sign_time"),
        "expire_time": moment(authority, "expire_time"),
        "digest": authority.digest.hex() or None,
        "signature": authority.signature.hex() or None,
        "notice_place": deployment.notice.place or None,
        "publish_time": moment(deployment.notice, "publish_time"),
        "halt_time": moment(halting, "halt_time"),
        "halt_cause": enum_word(cause, "HALT_CAUSE") if halting.cause else None,
    }


def entry_record(entry: watchlist_pb2.Entry) -> dict[str, Any]:
    """One subject with its pictures."""
    return {
        "name": entry.name,
        "external_ref": entry.external_ref,
        "category": entry.category,
        "threshold": rounded(entry.threshold) if entry.HasField("threshold") else None,
        "lawful_source": said(
            watchlist_pb2.LawfulSource.Name(entry.lawful_source), "LAWFUL_SOURCE"
        ),
        "rationale": entry.rationale or None,
        "requester": entry.requester or None,
        "birth_date": entry.birth_date or None,
        "age_group": said(watchlist_pb2.AgeGroup.Name(entry.age_group), "AGE_GROUP"),
        "expire_time": moment(entry, "expire_time"),
        "create_time": moment(entry, "create_time"),
        "enrolled_by": entry.enrolled_by or None,
        "approved_by": entry.approved_by or None,
        "is_waiting": entry.is_waiting,
        "review_time": moment(entry, "review_time"),
        "reference_count": len(entry.references),
        "references": [reference_record(reference) for reference in entry.references],
    }


def reference_record(reference: watchlist_pb2.Reference) -> dict[str, Any]:
    """One enrolled picture."""
    return {
        "name": reference.name,
        "id": short(reference.name),
        "image_sha256": reference.image_sha256,
        "create_time": moment(reference, "create_time"),
        "model": reference.model,
        "captured_on": reference.captured_on or None,
        "enrolled_by": reference.enrolled_by or None,
        "overridden": [
            enum_word(watchlist_pb2.ReasonCode.Name(code), "REASON_CODE")
            for code in reference.overridden
        ],
        "override_reason": reference.override_reason or None,
        "override_approved_by": reference.override_approved_by or None,
        "is_waiting": reference.is_waiting,
        **quality_record(reference.quality),
    }


def watchlist_record(watchlist: watchlist_pb2.Watchlist) -> dict[str, Any]:
    """A list as a whole."""
    by_category = dict(sorted(watchlist.entries_by_category.items()))
    return {
        "name": watchlist.name,
        "digest": watchlist.digest,
        "entry_count": watchlist.entry_count,
        "reference_count": watchlist.reference_count,
        "entries_by_category": by_category,
        "waiting_count": watchlist.waiting_count,
        "is_reviewed": watchlist.reviewed_digest == watchlist.digest,
        "reviewed_digest": watchlist.reviewed_digest or None,
        "review_time": moment(watchlist, "review_time"),
        "reviewed_by": watchlist.reviewed_by or None,
    }


def quality_record(quality: match_pb2.FaceQuality) -> dict[str, Any]:
    """What was measured of one face."""
    return {
        field.name: rounded(getattr(quality, field.name)) for field in quality.DESCRIPTOR.fields
    }


def reason_records(reasons: Iterable[watchlist_pb2.Reason]) -> list[dict[str, Any]]:
    """Coded reasons; reference and score are None where they say nothing."""
    return [
        {
            "code": enum_word(watchlist_pb2.ReasonCode.Name(reason.code), "REASON_CODE"),
            "message": reason.message,
            "reference": reason.reference or None,
            "score": rounded(reason.score) if reason.reference else None,
            "component": reason.component or None,
        }
        for reason in reasons
    ]


def enum_word(name: str, prefix: str) -> str:
    """CAMERA_STATE_ACTIVE -> active."""
    return name.removeprefix(f"{prefix}_").lower()


def said(name: str, prefix: str) -> str | None:
    """The same, or None for what was not said."""
    word = enum_word(name, prefix)
    return None if word == "unspecified" else word


def rounded(value: float) -> float:
    """A float32 without the digits that it does not have."""
    return float(f"{value:.6g}")
