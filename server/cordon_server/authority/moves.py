"""The moves of a deployment's life, as one table.

Rules, for whoever edits this:
1. What is not in MOVES is refused.
2. Only ARMED recognises, and only while `check_recognising` says so.
3. Nothing leads back out of ENDED; ERASED is ENDED whose biometrics are gone.
4. Only `void` leads back to DRAFT: what was asked for has changed, so the question is a new one.
"""

from __future__ import annotations

from datetime import datetime

from cordon_server.authority.records import DeploymentRecord, State
from cordon_server.domain import NotReady

_S = State

MOVES: dict[tuple[State, State], str] = {
    (_S.DRAFT, _S.SUBMITTED): "submit",
    (_S.SUBMITTED, _S.AUTHORISED): "authorise",
    (_S.AUTHORISED, _S.ARMED): "arm",
    (_S.ARMED, _S.HALTED): "halt",
    (_S.HALTED, _S.ARMED): "resume",
    (_S.SUBMITTED, _S.DRAFT): "void",
    (_S.AUTHORISED, _S.DRAFT): "void",
    **{
        (state, _S.ENDED): "end"
        for state in (_S.DRAFT, _S.SUBMITTED, _S.AUTHORISED, _S.ARMED, _S.HALTED)
    },
    (_S.ENDED, _S.ERASED): "erase",
}
"""Every move a deployment may make."""

_NEXT = {
    _S.DRAFT: "submit it first: cordon admin deployment submit",
    _S.SUBMITTED: "an authorising officer decides next: cordon admin deployment authorise",
    _S.AUTHORISED: "arm it next: cordon admin deployment arm",
    _S.ARMED: "halt or end it first: cordon admin deployment halt",
    _S.HALTED: "its authoriser may resume it: cordon admin deployment resume",
    _S.ENDED: "its record is left: cordon admin deployment show",
    _S.ERASED: "its record is left: cordon admin deployment show",
}


def check_move(record: DeploymentRecord, to: State, *, by: str) -> None:
    """Raises `NotReady` (WRONG_STATE) unless the move named is one of the table's."""
    if MOVES.get((record.state, to)) != by:
        raise NotReady(
            f"deployment {record.deployment_id} is {record.state}, and from there nobody can {by} "
            f"it; {_NEXT[record.state]} {record.deployment_id}",
            reason="WRONG_STATE",
        )


def check_recognising(record: DeploymentRecord, now: datetime) -> None:
    """Raises `NotReady` unless it is armed, in its window, with a valid authority (R7, R8, R9)."""
    name = record.deployment_id
    if record.state is not State.ARMED:
        raise NotReady(f"deployment {name} is {record.state}, not armed", reason="NOT_ARMED")
    if record.authority is None:
        raise NotReady(f"deployment {name} has no authority", reason="AUTHORITY_MISSING")
    if now < record.start_time:
        raise NotReady(
            f"the window of deployment {name} opens at {record.start_time:%Y-%m-%d %H:%M} UTC; "
            "nothing is recognised outside it",
            reason="WINDOW_NOT_OPEN",
        )
    if record.end_time <= now:
        raise NotReady(
            f"the window of deployment {name} closed at {record.end_time:%Y-%m-%d %H:%M} UTC; "
            "nothing is recognised outside it",
            reason="WINDOW_OVER",
        )
    if record.until <= now:
        raise NotReady(
            f"the urgent authority of deployment {name} ended at {record.until:%Y-%m-%d %H:%M} "
            "UTC; nothing is recognised without one",
            reason="AUTHORITY_EXPIRED",
        )
