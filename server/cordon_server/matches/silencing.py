"""Which faces are not the listed person's they were taken for: kept on disk and in memory.

Written with the decision that says so, so that a crash between the two loses neither.
"""

from __future__ import annotations

from cordon_server.matches.records import (
    MATCH_TEMPLATES,
    SUPPRESSED,
    Decision,
    MatchRecord,
    SuppressedRecord,
    match_key,
)
from cordon_server.matches.suppression import Suppressions
from cordon_server.store.environment import Environment, Transaction


class Silencing:
    """The suppressions of one deployment."""

    def __init__(self, environment: Environment) -> None:
        self.faces = Suppressions(
            environment.read_now(lambda txn: [record for _, record in txn.scan(SUPPRESSED)])
        )
        self._kept: dict[int, SuppressedRecord] = {}
        """Written and not in memory yet."""
        self._freed: dict[int, SuppressedRecord] = {}
        """Deleted and in memory still."""

    def keep_decided(self, txn: Transaction, record: MatchRecord) -> None:
        """Writes, with a decision, that the face is not that person's, where it says so."""
        if _is_false(record):
            self.keep(txn, record)

    def keep(self, txn: Transaction, record: MatchRecord) -> None:
        """Writes that a match's face is not that person's; a match without a template (a known
        case) suppresses nobody."""
        key = match_key(record.match_id)
        vector = txn.get(MATCH_TEMPLATES, key)
        if vector is not None and txn.get(SUPPRESSED, key) is None:
            suppressed = SuppressedRecord(record.entry_id, vector)
            txn.put(SUPPRESSED, key, suppressed)
            self._kept[record.match_id] = suppressed

    def free(self, txn: Transaction, record: MatchRecord) -> None:
        """Deletes what an outcome that no longer holds has written; a decision that the match is
        false stands."""
        key = match_key(record.match_id)
        suppressed = txn.get(SUPPRESSED, key)
        if suppressed is not None and not _is_false(record):
            txn.delete(SUPPRESSED, key)
            self._freed[record.match_id] = suppressed

    def decided(self, record: MatchRecord) -> None:
        """What was written is on disk: from now on it counts."""
        if (kept := self._kept.pop(record.match_id, None)) is not None:
            self.faces.add(kept)
        if (freed := self._freed.pop(record.match_id, None)) is not None:
            self.faces.remove(freed)


def _is_false(record: MatchRecord) -> bool:
    return record.adjudication is not None and record.adjudication.decision is Decision.FALSE
