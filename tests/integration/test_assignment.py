"""Who works on a deployment sees it, for as long as he does; on a real server, by the commands."""

from __future__ import annotations

import time

import pytest

from tests.helpers.site import Site

pytestmark = pytest.mark.slow

WAIT_S_MAX = 60.0


def test_who_is_taken_off_a_deployment_follows_it_no_longer(site: Site) -> None:
    deployment = site.add_deployment(site.add_camera()[0])
    running = site.metrics["cordon_calls_running"]
    watching = site.spawn("watch", deployment, identity=site.operator)
    until = time.monotonic() + WAIT_S_MAX
    while site.metrics["cordon_calls_running"] <= running:
        assert watching.poll() is None, watching.communicate()
        assert time.monotonic() < until, "nothing follows the deployment"
        time.sleep(0.05)

    assign = ("admin", "deployment", "assign", deployment)
    shown = site.cordon_json(*assign, "--remove", "operator")
    _, said = watching.communicate(timeout=WAIT_S_MAX)
    refused = site.cordon("watch", deployment, code=5)

    assert shown["assignee_ids"] == ["officer"]
    assert watching.returncode == 5
    for words in (said, refused.stderr):
        assert f"operator is not assigned to deployment {deployment}" in words
        assert f"cordon admin deployment assign {deployment} operator" in words
    back = site.cordon_json(*assign, "operator", identity=site.approver)
    assert back["assignee_ids"] == ["officer", "operator"]


def test_nobody_unknown_is_assigned_and_a_trial_changes_nothing(site: Site) -> None:
    deployment = site.add_deployment(site.add_camera()[0])
    assign = ("admin", "deployment", "assign", deployment)

    unknown = site.cordon(*assign, "nobody", code=6)
    site.cordon(*assign, "approver", "--dry-run")
    nobody = site.cordon(*assign, code=2)

    assert "nobody" in unknown.stderr
    assert "Nobody is named" in nobody.stderr
    shown = site.cordon_json("admin", "deployment", "show", deployment)
    assert shown["assignee_ids"] == ["officer", "operator"]
