"""The one permission table: who may call which method.

What it omits is refused, and a server with a method that it omits does not start.
"""

from __future__ import annotations

from collections.abc import Iterable

from cordon_server.domain import ConfigInvalid, NotPermitted
from cordon_server.identity.names import Role
from cordon_server.identity.peers import Peer

_CAMERA = frozenset({Role.CAMERA})
_CONTROL = frozenset({Role.CONTROL})
_ADMIN = frozenset({Role.ADMIN})
_STAFF = frozenset({Role.CONTROL, Role.ADMIN})
_EVERYONE = frozenset(Role)

PERMISSIONS: dict[str, frozenset[Role]] = {
    "/cordon.v1.RecognitionService/StreamFrames": _CAMERA,
    "/cordon.v1.MatchService/SubscribeMatches": _CONTROL,
    "/cordon.v1.MatchService/GetMatch": _CONTROL,
    "/cordon.v1.MatchService/ListMatches": _CONTROL,
    "/cordon.v1.MatchService/GetMatchImages": _CONTROL,
    "/cordon.v1.MatchService/AdjudicateMatch": _CONTROL,
    "/cordon.v1.DeploymentService/CreateDeployment": _ADMIN,
    "/cordon.v1.DeploymentService/GetDeployment": _STAFF,
    "/cordon.v1.DeploymentService/ListDeployments": _STAFF,
    "/cordon.v1.DeploymentService/ArmDeployment": _ADMIN,
    "/cordon.v1.DeploymentService/EndDeployment": _ADMIN,
    "/cordon.v1.WatchlistService/EnrolReference": _ADMIN,
    "/cordon.v1.WatchlistService/ImportReferences": _ADMIN,
    "/cordon.v1.WatchlistService/CheckReference": _ADMIN,
    "/cordon.v1.WatchlistService/GetEntry": _ADMIN,
    "/cordon.v1.WatchlistService/ListEntries": _ADMIN,
    "/cordon.v1.WatchlistService/RemoveEntry": _ADMIN,
    "/cordon.v1.CameraService/CreateCamera": _ADMIN,
    "/cordon.v1.CameraService/GetCamera": _STAFF,
    "/cordon.v1.CameraService/ListCameras": _STAFF,
    "/cordon.v1.CameraService/RevokeCamera": _ADMIN,
    "/cordon.v1.MachineService/CreateEnrolmentToken": _ADMIN,
    "/cordon.v1.MachineService/IssueCertificate": _ADMIN,
    "/cordon.v1.MachineService/RenewCertificate": _EVERYONE,
    "/cordon.v1.MachineService/ListCertificates": _ADMIN,
    "/cordon.v1.MachineService/RevokeCertificate": _ADMIN,
    "/grpc.health.v1.Health/Check": _EVERYONE,
    "/grpc.health.v1.Health/List": _EVERYONE,
    "/grpc.health.v1.Health/Watch": _EVERYONE,
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": _EVERYONE,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _EVERYONE,
}


def check_permitted(method: str, peer: Peer) -> None:
    """Raises `NotPermitted` unless the table lets this caller call this method."""
    roles = PERMISSIONS.get(method, frozenset())
    if peer.spiffe_id.role not in roles:
        wanted = " or ".join(sorted(roles)) or "no"
        raise NotPermitted(
            f"{method} is for {wanted} certificates and {peer.spiffe_id} is a "
            f"{peer.spiffe_id.role}; use an identity of the right role (--identity DIR)"
        )


def check_complete(methods: Iterable[str]) -> None:
    """Raises `ConfigInvalid` when a method that the server would serve has no row, or a row no
    method."""
    served = set(methods)
    if missing := sorted(served - PERMISSIONS.keys()):
        raise ConfigInvalid(f"no permission is stated for {', '.join(missing)}")
    if idle := sorted(PERMISSIONS.keys() - served):
        raise ConfigInvalid(f"permissions are stated for methods not served: {', '.join(idle)}")
