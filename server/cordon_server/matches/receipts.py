"""Receipts for people who were stopped: from a code on paper to what is known of the match (R29).

Kept with the site's records and not with the deployment's: a person may ask when its matches are
long gone. It says when, where and what came of it; nothing of any face, and not who was listed.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable
from datetime import datetime

import msgspec

from cordon_server.acts import AuditClass, Recorder
from cordon_server.domain import NotFound, NotReady
from cordon_server.matches.acting import act_of
from cordon_server.matches.codes import code_hash, make_code, read_code
from cordon_server.matches.records import Decision, MatchRecord, Outcome, Reviewer
from cordon_server.store.environment import Environment, Table, Transaction


class ReceiptRecord(msgspec.Struct, frozen=True):
    """What a receipt stands for."""

    deployment_id: str
    match_id: int
    camera_id: str
    captured_at: datetime
    issue_time: datetime
    decision: Decision
    outcome: Outcome | None = None


RECEIPTS = Table("receipts", ReceiptRecord)
"""By the hash of the code; the code itself is nowhere."""
RECEIPT_BY_MATCH = Table("receipt_by_match", bytes)
"""The newest receipt of a match, by deployment and match."""
RECEIPT_TABLES = (RECEIPTS, RECEIPT_BY_MATCH)


class Receipts:
    """The receipts of a site."""

    def __init__(
        self,
        registry: Environment,
        *,
        site: str,
        recorder: Recorder,
        clock: Callable[[], datetime],
    ) -> None:
        self._registry = registry
        self._site = site
        self._recorder = recorder
        self._clock = clock

    async def issue(
        self,
        deployment_id: str,
        match: MatchRecord,
        outcome: Outcome | None,
        reviewer: Reviewer,
        request_id: str,
        *,
        is_seed: bool = False,
        dry_run: bool,
    ) -> str:
        """A code for the person who was stopped; the match's earlier one is void. The same request
        gives the same code. A known case's is counted nowhere. Raises `NotReady` before there is a
        decision: nobody is stopped then.
        """
        if match.adjudication is None:
            raise NotReady(
                f"match {match.match_id} is not decided, and nobody is stopped before that",
                reason="NOT_DECIDED",
            )
        if dry_run:
            return ""
        seed = uuid.UUID(request_id).bytes if request_id else secrets.token_bytes(16)
        code = make_code(seed, f"{deployment_id}/{match.match_id}")
        key = await self._key(read_code(code))
        record = ReceiptRecord(
            deployment_id,
            match.match_id,
            match.camera_id,
            match.captured_at,
            self._clock(),
            match.adjudication.decision,
            outcome,
        )
        action = "seed.receipt" if is_seed else "match.receipt"
        await self._record(action, AuditClass.DISCLOSURE, record, reviewer)
        await self._registry.write(lambda txn: _put(txn, key, record))
        return code

    async def look_up(self, typed: str, reviewer: Reviewer) -> ReceiptRecord:
        """What a code stands for: on record also where it is asked for trial, for it is told all
        the same. Raises `InvalidInput` for what cannot be a code, `NotFound`."""
        key = await self._key(read_code(typed))
        record = await self._registry.read(lambda txn: txn.get(RECEIPTS, key))
        if record is None:
            raise NotFound("no receipt has this code; a newer one of the same match replaces it")
        await self._record("match.receipt_read", AuditClass.DISCLOSURE, record, reviewer)
        return record

    async def note(
        self, deployment_id: str, match: MatchRecord, outcome: Outcome | None = None
    ) -> None:
        """Keeps a later decision or outcome with the match's receipt, where it has one."""

        def act(txn: Transaction) -> None:
            key = txn.get(RECEIPT_BY_MATCH, _match_key(deployment_id, match.match_id))
            record = None if key is None else txn.get(RECEIPTS, key)
            if key is None or record is None or match.adjudication is None:
                return
            changed = msgspec.structs.replace(
                record,
                decision=match.adjudication.decision,
                outcome=outcome or record.outcome,
            )
            txn.put(RECEIPTS, key, changed)

        await self._registry.write(act)

    async def _key(self, code: str) -> bytes:
        """The hash of a code, which takes its time; away from the event loop."""
        return await asyncio.to_thread(code_hash, code, self._site)

    async def _record(
        self, action: str, kind: AuditClass, record: ReceiptRecord, reviewer: Reviewer
    ) -> None:
        await self._recorder.record(
            act_of(record.deployment_id, kind, action, record.match_id, reviewer)
        )


def _put(txn: Transaction, key: bytes, record: ReceiptRecord) -> None:
    by_match = _match_key(record.deployment_id, record.match_id)
    if (earlier := txn.get(RECEIPT_BY_MATCH, by_match)) is not None:
        txn.delete(RECEIPTS, earlier)
    txn.put(RECEIPTS, key, record)
    txn.put(RECEIPT_BY_MATCH, by_match, key)


def _match_key(deployment_id: str, match_id: int) -> bytes:
    return f"{deployment_id}/{match_id}".encode()
