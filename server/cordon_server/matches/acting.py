"""What the record keeps of something that a person did with a match."""

from __future__ import annotations

from cordon_server.acts import Act, AuditClass, Fact
from cordon_server.matches.records import Reviewer


def act_of(
    deployment_id: str,
    kind: AuditClass,
    action: str,
    match_id: int,
    reviewer: Reviewer,
    facts: dict[str, Fact] | None = None,
    personal: dict[str, str] | None = None,
) -> Act:
    """The act; `facts` beside the match, `personal` beside the person."""
    return Act(
        kind,
        action,
        deployment_id=deployment_id,
        resource=f"deployments/{deployment_id}/matches/{match_id}",
        machine=reviewer.machine,
        facts={"match": match_id, **(facts or {})},
        personal={"person": reviewer.user_id, **(personal or {})},
    )
