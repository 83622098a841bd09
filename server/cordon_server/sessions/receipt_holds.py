"""A hold on the match of a receipt that somebody asks about (R29)."""

from __future__ import annotations

import hashlib

from cordon_server.authority.records import Actor
from cordon_server.domain import AlreadyExists, NotFound, NotReady
from cordon_server.sessions.holds import Holds
from cordon_server.sessions.live import Live

REASON = "a person who was stopped has asked with a receipt"


async def hold_for_receipt(
    live: Live, holds: Holds, deployment_id: str, match_id: int, actor: Actor, *, dry_run: bool
) -> bool:
    """Holds the match while it is still there; whether a hold stands.

    Not where the deployment has ended or the match's time is over: then the receipt is what is
    left. A hold that was lifted is not placed again.
    """
    named = hashlib.sha256(f"{deployment_id}/{match_id}".encode()).hexdigest()
    hold_id = f"receipt-{named[:24]}"
    try:
        deployment = await live.opened(deployment_id)
        await holds.place(hold_id, deployment, match_id, REASON, actor, dry_run=dry_run)
    except (AlreadyExists, NotFound, NotReady):
        return await _stands(holds, hold_id)
    return not dry_run


async def _stands(holds: Holds, hold_id: str) -> bool:
    try:
        return (await holds.get(hold_id)).lift_time is None
    except NotFound:
        return False
