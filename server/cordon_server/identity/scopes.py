"""On what a caller may act, where his role alone does not say: the deployments that he is assigned
to, and no work of his own where two people have to agree.

It knows of a deployment whose it is and of a piece of work who made it; both come from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol

from cordon_server.domain import ConfigInvalid, InvalidInput, NotPermitted
from cordon_server.identity.names import NAME_PATTERN, PersonRole
from cordon_server.identity.peers import Peer
from cordon_server.identity.people import Person
from cordon_server.identity.permissions import (
    PERMISSIONS,
    Permission,
    Scope,
    Work,
    permission,
    words,
)

UNBOUND = frozenset({PersonRole.AUTHORISING_OFFICER, PersonRole.AUDITOR})
"""Who act on every deployment: they approve and look after them all."""

OF_DEPLOYMENTS = (Scope.ASSIGNED_DEPLOYMENT, Scope.OWN_DEPLOYMENT)
_IN_DEPLOYMENT = re.compile(f"deployments/({NAME_PATTERN})(/.*)?")


class Maker(Protocol):
    """Who made something, and where."""

    @property
    def user_id(self) -> str: ...
    @property
    def machine(self) -> str: ...


class Stake(Protocol):
    """Whose a deployment is."""

    @property
    def creator(self) -> Maker: ...
    @property
    def assignees(self) -> Collection[str]: ...


Makers = Callable[[str], Awaitable[Collection[Maker]]]
"""Who made the work that a resource name stands for; raises `NotFound`."""


class Scopes:
    """Applies the columns of the permission table that look at what a request names."""

    def __init__(self, stake: Callable[[str], Stake], makers: Mapping[Work, Makers]) -> None:
        """`stake` tells whose a deployment is, by its id, now; raises `NotFound`.

        Raises `ConfigInvalid` where a row wants four eyes for work that has no lookup.
        """
        wanted = {row.four_eyes for row in PERMISSIONS.values() if row.four_eyes is not None}
        if missing := sorted(wanted - makers.keys()):
            raise ConfigInvalid(f"nobody can tell who made a {', '.join(missing)}")
        self._stake = stake
        self._makers = makers

    async def check(self, method: str, peer: Peer, person: Person | None, name: str) -> str:
        """The id of the deployment that the caller is bound to while the call runs, or nothing.

        `name` is what the request acts on. Raises `NotPermitted`, `NotFound`, or `InvalidInput`
        where it names nothing that the method could be judged by.
        """
        row, deployment_id = permission(method), ""
        if person is None:
            return ""
        if row.scope in OF_DEPLOYMENTS:
            deployment_id = _deployment_of(method, name)
            self.check_assigned(method, person, deployment_id)
        if row.four_eyes is not None:
            makers = await self._makers[row.four_eyes](name)
            check_four_eyes(row, makers, peer, person, name)
        return deployment_id

    def check_assigned(self, method: str, person: Person, deployment_id: str) -> None:
        """Raises `NotPermitted` unless the person may act on this deployment by the method; asked
        when a call begins and while it runs."""
        row = permission(method)
        if not _binds(row, person):
            return
        stake = self._stake(deployment_id)
        if person.user_id not in stake.assignees:
            raise NotPermitted(
                f"{person.user_id} is not assigned to deployment {deployment_id}; who made it or "
                "an authorising officer assigns with: "
                f"cordon admin deployment assign {deployment_id} {person.user_id}",
                reason="NOT_ASSIGNED",
            )
        if row.scope is Scope.OWN_DEPLOYMENT and person.user_id != stake.creator.user_id:
            raise NotPermitted(
                f"{deployment_id} was made by another than {person.user_id}; ask whoever made it, "
                "or an authorising officer",
                reason="NOT_ITS_MAKER",
            )


def looks_at_names(method: str) -> bool:
    """Whether what a request names decides about the call."""
    row = permission(method)
    return row.scope in OF_DEPLOYMENTS or row.four_eyes is not None


def check_four_eyes(
    row: Permission, makers: Collection[Maker], peer: Peer, person: Person, name: str
) -> None:
    """Raises `NotPermitted` when who is to approve something made it, or would approve it where it
    was made: one person with two names is not two (R8)."""
    if any(maker.user_id == person.user_id for maker in makers):
        raise NotPermitted(
            f"{person.user_id} made {name} and cannot approve it too; it takes another "
            f"{words(row.people)}",
            reason="FOUR_EYES",
        )
    if any(maker.machine == str(peer.spiffe_id) for maker in makers):
        raise NotPermitted(
            f"{name} was made on {peer.spiffe_id} and cannot be approved there; use another "
            "workstation (--identity DIR)",
            reason="FOUR_EYES",
        )


def _binds(row: Permission, person: Person) -> bool:
    """Whether the role by which the person may call binds him to some deployments."""
    return row.scope in OF_DEPLOYMENTS and not row.people & person.roles & UNBOUND


def _deployment_of(method: str, name: str) -> str:
    found = _IN_DEPLOYMENT.fullmatch(name)
    if found is None:
        raise InvalidInput(
            f"{method} acts on a deployment and the request names none; name it first",
            field="name",
        )
    return found[1]
