"""Puts what armed deployments have seen on record, once a minute (R1, R12, R20).

For every face that is compared there is this and nothing else: numbers. They are of the whole
deployment, so what a full record refused is in the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from cordon_server.acts import Recorder
from cordon_server.authority.records import State
from cordon_server.domain import CordonError
from cordon_server.sessions.deployment import OpenDeployment

log = structlog.get_logger()

EVERY_S = 60.0


class Counting:
    """Counts for every open deployment. Used from the event loop alone."""

    def __init__(
        self, deployments: Callable[[], Iterable[OpenDeployment]], recorder: Recorder
    ) -> None:
        self._deployments = deployments
        self._recorder = recorder

    async def run(self) -> None:
        """As long as the server runs."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.record_armed()

    async def record_armed(self) -> None:
        """Of every deployment that is armed; the others go on where one cannot be recorded."""
        for deployment in list(self._deployments()):
            if deployment.record.state is State.ARMED:
                await self.try_record(deployment)

    async def try_record(self, deployment: OpenDeployment) -> None:
        """Of one; what cannot be recorded now is in the next."""
        name = deployment.record.deployment_id
        try:
            matches = await deployment.log.count_alerts()
            await deployment.tally.record(self._recorder, name, matches)
        except CordonError as error:
            log.error("deployment.not_counted", deployment=name, error=error.message)
