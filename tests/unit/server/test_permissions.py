from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import pytest

from cordon_server.api.server import methods
from cordon_server.domain import ConfigInvalid, NotPermitted
from cordon_server.identity.names import Role, SpiffeId
from cordon_server.identity.peers import Peer
from cordon_server.identity.permissions import PERMISSIONS, check_complete, check_permitted

C, R, A = Role.CAMERA, Role.CONTROL, Role.ADMIN
INTENDED: dict[str, dict[str, set[Role]]] = {
    "cordon.v1.RecognitionService": {"StreamFrames": {C}},
    "cordon.v1.MatchService": {
        "SubscribeMatches": {R},
        "GetMatch": {R},
        "ListMatches": {R},
        "GetMatchImages": {R},
        "AdjudicateMatch": {R},
    },
    "cordon.v1.DeploymentService": {
        "CreateDeployment": {A},
        "GetDeployment": {R, A},
        "ListDeployments": {R, A},
        "ArmDeployment": {A},
        "EndDeployment": {A},
    },
    "cordon.v1.WatchlistService": {
        "EnrolReference": {A},
        "ImportReferences": {A},
        "CheckReference": {A},
        "GetEntry": {A},
        "ListEntries": {A},
        "RemoveEntry": {A},
    },
    "cordon.v1.CameraService": {
        "CreateCamera": {A},
        "GetCamera": {R, A},
        "ListCameras": {R, A},
        "RevokeCamera": {A},
    },
    "cordon.v1.MachineService": {
        "CreateEnrolmentToken": {A},
        "IssueCertificate": {A},
        "RenewCertificate": {C, R, A},
        "ListCertificates": {A},
        "RevokeCertificate": {A},
    },
    "grpc.health.v1.Health": {name: {C, R, A} for name in ("Check", "List", "Watch")},
    "grpc.reflection.v1.ServerReflection": {"ServerReflectionInfo": {C, R, A}},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": {C, R, A}},
}
CELLS = {
    f"/{service}/{method}": roles
    for service, row in INTENDED.items()
    for method, roles in row.items()
}


def a_peer(role: Role) -> Peer:
    life = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
    return Peer(SpiffeId("site.local", role, "someone"), *life)


@pytest.mark.parametrize(("method", "role"), list(product(CELLS, Role)))
def test_each_role_may_call_what_is_its_own_and_nothing_else(method: str, role: Role) -> None:
    if role in CELLS[method]:
        check_permitted(method, a_peer(role))
    else:
        with pytest.raises(NotPermitted, match=f"is a {role}; use an identity of the right role"):
            check_permitted(method, a_peer(role))


def test_the_table_names_every_method_served_and_no_other() -> None:
    served = set(methods())

    check_complete(served)
    assert served == set(PERMISSIONS) == set(CELLS)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("method", ["/cordon.v1.MatchService/EraseMatches", "", "GetMatch"])
def test_a_method_that_the_table_omits_is_refused_to_everyone(method: str, role: Role) -> None:
    with pytest.raises(NotPermitted, match="for no certificates"):
        check_permitted(method, a_peer(role))


def test_a_method_without_a_row_stops_the_start() -> None:
    with pytest.raises(ConfigInvalid, match=r"no permission is stated for /cordon\.v1\.X/Y"):
        check_complete([*methods(), "/cordon.v1.X/Y"])


def test_a_row_without_a_method_stops_the_start() -> None:
    served = [each for each in methods() if not each.endswith("GetMatch")]

    with pytest.raises(ConfigInvalid, match=r"not served: /cordon\.v1\.MatchService/GetMatch"):
        check_complete(served)
