"""How long a match is kept, by what people decided of it (R4): while its deployment lasts, and no
longer than its class allows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cordon_server.matches.records import MATCHES, Decision, MatchRecord
from cordon_server.sessions.deployment import OpenDeployment
from cordon_server.store.environment import Transaction


@dataclass(frozen=True, slots=True)
class MatchClasses:
    """The longest that a match of each class is kept, from when it was raised."""

    undecided_max: timedelta
    """Also of those that nobody has judged."""
    true_max: timedelta
    false_max: timedelta

    def kept_until(self, record: MatchRecord) -> datetime:
        """When a match is to go."""
        longest = {
            Decision.UNDECIDED: self.undecided_max,
            Decision.TRUE: self.true_max,
            Decision.FALSE: self.false_max,
        }
        return record.create_time + longest[class_of(record)]

    async def over(self, opened: OpenDeployment, now: datetime) -> list[MatchRecord]:
        """The matches of a deployment that have been kept for long enough."""

        def act(txn: Transaction) -> list[MatchRecord]:
            return [each for _, each in txn.scan(MATCHES) if self.kept_until(each) <= now]

        return await opened.environment.read(act)


def class_of(record: MatchRecord) -> Decision:
    """What was decided of a match, undecided where nothing was."""
    return record.adjudication.decision if record.adjudication else Decision.UNDECIDED
