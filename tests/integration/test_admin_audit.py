"""The record of a running server, as an auditor reads, exports and verifies it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cordon_admin import verifier
from tests.helpers.site import Site

pytestmark = pytest.mark.slow  # Each runs commands as processes.

STREAM = "/cordon.v1.RecognitionService/StreamFrames"


@pytest.mark.serves("R12")
def test_what_was_done_by_whom_is_listed_and_names_are_sealed_in_the_export(
    site: Site, tmp_path: Path
) -> None:
    camera, _ = site.add_camera()
    deployment = site.add_deployment(camera)
    file = tmp_path / "record.jsonl"

    listed = site.cordon_json("admin", "audit", "list", "--deployment", deployment)
    site.cordon("admin", "audit", "export", str(file))

    (created,) = [each for each in listed if each["action"] == "CreateDeployment"]
    assert (created["person"], created["kind"]) == ("officer", "alteration")
    assert created["resource"] == f"deployments/{deployment}"
    assert created["machine"] == "spiffe://test.example/admin/officer"
    leaves = list(verifier.leaves(file))
    assert leaves[created["index"]] == created["leaf"]
    assert b"officer" not in json.dumps(created["leaf"]["sealed"]).encode()
    added = [leaf for leaf in leaves if leaf["action"].endswith("/CreateUser")]
    assert added
    assert {leaf["resource"] for leaf in added} == {"users"}
    last = [leaf for leaf in leaves if leaf["action"].startswith("/")][-1]
    assert last["action"] == "/cordon.v1.AuditService/ExportAudit"
    assert last["kind"] == "disclosure"


@pytest.mark.serves("R12", "R30")
def test_when_the_server_ran_and_what_of_is_on_record(own_site: Site, tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    own_site.stop()
    own_site.start()
    own_site.cordon("admin", "audit", "export", str(file))

    leaves = [leaf for leaf in verifier.leaves(file) if leaf["action"].startswith("server.")]
    assert [leaf["action"] for leaf in leaves] == [
        "server.started",
        "server.stopped",
        "server.started",
    ]
    facts = leaves[0]["facts"]
    assert {"version", "provider", "model", "policy", "policy_digest"} <= facts.keys()
    for part in ("detector", "embedder"):
        assert re.fullmatch("[0-9a-f]{64}", facts[f"{part}_sha256"])
        assert facts[f"{part}_licence"]
    listed = (own_site.folder / "data" / "components" / f"{facts['components']}.json").read_bytes()
    assert hashlib.sha256(listed).hexdigest() == facts["components"]
    models = {each["sha256"] for each in json.loads(listed) if each["kind"] == "model"}
    assert models == {facts["detector_sha256"], facts["embedder_sha256"]}


@pytest.mark.serves("R12")
def test_the_stand_alone_verifier_says_whether_an_export_was_changed(
    site: Site, tmp_path: Path
) -> None:
    file, kept = tmp_path / "record.jsonl", tmp_path / "kept.checkpoint"
    key = str(site.folder / "certs" / "audit.vkey")
    shutil.copy(Path(verifier.__file__), tmp_path / "verifier.py")
    command = [sys.executable, "-I", "verifier.py", "record.jsonl", "--key", key, "--json"]
    site.cordon("admin", "audit", "export", str(file), "--checkpoint", str(kept))

    whole = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    verified = site.cordon_json(
        *("admin", "audit", "verify", str(file), "--key", key, "--checkpoint", str(kept))
    )
    file.write_bytes(file.read_bytes().replace(b'"alteration"', b'"collection"', 1))
    changed = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False)

    assert (whole.returncode, json.loads(whole.stdout)["is_whole"]) == (0, True)
    assert verified["is_key_given"]
    assert verified["is_checkpoint_given"]
    assert (changed.returncode, json.loads(changed.stdout)["is_whole"]) == (1, False)
    refused = site.cordon("admin", "audit", "verify", str(file), code=1)
    assert "NOT WHOLE: line" in refused.stdout


def test_an_act_and_a_kept_checkpoint_are_proven_without_the_whole_record(
    site: Site, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.checkpoint"
    key = ("--key", str(site.folder / "certs" / "audit.vkey"))
    site.cordon("admin", "audit", "export", str(tmp_path / "r"), "--checkpoint", str(kept), *key)
    site.add_camera()

    act = site.cordon_json("admin", "audit", "prove", "0", *key)
    grown = site.cordon_json("admin", "audit", "prove", "--checkpoint", str(kept), *key)
    kept.write_text(kept.read_text().replace("\n", "\n1", 1))
    other = site.cordon("admin", "audit", "prove", "--checkpoint", str(kept), *key, code=1)

    assert (act["action"], act["is_proven"]) == ("record.begun", True)
    assert grown["is_proven"]
    assert "does not bear the record's signature" in other.stderr
    site.cordon("admin", "audit", "prove", code=2)
    site.cordon("admin", "audit", "prove", "99999999", *key, code=1)


def test_an_export_does_not_replace_a_file(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "record.jsonl"
    file.write_text("what there was")

    refused = site.cordon("admin", "audit", "export", str(file), code=7)

    assert "is there already" in refused.stderr
    assert file.read_text() == "what there was"


def test_the_record_is_for_auditors(site: Site) -> None:
    refused = site.cordon("admin", "audit", "list", identity=site.officer, code=5)

    assert "is for auditor" in refused.stderr
