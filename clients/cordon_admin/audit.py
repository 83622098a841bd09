"""`cordon admin audit`: the record of every act, read, exported, verified and proven."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cordon.v1 import audit_pb2
from cordon.v1.audit_pb2_grpc import AuditServiceStub
from cordon_admin import verifier
from cordon_client.channel import call, connected
from cordon_client.cli import (
    IdentityOption,
    OutputOption,
    ServerOption,
    identity_for,
    new_app,
    run,
)
from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import deployment_name, short
from cordon_client.output import Format, emit, talk
from cordon_client.times import parse_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cordon.v1.audit_pb2_grpc import AuditServiceAsyncStub
    from cordon_client.identity import ClientIdentity

app = new_app(
    """The record of every act: who did what, when and why, and that nobody changed it since.

    \b
    Examples:
      cordon admin audit list --deployment market
      cordon admin audit export record.jsonl --checkpoint today.checkpoint
      cordon admin audit verify record.jsonl --key audit.vkey --checkpoint today.checkpoint
    """
)

PAGE = 1000
COLUMNS = {
    "INDEX": "index",
    "TIME": "time",
    "KIND": "kind",
    "ACTION": "action",
    "DEPLOYMENT": "deployment",
    "RESOURCE": "resource",
    "MACHINE": "machine",
    "PERSON": "person",
    "WHY": "justification",
}
VERDICT = {
    "Whole": "is_whole",
    "Fault": "fault",
    "Acts": "leaves",
    "Checkpoints": "checkpoints",
    "Record": "origin",
    "From": "first_time",
    "To": "last_time",
    "Key": "key",
    "Key was given": "is_key_given",
    "Checkpoint was given": "is_checkpoint_given",
}
PROOF = {
    "Act": "index",
    "Action": "action",
    "Time": "time",
    "Proven": "is_proven",
    "Acts on record": "size",
    "Signed by": "key",
}

KeyOption = Annotated[
    str,
    typer.Option(
        "--key",
        metavar="VKEY",
        help="The record's public key, or a file with it; `server init` shows it.",
    ),
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint", metavar="FILE", help="A checkpoint that was kept: the record must hold it."
    ),
]


@app.command("list")
def list_(
    deployment: Annotated[
        str,
        typer.Option("--deployment", metavar="DEPLOYMENT", help="Acts on this deployment alone."),
    ] = "",
    last: Annotated[
        int, typer.Option("--last", metavar="N", help="Only the newest; 0 for all.", min=0)
    ] = 50,
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """List what was done, the newest last. That you looked is recorded too.

    \b
    Example:
      cordon admin audit list --deployment market --last 20
    """
    named = deployment_name(deployment) if deployment else ""
    run(_list(identity_for("admin", identity, server), named, last, output))


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint", metavar="FILE", help="Also write the newest checkpoint, to be kept."
        ),
    ] = None,
    key: KeyOption = "",
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Write the whole record to one file, and verify it. Keep the checkpoint somewhere else.

    \b
    Example:
      cordon admin audit export record.jsonl --checkpoint 2026-11-30.checkpoint
    """
    refuse_to_replace(file, checkpoint)
    run(fetch(identity_for("admin", identity, server), file))
    verdict = _verified(file, key, None)
    if checkpoint is not None and verdict.is_whole:
        _write_checkpoint(checkpoint, verdict.newest)
    _show(verdict, output)
    if not verdict.is_whole:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An exported record.")],
    key: KeyOption = "",
    checkpoint: CheckpointOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Verify an exported record, without a server. Exit code 1 where it was changed.

    \b
    Example:
      cordon admin audit verify record.jsonl --key audit.vkey --checkpoint kept.checkpoint
    """
    verdict = _verified(file, key, checkpoint)
    _show(verdict, output)
    if not verdict.is_whole:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def prove(
    index: Annotated[
        int | None, typer.Argument(metavar="INDEX", help="The act to prove; see audit list.", min=0)
    ] = None,
    checkpoint: CheckpointOption = None,
    key: KeyOption = "",
    output: OutputOption = Format.TABLE,
    identity: IdentityOption = None,
    server: ServerOption = None,
) -> None:
    """Prove, without reading it all, that an act is on record or that a kept checkpoint still is.

    \b
    Examples:
      cordon admin audit prove 1204 --key audit.vkey
      cordon admin audit prove --checkpoint kept.checkpoint --key audit.vkey
    """
    if (index is None) == (checkpoint is None):
        raise ClientError(
            "Say what to prove: an act or a checkpoint.",
            why="One of INDEX and --checkpoint FILE has to be there, and not both.",
            hint="cordon admin audit prove 12",
            exit_code=ExitCode.USAGE,
        )
    who = identity_for("admin", identity, server)
    run(_prove(who, index, checkpoint, key, output))


async def _list(identity: ClientIdentity, deployment: str, last: int, output: Format) -> None:
    async with connected(identity) as channel:
        stub = AuditServiceStub(channel)
        start = 0
        if last and not deployment:
            now = await call(stub.GetCheckpoint, audit_pb2.GetCheckpointRequest())
            start = max(0, now.size - last)
        found = [record async for record in _records(stub, deployment, start)]
    emit([_shown(record) for record in found[-last:]], COLUMNS, output)


async def _records(
    stub: AuditServiceAsyncStub, deployment: str, start: int
) -> AsyncIterator[audit_pb2.AuditRecord]:
    request = audit_pb2.ListRecordsRequest(deployment=deployment, start_index=start, page_size=PAGE)
    while True:
        page = await call(stub.ListRecords, request)
        for record in page.records:
            yield record
        request.page_token = page.next_page_token
        if not request.page_token:
            return


async def fetch(identity: ClientIdentity, file: Path) -> None:
    """Writes the whole record, or no file; verifies nothing of it."""
    fresh = file.with_name(f"{file.name}.part")
    async with connected(identity) as channel:
        stream = AuditServiceStub(channel).ExportAudit(audit_pb2.ExportAuditRequest())
        try:
            with fresh.open("wb") as opened:
                async for message in stream:
                    opened.write(message.chunk)
            os.replace(fresh, file)
        except OSError as error:
            raise _unwritten(file, error) from error
        finally:
            fresh.unlink(missing_ok=True)


async def _prove(
    identity: ClientIdentity, index: int | None, checkpoint: Path | None, key: str, output: Format
) -> ExitCode | None:
    async with connected(identity) as channel:
        stub = AuditServiceStub(channel)
        if not key:
            now = await call(stub.GetCheckpoint, audit_pb2.GetCheckpointRequest())
            talk("The key is the server's own word; bring your copy with --key to be sure.")
        given = _key(key or now.public_key)
        if index is not None:
            proven = await _proven_act(stub, index, given)
        else:
            assert checkpoint is not None
            proven = await _proven_beginning(stub, checkpoint, given)
    emit([proven], PROOF, output, single=True)
    return None if proven["is_proven"] else ExitCode.FAILED


async def _proven_act(stub: AuditServiceAsyncStub, index: int, key: verifier.Key) -> dict[str, Any]:
    request = audit_pb2.GetInclusionProofRequest(index=index)
    found = await call(stub.GetInclusionProof, request)
    now = _note(found.checkpoint, key)
    is_proven = verifier.is_included(found.record.leaf, index, now.size, found.hashes, now.root)
    leaf = json.loads(found.record.leaf)
    return {
        **_shown(found.record),
        "is_proven": is_proven and leaf["index"] == index,
        "size": now.size,
        "key": key.vkey,
    }


async def _proven_beginning(
    stub: AuditServiceAsyncStub, file: Path, key: verifier.Key
) -> dict[str, Any]:
    kept = _note(_text(file), key)
    request = audit_pb2.GetConsistencyProofRequest(first_size=kept.size)
    found = await call(stub.GetConsistencyProof, request)
    now = _note(found.checkpoint, key)
    is_proven = verifier.is_consistent(kept.size, kept.root, now.size, now.root, found.hashes)
    return {
        "name": f"checkpoint {kept.number}",
        "is_proven": is_proven,
        "time": parse_time(kept.time),
        "size": now.size,
        "key": key.vkey,
    }


def _shown(record: audit_pb2.AuditRecord) -> dict[str, Any]:
    """One act: its leaf, and what of its personal parts can be read."""
    leaf = json.loads(record.leaf)
    erased = "(erased)" if record.is_personal_erased else None
    personal = dict(record.personal)
    return {
        "name": record.name,
        "index": leaf["index"],
        "time": parse_time(leaf["time"]),
        "kind": leaf["kind"],
        "action": short(leaf["action"]),
        "deployment": leaf["deployment"] or None,
        "resource": personal.get("resource") or leaf["resource"] or None,
        "machine": leaf["machine"] or None,
        "person": personal.get("person") or erased,
        "justification": personal.get("justification"),
        "personal": personal,
        "is_personal_erased": record.is_personal_erased,
        "leaf": leaf,
    }


def _verified(file: Path, key: str, checkpoint: Path | None) -> verifier.Verdict:
    note = _text(checkpoint) if checkpoint else ""
    try:
        return verifier.verify_file(file, verifier.key_text(key), note)
    except (OSError, UnicodeDecodeError) as error:
        raise _unread(file, error) from error


def _show(verdict: verifier.Verdict, output: Format) -> None:
    if output is Format.TABLE:
        print("\n".join(verifier.in_words(verdict)))
    else:
        emit([{"name": verdict.origin, **asdict(verdict)}], VERDICT, output, single=True)


def _key(text: str) -> verifier.Key:
    try:
        return verifier.read_key(verifier.key_text(text))
    except (verifier.FaultError, OSError, UnicodeDecodeError) as error:
        raise ClientError(
            f"{text!r} is not the public key of an audit record.",
            why="It is one line, name+id+key, as `cordon server init` shows it.",
            exit_code=ExitCode.USAGE,
        ) from error


def _note(text: str, key: verifier.Key) -> verifier.Checkpoint:
    try:
        return verifier.read_note(text, key)
    except verifier.FaultError as error:
        raise ClientError(
            "The checkpoint does not bear the record's signature.",
            why=f"It says: {error}.",
            hint="cordon admin audit export FILE",
        ) from error


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unread(file, error) from error


def refuse_to_replace(*files: Path | None, hint: str = "") -> None:
    """Raises `ClientError` for a file that is there."""
    for file in files:
        if file is not None and file.exists():
            raise ClientError(
                f"{file} is there already; nothing was exported.",
                why="An older export shows what the record was: it is not written over.",
                hint=hint,
                exit_code=ExitCode.CONFLICT,
            )


def _write_checkpoint(file: Path, note: str) -> None:
    try:
        file.write_text(note, "utf-8")
    except OSError as error:
        raise _unwritten(file, error) from error


def _unread(file: Path, error: Exception) -> ClientError:
    return ClientError(f"{file} cannot be read.", why=str(error), exit_code=ExitCode.USAGE)


def _unwritten(file: Path, error: OSError) -> ClientError:
    return ClientError(f"{file} cannot be written.", why=str(error))
