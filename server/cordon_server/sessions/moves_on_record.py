"""What the record keeps of the moves of deployments: the facts that reports are computed from."""

from __future__ import annotations

from collections.abc import Mapping

from cordon_server.acts import Act, AuditClass, Fact
from cordon_server.authority.list_state import ListState
from cordon_server.authority.policy import Policy
from cordon_server.authority.records import DeploymentRecord
from cordon_server.authority.terms import Actor

KINDS = {"ended": AuditClass.NONE, "erased": AuditClass.ERASURE}
"""Every other move alters what is on record of a deployment."""


def act_of(
    move: str, record: DeploymentRecord, actor: Actor | None, facts: Mapping[str, Fact]
) -> Act:
    """The act of a move by a person, or by the server itself."""
    return Act(
        kind=KINDS.get(move, AuditClass.ALTERATION),
        action=move if "." in move else f"deployment.{move}",
        deployment_id=record.deployment_id,
        resource=f"deployments/{record.deployment_id}",
        machine=actor.machine if actor else "",
        facts={"state": record.state.value, **facts},
        personal={"person": actor.user_id} if actor else {},
    )


def authority_facts(record: DeploymentRecord) -> dict[str, Fact]:
    """What was authorised."""
    facts: dict[str, Fact] = {
        "location": record.location,
        "purpose": record.purpose,
        "start_time": record.start_time.isoformat(),
        "end_time": record.end_time.isoformat(),
        "until": record.until.isoformat(),
        "cameras": len(record.cameras),
        "zones": len(record.zones),
        "threshold": record.threshold,
        "is_urgent": record.is_urgent,
    }
    if (submission := record.submission) is not None:
        facts |= {
            "policy": submission.policy,
            "policy_digest": submission.policy_digest.hex(),
            "list_digest": submission.list_digest.hex(),
            "model": submission.model_id,
            "forecast": submission.forecast,
        }
    if (authority := record.authority) is not None:
        facts |= {"authority": authority.digest.hex(), "signature": authority.signature.hex()}
    if (assessment := record.impact_assessment) is not None:
        facts |= {"impact_assessment": assessment.document_sha256.hex()}
    return facts


def armed_facts(record: DeploymentRecord, state: ListState, policy: Policy) -> dict[str, Fact]:
    """What was armed, and under which rules (R12, R20)."""
    by_category: dict[str, Fact] = {
        f"entries.{category}": count for category, count in sorted(state.by_category.items())
    }
    return {
        **authority_facts(record),
        **by_category,
        "entries": state.entries,
        "references": state.references,
        "policy_version": policy.version,
        "ceiling.per_face": policy.false_alerts.ceiling_per_face,
        "ceiling.confidence": policy.false_alerts.confidence,
    }
