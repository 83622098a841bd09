"""Faces of a list against each other: who is there already, and who looks like whom."""

from __future__ import annotations

from collections.abc import Callable

from cordon_server.domain import Reason, ReasonCode, Template, UnusablePicture

SIMILAR_COUNT = 5
"""How many similar references are shown."""

Similar = Callable[[Template, int], list[tuple[str, str, float]]]
"""The most similar references: (entry id, reference id, score), best first."""


def neighbours(
    similar: Similar,
    entry_id: str,
    template: Template,
    *,
    threshold: float,
    duplicate_score: float,
    own_max: int,
) -> tuple[Reason, ...]:
    """Look-alike warnings for a face of an entry, which may have `own_max` references itself.

    Raises `UnusablePicture` when the same face is there under another entry.
    """
    # The entry's own pictures may well fill the first places.
    close = [
        (f"{entry}/{reference}", entry, score)
        for entry, reference, score in similar(template, SIMILAR_COUNT + own_max)
        if entry != entry_id and score >= threshold
    ][:SIMILAR_COUNT]
    for name, entry, score in close:
        if score >= duplicate_score:
            raise duplicate(
                f"the same face is enrolled as {entry} (score {score:.3f}); add the picture "
                "there, or remove that entry first",
                name,
                score,
            )
    return tuple(
        Reason(
            ReasonCode.LOOK_ALIKE,
            f"looks like {entry} (score {score:.3f}): take care with matches on either",
            name,
            score,
        )
        for name, entry, score in close
    )


def duplicate(message: str, reference: str, score: float) -> UnusablePicture:
    """The refusal of a face that is enrolled under another entry."""
    return UnusablePicture(message, (Reason(ReasonCode.DUPLICATE, message, reference, score),))
