"""What is said to the server, as the contract's messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from cordon_camera.messages import frame_message, hello_message

MOMENTS = [
    datetime(2026, 11, 23, 4, 5, 6, 789_012, tzinfo=UTC),
    datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_frame_says_when_it_was_taken_to_the_microsecond(moment: datetime) -> None:
    frame = frame_message(7, moment, b"jpeg").frame

    assert frame.captured_at.ToDatetime(UTC) == moment
    assert (frame.sequence, frame.jpeg) == (7, b"jpeg")


def test_a_hello_says_what_time_it_is_here() -> None:
    before = datetime.now(UTC)

    said = hello_message(stills=False).hello.sent_at.ToDatetime(UTC)

    assert before <= said <= datetime.now(UTC)
