"""What a running server counts, as whoever watches it reads it: numbers, and nobody's name."""

from __future__ import annotations

import re

import pytest
from grpc import StatusCode

from cordon_server.api.server import methods
from cordon_server.operations.metrics import DRIFT_MEASURES, FACE_FATES, STATES
from cordon_server.recognition.line import FrameFate
from tests.helpers.site import Site

pytestmark = pytest.mark.slow

VALUES = {
    "method": set(methods()),
    "code": {code.name for code in StatusCode} | {"ABORTED"},
    "outcome": {*FrameFate, *FACE_FATES},
    "measure": {*DRIFT_MEASURES},
    "database": {"registry", "deployments", "audit"},
}
"""Label to every value that it may have."""


def test_every_call_and_state_is_counted_and_no_label_can_name_anybody(site: Site) -> None:
    deployment = site.add_deployment(site.add_camera()[0])
    before = site.metrics

    site.cordon("admin", "deployment", "show", deployment)
    site.cordon("admin", "deployment", "show", "no-such", code=6)

    found = site.metrics
    labels = {pair for name in found for pair in re.findall(r'(\w+)="([^"]*)"', name)}
    got = 'cordon_calls_total{code="%s",method="/cordon.v1.DeploymentService/GetDeployment"}'
    for code in ("OK", "NOT_FOUND"):
        assert found[got % code] == before.get(got % code, 0) + 1
    assert {name.partition("{")[0] for name in found} >= set(STATES)
    assert {(key, value) for key, value in labels if value not in VALUES[key]} == set()
    assert 0 < found['cordon_database_use_ratio{database="registry"}'] < 1
