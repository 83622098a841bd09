"""A report is what the exported record says, and a record that was changed gives none."""

from __future__ import annotations

import asyncio
import copy
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cordon_admin import account, deployment, deployment_papers, verifier
from cordon_client.errors import ClientError
from cordon_server.acts import Act, AuditClass
from cordon_server.audit.room import open_audit
from tests.helpers.deployment_record import DEPLOYMENT, a_deployment
from tests.unit.server.acts_kept import a_begun_record, exported
from tests.unit.server.rooms import NOON, Clock, open_keyring


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a deployment as a server exports it, signed."""
    folder = tmp_path_factory.mktemp("record")
    path = folder / "record.jsonl"
    path.write_bytes(b"".join(line.rstrip(b"\n") + b"\n" for line in asyncio.run(_lines(folder))))
    return path


async def _lines(folder: Path) -> list[bytes]:
    clock = Clock()
    places, _ = a_begun_record(folder, NOON)
    async with open_audit(places, open_keyring(folder), clock=clock) as audit:
        for leaf in a_deployment():
            clock.advance(seconds=60)
            kind, facts = AuditClass(leaf["kind"]), leaf["facts"]
            deployment_id, resource = leaf["deployment"], leaf["resource"]
            await audit.record(Act(kind, leaf["action"], deployment_id, resource, facts=facts))
        return await exported(audit)


@pytest.mark.serves("R12", "R20")
def test_a_report_is_computed_from_the_export_and_nothing_else(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment_papers.report(DEPLOYMENT, tmp_path, export)

    told = json.loads((tmp_path / "market-report.json").read_text("utf-8"))
    assert told["alerts"]["raised"] == 9
    assert told["record"]["size"] >= len(a_deployment())
    said = capsys.readouterr().out
    assert verifier.main([str(export), "--report", str(tmp_path / "market-report.json")]) == 0
    assert "report    says what the record says" in capsys.readouterr().out
    page = (tmp_path / "market-report.html").read_text("utf-8")
    assert "2 of 5,000, 1 in 2,500" in page
    assert page.count("<svg") == 3
    assert (tmp_path / "market-report.pdf").read_bytes().startswith(b"%PDF-")
    assert "2 of 9" in said


@pytest.mark.serves("R20")
def test_the_commands_that_a_report_names_check_it(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(export, "record.jsonl")
    report = verifier.report_of(export, DEPLOYMENT, verifier.verify_file(export))

    computing, verifying = (shlex.split(each) for each in account.sections(report)[-1].items)

    assert computing[:3] == ["cordon", "admin", "deployment"]
    assert CliRunner().invoke(deployment.app, computing[3:]).exit_code == 0
    assert verifying[:2] == ["python", "verifier.py"]
    shutil.copy(Path("reports") / verifying[-1], verifying[-1])
    assert verifier.main(verifying[2:]) == 0


@pytest.mark.serves("R20")
def test_every_number_that_was_changed_in_a_report_is_named(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = verifier.verify_file(export)
    honest = verifier.report_of(export, DEPLOYMENT, verdict)
    file = tmp_path / "report.json"
    changed = list(_with_one_number_changed(honest))

    for at, report in changed:
        found = verifier.report_verdict(report, export, verdict)
        assert found, at
    file.write_text(json.dumps(changed[0][1]), "utf-8")
    assert verifier.main([str(export), "--report", str(file)]) == 1
    assert "NOT THE REPORT" in capsys.readouterr().out
    assert len(changed) > 80


@pytest.mark.parametrize("content", [b"", b"no JSON", b"\xff"])
def test_a_report_that_cannot_be_read_is_no_false_one(
    content: bytes, export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    file.write_bytes(content)

    assert verifier.main([str(export), "--report", str(file)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.serves("R12", "R20")
def test_of_a_record_with_a_changed_leaf_there_is_no_report(export: Path, tmp_path: Path) -> None:
    lines = export.read_bytes().splitlines(keepends=True)
    file = tmp_path / "record.jsonl"

    for at, line in enumerate(lines):
        if b'"decision":"false"' in line or b'"people":' in line:
            changed = line.replace(b'"false"', b'"true"').replace(b'"people":', b'"people":9')
            file.write_bytes(b"".join([*lines[:at], changed, *lines[at + 1 :]]))
            with pytest.raises(ClientError) as refused:
                deployment_papers.report(DEPLOYMENT, tmp_path / "out", file)
            assert "not whole" in refused.value.what
    assert not (tmp_path / "out").exists()


def test_a_deployment_that_is_not_on_record_has_no_report(export: Path, tmp_path: Path) -> None:
    with pytest.raises(ClientError) as refused:
        deployment_papers.report("other", tmp_path, export)

    assert "other" in refused.value.what


@pytest.mark.serves("R30")
def test_components_that_a_report_tells_otherwise_are_named(export: Path) -> None:
    verdict = verifier.verify_file(export)
    honest = verifier.report_of(export, DEPLOYMENT, verdict)

    assert " ".join(["a" * 16] * 4) in account.to_page(honest)
    for path in (("components",), ("embedder", "sha256"), ("detector", "licence")):
        changed = copy.deepcopy(honest)
        place = changed["made_of"][0]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = "e" * 64
        (told,) = verifier.report_verdict(changed, export, verdict)
        assert told.startswith("made_of: ")


def test_a_report_without_a_single_face_is_drawn_all_the_same() -> None:
    report = verifier.recompute(a_deployment()[:2], DEPLOYMENT)

    assert "nothing to divide by" in account.to_page(report)
    assert account.to_pdf(report).startswith(b"%PDF-")


def _with_one_number_changed(report: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in _numbers(report, ()):
        changed = copy.deepcopy(report)
        place: Any = changed
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] += 1
        yield ".".join(map(str, path)), changed


def _numbers(value: object, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _numbers(each, (*path, name))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _numbers(each, (*path, at))
    elif isinstance(value, int | float):
        yield path
