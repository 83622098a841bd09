"""Who made what a second person has to approve: a lookup for each kind of work (R8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from cordon_server.authority.deployments import Deployments
from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist_approval import waiting_for_second
from cordon_server.identity.permissions import Work
from cordon_server.identity.scopes import Makers
from cordon_server.sessions.deployment import OpenDeployment

Opened = Callable[[str], Awaitable[OpenDeployment]]
"""A deployment that has not ended; raises `NotFound` or `NotReady`."""


def makers(deployments: Deployments, opened: Opened) -> dict[Work, Makers]:
    """The lookups, each by the resource name that a request acts on."""

    async def of_watchlist(name: str) -> tuple[Actor, ...]:
        deployment = await opened(_deployment_id(name))
        return (deployment.record.creator, *await deployment.watchlist.enrolled_by())

    async def of_entry(name: str) -> tuple[Actor, ...]:
        deployment = await opened(_deployment_id(name))
        return waiting_for_second(*await deployment.watchlist.get(name.rsplit("/", 1)[1]))

    async def of_proposal(name: str) -> tuple[Actor, ...]:
        deployment = await opened(_deployment_id(name))
        return ((await deployment.proposals.get(name.rsplit("/", 1)[1])).proposer,)

    return {
        Work.DEPLOYMENT: deployments.makers,
        Work.WATCHLIST: of_watchlist,
        Work.ENTRY: of_entry,
        Work.PROPOSAL: of_proposal,
    }


def _deployment_id(name: str) -> str:
    return name.split("/")[1]
