"""The stream of an import: rows in, a report of each back, in their order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from cordon.v1 import watchlist_pb2
from cordon_server.api import convert
from cordon_server.api.edge import Context
from cordon_server.api.rules import check_row
from cordon_server.api.watchlist_convert import outcome
from cordon_server.authority.watchlist_enrolment import Enrolment
from cordon_server.authority.watchlist_rules import EntryRules, proposal_needed
from cordon_server.domain import (
    InvalidInput,
    LimitReached,
    NotListable,
    NotReady,
    Reason,
    ReasonCode,
    UnusablePicture,
)

EXAMINED_AHEAD = 4
"""Rows of one import that are worked on at once; their reports keep the order of the rows."""

Report = watchlist_pb2.ImportReferencesResponse
Requests = AsyncIterator[watchlist_pb2.ImportReferencesRequest]
Turn = asyncio.Task[Report] | None
Enrol = Callable[[watchlist_pb2.ImportRow, Turn], Awaitable[Enrolment]]
"""Examines a row at once and enrols it when the turn, the row before it, is over."""


Refused = Callable[[int, str, tuple[Reason, ...]], Awaitable[None]]
"""Hears of a row's number, external reference and reasons."""


class Importing:
    """Works through the rows of one import.

    Rows are examined side by side and enrolled in their order, so that of two rows with one face it
    is always the first that is accepted.
    """

    def __init__(
        self,
        deployment_id: str,
        enrol: Enrol,
        *,
        refused: Refused | None = None,
        proposal: str = "",
    ) -> None:
        """`refused` hears of each row that is, `proposal` is named in every report."""
        self._deployment_id = deployment_id
        self._enrol = enrol
        self._refused = refused
        self._proposal = proposal

    async def run(self, requests: Requests, context: Context) -> None:
        """Answers every row once its fate is certain."""
        async with asyncio.TaskGroup() as tasks:
            reports: asyncio.Queue[Turn] = asyncio.Queue(EXAMINED_AHEAD)
            feeding = tasks.create_task(self._feed(tasks, requests, reports))
            while (report := await reports.get()) is not None:
                await context.write(await report)
            await feeding

    async def _feed(
        self, tasks: asyncio.TaskGroup, requests: Requests, reports: asyncio.Queue[Turn]
    ) -> None:
        """Starts work on rows; waits when EXAMINED_AHEAD reports are not out yet."""
        turn: Turn = None
        async for request in requests:
            if request.WhichOneof("payload") != "row":
                raise InvalidInput("start comes first and once; send rows now", field="payload")
            turn = tasks.create_task(self._report(request.row, turn))
            await reports.put(turn)
        await reports.put(None)

    async def _report(self, row: watchlist_pb2.ImportRow, turn: Turn) -> Report:
        report = Report(row=row.row, external_ref=row.external_ref, proposal=self._proposal)
        try:
            check_row(row)
            enrolment = await self._enrol(row, turn)
        except (InvalidInput, LimitReached) as error:
            reasons = reasons_of(error)
            report.outcome = watchlist_pb2.ENROL_OUTCOME_REJECTED
            report.reasons.extend(convert.reason(each, self._deployment_id) for each in reasons)
            if self._refused is not None:
                await self._refused(row.row, row.external_ref, reasons)
            return report
        finally:
            if turn is not None:  # or the row behind this one would overtake those before it
                await turn
        report.outcome = outcome(enrolment)
        report.reasons.extend(
            convert.reason(each, self._deployment_id) for each in enrolment.warnings
        )
        report.reference = convert.reference_name(
            self._deployment_id, enrolment.entry.entry_id, enrolment.reference_id
        )
        return report


def check_rows(rules: EntryRules, start: watchlist_pb2.ImportStart) -> None:
    """Raises `NotReady` for an import of so many rows that it has to be a proposal.

    What the list holds already counts row by row: an import that is sent again names the rows that
    are there, too.
    """
    if not start.validate_only and (needed := proposal_needed(rules, 0, start.row_count)):
        raise NotReady(needed.message, reason=needed.code.name)


def reasons_of(error: InvalidInput | LimitReached) -> tuple[Reason, ...]:
    """Why a row was refused, in codes."""
    if isinstance(error, UnusablePicture | NotListable):
        return error.reasons
    is_full = isinstance(error, LimitReached)
    code = ReasonCode.LIMIT_REACHED if is_full else ReasonCode.BAD_FIELD
    return (Reason(code, error.message),)
