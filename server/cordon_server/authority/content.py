"""What an authorising officer signs: the canonical content of a deployment, and its digest (R8).

The proto's comment on `Authority` states the form for those who write a client; the client that
comes with Cordon has its own implementation, and a test holds the two to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import UTC, datetime
from typing import Any

from cordon_server.authority.records import DeploymentRecord
from cordon_server.authority.terms import ImpactAssessment, Submission, Zone

SIGNED_PREFIX = b"cordon.v1.Authority\n"
"""Before the digest in what is signed, so that the signature says what it is about."""


def digest(record: DeploymentRecord, submission: Submission) -> bytes:
    """SHA-256 of the canonical content (32 bytes)."""
    return hashlib.sha256(canonical(record, submission)).digest()


def canonical(record: DeploymentRecord, submission: Submission) -> bytes:
    """The content as JSON: keys sorted, no spaces, ASCII alone, every leaf a string."""
    content = {
        "accountable_person": record.accountable_person,
        "assignees": sorted(f"users/{user}" for user in submission.assignees),
        "cameras": sorted(f"cameras/{camera}" for camera in record.cameras),
        "end_time": _moment(record.end_time),
        "forecast": submission.forecast,
        "impact_assessment": _assessment(record.impact_assessment),
        "justification": record.justification,
        "list_digest": submission.list_digest.hex(),
        "location": record.location,
        "model": submission.model_id,
        "name": f"deployments/{record.deployment_id}",
        "notice_exemption": record.notice_exemption,
        "policy": submission.policy,
        "policy_digest": submission.policy_digest.hex(),
        "purpose": record.purpose,
        "requester": f"users/{submission.requester.user_id}",
        "requester_machine": submission.requester.machine,
        "start_time": _moment(record.start_time),
        "threshold": _number(record.threshold),
        "urgent": "true" if record.is_urgent else "false",
        "zones": [_zone(zone) for zone in sorted(record.zones, key=lambda zone: zone.camera_id)],
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")


def _moment(moment: datetime) -> str:
    """RFC 3339 in UTC, with microseconds: 2026-01-31T12:00:00.000000Z."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _number(value: float) -> str:
    """As C prints the nearest float32 with %.9g: it says which one it is."""
    (single,) = struct.unpack("<f", struct.pack("<f", value))
    return format(single, ".9g")


def _assessment(assessment: ImpactAssessment | None) -> dict[str, str]:
    if assessment is None:
        return {}
    return {
        "document_sha256": assessment.document_sha256.hex(),
        "owner": assessment.owner,
        "review_time": _moment(assessment.review_time),
    }


def _zone(zone: Zone) -> dict[str, Any]:
    return {
        "camera": f"cameras/{zone.camera_id}",
        "points": [f"{_number(x)},{_number(y)}" for x, y in zone.points],
    }
