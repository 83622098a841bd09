"""What the cameras of a deployment have shown, in numbers alone: nothing in it is about anybody.

The numbers are of the whole deployment. They are kept in its database and go with it; what stays
are the acts that they were recorded in (R20).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from cordon_server.acts import Act, AuditClass, Recorder
from cordon_server.domain import FaceCounts
from cordon_server.store.environment import Environment, Table, Transaction


class CountsRecord(msgspec.Struct, frozen=True):
    """Since the deployment was made; what a server that was killed had counted in its last minute
    is not in it, neither faces nor anything else."""

    frames: int = 0
    """Frames that were looked at."""
    faces: int = 0
    """Faces found in them, each as often as it was in one; the sum of the next five."""
    searched: int = 0
    too_small: int = 0
    too_poor: int = 0
    shed: int = 0
    outside_zone: int = 0
    people: int = 0
    """Faces seen: tracks, and the faces of still pictures."""
    people_searched: int = 0
    false_alerts: tuple[int, ...] = ()
    """Matches that people found false, those that were deleted since among them."""
    tested_from_people: int = 0
    tested_from_match: int = 0
    """What lies before these was tested when the deployment was last suspended."""


COUNTS = Table("counts", CountsRecord)
_KEY = b"counts"


class Tally:
    """The numbers of one open deployment. Used from the event loop alone."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.now = environment.read_now(_kept)

    def note(self, counts: FaceCounts) -> None:
        """Counts what was found in one frame."""
        now = self.now
        self.now = msgspec.structs.replace(
            now,
            frames=now.frames + 1,
            faces=now.faces + counts.detected,
            searched=now.searched + counts.searched,
            too_small=now.too_small + counts.too_small,
            too_poor=now.too_poor + counts.too_poor,
            shed=now.shed + counts.shed,
            outside_zone=now.outside_zone + counts.outside_zone,
            people=now.people + counts.people,
            people_searched=now.people_searched + counts.people_searched,
        )

    def found_false(self, matches: Collection[int]) -> None:
        """Takes in matches that people found false."""
        known = frozenset(self.now.false_alerts) | frozenset(matches)
        self.now = msgspec.structs.replace(self.now, false_alerts=tuple(sorted(known)))

    def test_again(self, match: int) -> None:
        """From here on, and from the match after this one, the ceiling is tested afresh."""
        self.now = msgspec.structs.replace(
            self.now, tested_from_people=self.now.people_searched, tested_from_match=match
        )

    @property
    def tested(self) -> tuple[int, int]:
        """The false alerts and the faces that the ceiling is tested on.

        The faces that were searched: one that was too small to be compared can raise no alert.
        """
        now = self.now
        false_alerts = sum(match > now.tested_from_match for match in now.false_alerts)
        return false_alerts, now.people_searched - now.tested_from_people

    async def keep(self) -> None:
        """Writes the numbers down."""
        now = self.now
        await self._environment.write(lambda txn: txn.put(COUNTS, _KEY, now))

    async def record(self, recorder: Recorder, deployment_id: str, matches: int) -> None:
        """Puts the numbers on record, after they are written down: a server that stops between the
        two never records fewer than before. Raises `NotRecorded`."""
        now = self.now
        await self.keep()
        facts = {name: count for name, count in msgspec.to_builtins(now).items() if name in _TOLD}
        await recorder.record(
            Act(
                AuditClass.COMBINATION,
                "deployment.counts",
                deployment_id,
                f"deployments/{deployment_id}",
                facts={**facts, "matches": matches},
            )
        )


_TOLD = (
    "frames",
    "faces",
    "searched",
    "too_small",
    "too_poor",
    "shed",
    "outside_zone",
    "people",
    "people_searched",
)


def _kept(txn: Transaction) -> CountsRecord:
    return txn.get(COUNTS, _KEY) or CountsRecord()
