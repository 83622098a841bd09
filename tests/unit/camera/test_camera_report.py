"""What a running camera says: a line, log lines, or JSON."""

from __future__ import annotations

import io
import json

from cordon_camera.flow import Outcome
from cordon_camera.report import JsonReport, LineReport, LogReport
from cordon_camera.status import Answer, Tally


def tally_of(frames: int) -> Tally:
    tally = Tally()
    for number in range(frames):
        tally.sent(number * 0.1)
        tally.answered(Answer(Outcome.PROCESSED, 2, 1, 0.004), 0.010 + 0.001 * number)
    return tally


def test_the_summary_has_every_count() -> None:
    out = io.StringIO()
    tally = tally_of(3)
    tally.answered(Answer(Outcome.REJECTED, reason="X", message="Bad.", name="a.jpg"), 1.0)

    JsonReport(out).summary(tally, skipped=4, lost=1)

    summary = json.loads(out.getvalue())
    assert summary == {
        "event": "summary",
        "frames_sent": 3,
        "processed": 3,
        "superseded": 0,
        "expired": 0,
        "rejected": 1,
        "faces": 6,
        "matches": 3,
        "connections": 0,
        "round_trip_ms_p50": 11.0,
        "server_latency_ms_p50": 4.0,
        "skipped": 4,
        "lost": 1,
        "rejections": [{"name": "a.jpg", "reason": "X", "message": "Bad."}],
    }


def test_rates_are_of_the_last_seconds() -> None:
    tally = tally_of(40)

    assert tally.fps(now_s=3.9) == 10.0 + 1 / 3
    assert tally.fps(now_s=60.0) == 0.0


def test_without_an_answer_there_is_no_duration() -> None:
    assert Tally().counts()["round_trip_ms_p50"] is None


def test_the_line_is_written_over_and_events_stay_above_it() -> None:
    out = io.StringIO()
    report = LineReport(out)

    report.tick(tally_of(2), 0, 0.2)
    report.tick(tally_of(3), 0, 0.3)
    report.note("waiting", "The server restarts.")
    report.tick(tally_of(3), 0, 0.4)

    shown = out.getvalue().split("\n")
    assert shown[0].endswith("\r\x1b[Kwaiting: The server restarts.")
    assert "sent 3" in shown[1]
    assert "round trip 11 ms" in shown[1]


def test_a_log_speaks_every_half_minute_and_of_events_at_once() -> None:
    out = io.StringIO()
    report = LogReport(out)

    for second in range(60):
        report.tick(tally_of(1), 0, float(second))
    report.note("waiting", "The server restarts.")

    lines = out.getvalue().splitlines()
    assert [line.count("event=camera.status") for line in lines] == [1, 1, 0]
    assert 'message="The server restarts."' in lines[2]
