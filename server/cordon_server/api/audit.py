"""AuditService: the record of every act, read and proven."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from cordon.v1 import audit_pb2, audit_pb2_grpc
from cordon_server.api import convert
from cordon_server.api.edge import Context
from cordon_server.api.rules import PAGE_SIZE_DEFAULT
from cordon_server.audit.leaves import Leaf, encode
from cordon_server.audit.log import AuditLog
from cordon_server.audit.record import read_note
from cordon_server.domain import InvalidInput

CHUNK_BYTES = 256 * 2**10
"""Lines are sent together up to about this."""
INDEX_MAX = 2**64 - 1


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """Serves the record."""

    def __init__(self, audit: AuditLog, *, before_export: Callable[[], Awaitable[None]]) -> None:
        """`before_export` puts on record what is only now and then: a report is made from it."""
        self._audit = audit
        self._before_export = before_export

    async def ListRecords(  # noqa: N802  # gRPC's name
        self, request: audit_pb2.ListRecordsRequest, context: Context
    ) -> audit_pb2.ListRecordsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        start = _start(request.page_token) if request.page_token else request.start_index
        deployment_id = convert.last_part(request.deployment) if request.deployment else ""
        found = await self._audit.page(start, size + 1, deployment_id)
        # A thousand to open, and the keyring's lock is held while it is written to the disk.
        records = await asyncio.to_thread(list, map(self._record, found[:size]))
        return audit_pb2.ListRecordsResponse(
            records=records,
            next_page_token=convert.page_token(str(found[size].index)) if found[size:] else "",
        )

    async def GetCheckpoint(  # noqa: N802  # gRPC's name
        self, request: audit_pb2.GetCheckpointRequest, context: Context
    ) -> audit_pb2.GetCheckpointResponse:
        note = await self._audit.checkpoint()
        return audit_pb2.GetCheckpointResponse(
            checkpoint=note, public_key=self._audit.vkey, size=read_note(note).size
        )

    async def GetInclusionProof(  # noqa: N802  # gRPC's name
        self, request: audit_pb2.GetInclusionProofRequest, context: Context
    ) -> audit_pb2.GetInclusionProofResponse:
        proof = await self._audit.inclusion(request.index)
        (leaf,) = await self._audit.page(request.index, 1)
        return audit_pb2.GetInclusionProofResponse(
            record=await asyncio.to_thread(self._record, leaf),
            hashes=proof.hashes,
            checkpoint=proof.checkpoint,
        )

    async def GetConsistencyProof(  # noqa: N802  # gRPC's name
        self, request: audit_pb2.GetConsistencyProofRequest, context: Context
    ) -> audit_pb2.GetConsistencyProofResponse:
        proof = await self._audit.consistency(request.first_size)
        return audit_pb2.GetConsistencyProofResponse(
            hashes=proof.hashes, checkpoint=proof.checkpoint
        )

    async def ExportAudit(  # noqa: N802  # gRPC's name
        self, request: audit_pb2.ExportAuditRequest, context: Context
    ) -> AsyncIterator[audit_pb2.ExportAuditResponse]:
        await self._before_export()
        chunk = b""
        async for line in self._audit.export():
            chunk += line
            if len(chunk) >= CHUNK_BYTES:
                yield audit_pb2.ExportAuditResponse(chunk=chunk)
                chunk = b""
        if chunk:
            yield audit_pb2.ExportAuditResponse(chunk=chunk)

    def _record(self, leaf: Leaf) -> audit_pb2.AuditRecord:
        personal = self._audit.personal(leaf)
        return audit_pb2.AuditRecord(
            name=f"records/{leaf.index}",
            leaf=encode(leaf),
            personal=personal or {},
            is_personal_erased=personal is None,
        )


def _start(token: str) -> int:
    index = convert.after_token(token)
    if not index.isdecimal() or int(index) > INDEX_MAX:
        raise InvalidInput("page_token is not from this server", field="page_token")
    return int(index)
