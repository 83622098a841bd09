"""When calls ended, by the server's own log: whoever is slow to hear of it measures himself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.helpers.site import Site

LINES_S_MAX = 20.0
"""A call's line is written once its client has been told; by then it may not have been."""
REVOKE = "/cordon.v1.MachineService/RevokeCertificate"


class LogFromHere:
    """What a server logs from now on."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._start = len(site.log)

    def calls(self, is_meant: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """The calls that have ended, of those that are meant."""
        lines = self._site.log[self._start :].splitlines()
        events = [json.loads(line) for line in lines if '"event": "call"' in line]
        return [event for event in events if is_meant(event)]

    async def ended_of(self, peer: str, count: int) -> datetime:
        """When the last of so many calls of a peer ended that were refused to go on."""

        def is_meant(event: dict[str, Any]) -> bool:
            return (event["peer"], event["outcome"]) == (peer, "UNAUTHENTICATED")

        async with asyncio.timeout(LINES_S_MAX):
            while len(found := self.calls(is_meant)) < count:
                await asyncio.sleep(0.05)
        return max(map(moment, found))

    def revoked(self) -> datetime:
        """When the last revocation of a certificate was answered."""
        return max(map(moment, self.calls(lambda event: event["method"] == REVOKE)))


def moment(event: dict[str, Any]) -> datetime:
    """When an event was logged."""
    return datetime.fromisoformat(event["timestamp"])
