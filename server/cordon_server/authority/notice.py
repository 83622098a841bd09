"""What the public is told of a deployment, from its authority (R19). Pure; lays nothing out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cordon_server.authority.policy import Policy
from cordon_server.authority.records import DeploymentRecord
from cordon_server.domain import NotReady


@dataclass(frozen=True, slots=True)
class Publisher:
    """What is the same on all notices of a site; empty where its settings do not say it."""

    responsible: str
    lawful_basis: str
    complaints: str
    record_url: str


@dataclass(frozen=True, slots=True)
class PublicNotice:
    """The words of one notice."""

    place: str
    start_time: datetime
    end_time: datetime
    purpose: str
    categories: tuple[str, ...]
    publisher: Publisher
    match_hours_max: float
    policy: str
    policy_digest: bytes
    authority_digest: bytes


def public_notice(
    record: DeploymentRecord, policy: Policy, listed: Iterable[str], publisher: Publisher
) -> PublicNotice:
    """The notice of an authorised deployment, whose list has these categories.

    Raises `NotReady`: NOT_AUTHORISED before there is an authority, NOTICE_INCOMPLETE where the
    server's settings leave out what a notice has to say.
    """
    name, authority, submission = record.deployment_id, record.authority, record.submission
    if authority is None or submission is None:
        raise NotReady(
            f"{name} is not authorised, and nothing is announced before; an authorising officer "
            f"decides: cordon admin deployment authorise {name}",
            reason="NOT_AUTHORISED",
        )
    missing = [each for each in _NEEDED if not getattr(publisher, each)]
    if missing:
        settings = ", ".join(f"authority.{each}" for each in missing)
        raise NotReady(
            f"a notice says more than this server knows: set {settings} in its settings and start "
            "it again",
            reason="NOTICE_INCOMPLETE",
        )
    retention = policy.retention
    return PublicNotice(
        place=record.location,
        start_time=record.start_time,
        end_time=record.until,
        purpose=policy.purposes[record.purpose],
        # Volunteers are no category of the policy: they are not looked for.
        categories=tuple(
            policy.categories[each].title for each in sorted(listed) if each in policy.categories
        ),
        publisher=publisher,
        match_hours_max=max(
            retention.match_h_max, retention.true_match_h_max, retention.false_match_h_max
        ),
        policy=policy.title,
        policy_digest=submission.policy_digest,
        authority_digest=authority.digest,
    )


_NEEDED = ("responsible", "lawful_basis", "record_url")
