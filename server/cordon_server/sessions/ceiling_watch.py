"""Suspends a deployment whose false alerts prove a rate above the policy's ceiling (R16).

Looks after every judgement: nothing else can raise the evidence. Used from the event loop alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from cordon_server.authority.ceiling import Ceiling
from cordon_server.authority.records import State
from cordon_server.domain import CordonError
from cordon_server.sessions.deployment import OpenDeployment

log = structlog.get_logger()

Suspend = Callable[[str], Awaitable[object]]
"""Halts a deployment because of its false alerts."""


class CeilingWatch:
    """Holds every deployment to one ceiling."""

    def __init__(self, ceiling: Ceiling, suspend: Suspend) -> None:
        self._ceiling = ceiling
        self._suspend = suspend

    async def look(self, deployment: OpenDeployment) -> bool:
        """Takes in what people found; whether the deployment is suspended for it.

        The test begins afresh then: if its authoriser lets it go on, what follows counts.
        """
        tally = deployment.tally
        before = tally.now
        tally.found_false(await deployment.log.false_alerts())
        if tally.now.false_alerts == before.false_alerts:
            return False
        false_alerts, faces = tally.tested
        is_breach = self._ceiling.suspends(false_alerts=false_alerts, faces=faces)
        if is_breach and deployment.record.state is State.ARMED:
            log.error(
                "deployment.suspended",
                deployment=deployment.record.deployment_id,
                false_alerts=false_alerts,
                faces=faces,
            )
            try:
                await self._suspend(deployment.record.deployment_id)
            except CordonError as error:  # It has stopped all the same, and the judgement stands.
                log.error("deployment.suspension_not_recorded", error=error.message)
            tally.test_again(deployment.log.head)
        await tally.keep()
        return is_breach
