"""`cordon camera check`: each step from source to server, and one next step for a fault."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cordon_camera.check_picture import look_at
from cordon_camera.check_server import check_server
from cordon_camera.faults import FAULTS, Fault, SourceError
from cordon_camera.probe import TIMEOUT_S, probe
from cordon_camera.settings import SourceKind, SourceSettings, StreamSettings
from cordon_camera.sources.webcam import check_device
from cordon_client.cli import identity_for
from cordon_client.errors import ClientError, ExitCode


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: good, or at fault with exactly one next step."""

    step: str
    ok: bool
    detail: str = ""
    fault: str = ""
    next_step: str = ""
    exit_code: ExitCode = ExitCode.OK

    def line(self) -> str:
        """For a person."""
        if self.ok:
            return f"ok      {self.step}" + (f": {self.detail}" if self.detail else "")
        return f"failed  {self.step}: {self.detail}\n        next: {self.next_step}"


async def check_all(
    source: SourceSettings,
    stream: StreamSettings,
    server: tuple[Path | None, str | None] | None,
    *,
    as_json: bool,
) -> ExitCode:
    """Prints each finding as it comes; the exit code is the first fault's."""
    code = ExitCode.OK
    for finding in check_source(source, stream):
        _print(finding, as_json)
        code = code or finding.exit_code
    if server is not None:
        async for finding in _server_findings(*server):
            _print(finding, as_json)
            code = code or finding.exit_code
    return code


def check_source(
    source: SourceSettings, stream: StreamSettings, timeout_s: float = TIMEOUT_S
) -> Iterator[Finding]:
    """The findings about the source, up to and with the first fault."""
    for finding in _reachable(source, timeout_s):
        yield finding
        if not finding.ok:
            return
    try:
        detail = look_at(source, stream)
    except SourceError as failed:
        yield found_fault("picture", failed.fault, failed.detail)
    else:
        yield Finding("picture", True, detail)


def found_fault(step: str, fault: Fault, detail: str = "") -> Finding:
    """A fault in words."""
    text = FAULTS[fault]
    why = f"{text.why} ({detail})" if detail else text.why
    return Finding(step, False, why, fault.value, text.next_step, text.exit_code)


def _reachable(source: SourceSettings, timeout_s: float) -> Iterator[Finding]:
    if source.kind.is_network:
        for step in probe(source, timeout_s):
            if step.fault is None:
                yield Finding(step.name, True, step.detail)
            else:
                yield found_fault(step.name, step.fault, step.detail)
    elif source.kind is SourceKind.WEBCAM:
        try:
            check_device(source.device_path, source.describe())
        except SourceError as failed:
            yield found_fault("device", failed.fault, failed.detail)
        else:
            yield Finding("device", True, str(source.device_path))


async def _server_findings(folder: Path | None, address: str | None) -> AsyncIterator[Finding]:
    try:
        identity = identity_for("camera", folder, address)
    except ClientError as error:
        yield _of_error("identity", error)
        return
    yield Finding("identity", True, identity.spiffe_id)
    async for step, outcome in check_server(identity):
        if isinstance(outcome, ClientError):
            yield _of_error(step, outcome)
        else:
            yield Finding(step, True, outcome)


def _of_error(step: str, error: ClientError) -> Finding:
    detail = " ".join(part for part in (error.what, error.why) if part)
    return Finding(
        step,
        False,
        detail,
        error.reason.lower() or step.replace(" ", "_"),
        error.hint or "cordon doctor",
        error.exit_code or ExitCode.FAILED,
    )


def _print(finding: Finding, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**asdict(finding), "exit_code": int(finding.exit_code)}), flush=True)
    else:
        print(finding.line(), file=sys.stdout, flush=True)
