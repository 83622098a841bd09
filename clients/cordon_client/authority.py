"""What an authorising officer signs, from the deployment as it is shown to him.

The form is the contract's (`Authority` in deployment.proto); this is written from there and shares
nothing with the server, so that what is signed is what was shown and not what a server says it was.
"""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from cordon.v1 import deployment_pb2

SIGNED_PREFIX = b"cordon.v1.Authority\n"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def authority_digest(deployment: deployment_pb2.Deployment) -> bytes:
    """SHA-256 of the canonical content of a deployment that was submitted (32 bytes)."""
    return hashlib.sha256(canonical_content(deployment)).digest()


def canonical_content(deployment: deployment_pb2.Deployment) -> bytes:
    """All that an authority is given for, in one form."""
    submission = deployment.submission
    content = {
        "name": deployment.name,
        "location": deployment.location,
        "purpose": deployment.purpose,
        "justification": deployment.justification,
        "accountable_person": deployment.accountable_person,
        "notice_exemption": deployment.notice_exemption,
        "urgent": "true" if deployment.urgent else "false",
        "threshold": _number(deployment.threshold),
        "start_time": _time(deployment.start_time),
        "end_time": _time(deployment.end_time),
        "cameras": sorted(deployment.cameras),
        "zones": [
            {
                "camera": zone.camera,
                "points": [f"{_number(point.x)},{_number(point.y)}" for point in zone.points],
            }
            for zone in sorted(deployment.zones, key=lambda each: each.camera)
        ],
        "impact_assessment": _assessment(deployment),
        "requester": submission.requester,
        "requester_machine": submission.requester_machine,
        "policy": submission.policy,
        "policy_digest": submission.policy_digest.hex(),
        "list_digest": submission.list_digest.hex(),
        "model": submission.model,
        "forecast": submission.forecast,
        "assignees": sorted(submission.assignees),
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")


def _assessment(deployment: deployment_pb2.Deployment) -> dict[str, str]:
    if not deployment.HasField("impact_assessment"):
        return {}
    assessment = deployment.impact_assessment
    return {
        "document_sha256": assessment.document_sha256.hex(),
        "owner": assessment.owner,
        "review_time": _time(assessment.review_time),
    }


def _time(stamp: Timestamp) -> str:
    moment = _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _number(value: float) -> str:
    (single,) = struct.unpack("<f", struct.pack("<f", value))
    return f"{single:.9g}"
