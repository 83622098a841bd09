"""The enrolled pictures that a match is compared with, as many as help a person."""

from __future__ import annotations

from cordon_server.domain import NotFound
from cordon_server.matches.records import MatchRecord
from cordon_server.sessions.deployment import OpenDeployment

REFERENCES_MAX = 4


async def reference_pictures(deployment: OpenDeployment, record: MatchRecord) -> list[bytes]:
    """JPEG of the entry's faces, the one that scored best first.

    Raises `NotFound` when the entry was removed, without naming it: whoever asks may have to judge
    the match by its pictures alone (R10).
    """
    try:
        _, references = await deployment.watchlist.get(record.entry_id)
        references.sort(key=lambda each: each.reference_id != record.reference_id)
        return [
            await deployment.watchlist.image(record.entry_id, reference.reference_id)
            for reference in references[:REFERENCES_MAX]
        ]
    except NotFound:
        raise NotFound(
            f"whom match {record.match_id} is about was removed from the list, and the pictures "
            "with them; the match cannot be judged any more"
        ) from None
