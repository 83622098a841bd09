"""Which sightings are news: one match per subject and track, bettered and not repeated."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cordon_server.domain import Sighting
from cordon_server.recognition.decide import DecisionRule
from cordon_server.sessions.visits import MATCHES_PER_STREAM_MAX, News, Visits
from tests.unit.server.rooms import a_sighting

COOL_DOWN_S = 30.0
RULE = DecisionRule(cool_down_s=COOL_DOWN_S)


def _on(track: int | None, entry: str = "s-1", score: float = 0.7) -> Sighting:
    return replace(a_sighting(entry, score), track=track)


class Desk:
    """Logs what is news, as the server does, under rising numbers."""

    def __init__(self, rule: DecisionRule = RULE) -> None:
        self.visits = Visits(rule)
        for stream in ("north/1", "north/2", "south/1", "stills/1"):
            self.visits.came(stream)
        self.matches: dict[int, list[Sighting]] = {}

    def see(self, now_s: float, *sightings: Sighting, stream: str = "north/1") -> list[News]:
        news = self.visits.news(stream, sightings, now_s)
        logged = []
        for each in news:
            match = each.betters or len(self.matches) + 1
            self.matches.setdefault(match, []).append(each.sighting)
            logged.append(match)
        self.visits.logged(stream, news, logged, now_s)
        return news


def test_a_person_on_a_track_is_one_match_that_gets_better() -> None:
    desk = Desk()

    desk.see(0.0, _on(1))
    desk.see(5.0, _on(1, score=0.8))
    desk.see(90.0, _on(1, score=0.9))

    assert list(desk.matches) == [1]
    assert [s.candidate.score for s in desk.matches[1]] == [0.7, 0.8, 0.9]


def test_another_track_of_the_subject_is_silent_until_the_cool_down_is_over() -> None:
    desk = Desk()
    desk.see(0.0, _on(1))

    assert desk.see(COOL_DOWN_S - 0.1, _on(2)) == []
    assert [n.betters for n in desk.see(COOL_DOWN_S, _on(2))] == [None]


def test_the_cool_down_counts_from_when_the_subject_was_last_seen_to_match() -> None:
    desk = Desk()
    desk.see(0.0, _on(1))
    desk.see(20.0, _on(1, score=0.8))

    assert desk.see(COOL_DOWN_S, _on(2)) == []
    assert len(desk.see(20.0 + COOL_DOWN_S, _on(2))) == 1


def test_the_cool_down_holds_across_the_cameras_of_a_deployment() -> None:
    desk = Desk()
    desk.see(0.0, _on(1), stream="north/1")

    assert desk.see(1.0, _on(1), stream="south/1") == []
    assert len(desk.see(COOL_DOWN_S, _on(1), stream="south/1")) == 1


def test_what_was_silenced_does_not_prolong_the_silence() -> None:
    desk = Desk()
    desk.see(0.0, _on(1))
    for second in range(1, int(COOL_DOWN_S)):
        assert desk.see(float(second), _on(2)) == []

    assert len(desk.see(COOL_DOWN_S, _on(2))) == 1


def test_each_subject_and_each_deployment_cools_down_by_itself() -> None:
    market, station = Desk(), Desk()
    market.see(0.0, _on(1, "s-1"))

    assert len(market.see(0.1, _on(2, "s-2"))) == 1
    assert len(market.see(0.2, _on(1, "s-2"))) == 0
    assert len(station.see(0.1, _on(1, "s-1"))) == 1


def test_without_a_cool_down_every_track_is_a_match() -> None:
    desk = Desk(replace(RULE, cool_down_s=0.0))

    for track in range(1, 6):
        desk.see(0.0, _on(track))

    assert len(desk.matches) == 5


def test_still_pictures_are_never_silent() -> None:
    desk = Desk()

    for _ in range(5):
        assert [n.betters for n in desk.see(0.0, _on(None))] == [None]

    assert len(desk.matches) == 5


def test_stills_do_not_silence_a_video_camera() -> None:
    desk = Desk()
    desk.see(0.0, _on(None), stream="stills/1")

    assert len(desk.see(0.1, _on(1))) == 1


def test_what_could_not_be_logged_is_news_again() -> None:
    visits = Visits(RULE)
    visits.came("north/1")

    first = visits.news("north/1", [_on(1)], 0.0)

    assert visits.news("north/1", [_on(1)], 0.1) == first


def test_a_match_is_bettered_only_when_it_is_clearly_better_than_what_was_logged() -> None:
    desk = Desk()
    desk.see(0.0, _on(1, score=0.6))

    assert desk.see(1.0, _on(1, score=0.62)) == []
    assert desk.see(2.0, _on(1, score=0.55)) == []
    assert [n.betters for n in desk.see(3.0, _on(1, score=0.64))] == [1]
    assert desk.see(4.0, _on(1, score=0.64)) == []


def test_a_bettering_that_could_not_be_logged_is_news_again() -> None:
    desk = Desk()
    desk.see(0.0, _on(1, score=0.6))
    failed = desk.visits.news("north/1", [_on(1, score=0.7)], 1.0)

    assert [n.betters for n in failed] == [1]
    assert desk.see(2.0, _on(1, score=0.7)) == failed


def test_who_was_silenced_on_a_track_is_a_match_of_it_after_the_cool_down() -> None:
    desk = Desk()
    desk.see(0.0, _on(1))
    seen = [desk.see(float(second), _on(2)) for second in range(1, 60)]

    assert [at for at, news in enumerate(seen, 1) if news] == [COOL_DOWN_S]
    assert len(desk.matches) == 2


def test_a_camera_that_left_is_forgotten_and_the_others_are_not() -> None:
    desk = Desk(replace(RULE, cool_down_s=0.0))
    desk.see(0.0, _on(1), stream="north/1")
    desk.see(0.0, _on(1), stream="south/1")

    desk.visits.left("north/1")

    assert len(desk.visits) == 1
    assert [n.betters for n in desk.see(1.0, _on(1, score=0.9), stream="south/1")] == [2]


def test_of_a_camera_that_left_nothing_is_remembered_again() -> None:
    desk = Desk()
    desk.visits.left("north/1")

    desk.see(1.0, _on(1), stream="north/1")

    assert len(desk.visits) == 0
    assert desk.see(2.0, _on(1), stream="south/1") == []  # the subject cools down all the same


def test_a_stream_of_any_length_is_remembered_in_bounds() -> None:
    desk = Desk(replace(RULE, cool_down_s=0.0))

    for track in range(MATCHES_PER_STREAM_MAX + 10):
        desk.see(float(track), _on(track))
        if track:
            desk.see(float(track), _on(0, score=0.7 + track))  # still there, and bettered

    assert len(desk.visits) == MATCHES_PER_STREAM_MAX
    assert [n.betters for n in desk.see(2e4, _on(0, score=1e6))] == [1]


def test_a_camera_that_comes_back_does_not_raise_the_same_person_at_once() -> None:
    desk = Desk()
    desk.see(0.0, _on(1), stream="north/1")
    desk.visits.left("north/1")

    assert desk.see(5.0, _on(1), stream="north/2") == []


@given(
    st.lists(
        st.tuples(
            st.floats(0, 20),
            st.sampled_from(["north/1", "south/1"]),
            st.integers(1, 3),
            st.sampled_from(["s-1", "s-2"]),
        )
    )
)
def test_one_match_per_subject_and_track_and_never_two_new_ones_within_a_cool_down(
    seen: list[tuple[float, str, int, str]],
) -> None:
    desk, now_s = Desk(), 0.0
    raised: dict[str, list[float]] = {}
    tracks: set[tuple[str, int, str]] = set()
    for pause_s, stream, track, entry in seen:
        now_s += pause_s
        for each in desk.see(now_s, _on(track, entry), stream=stream):
            if each.betters is None:
                assert (stream, track, entry) not in tracks
                tracks.add((stream, track, entry))
                raised.setdefault(entry, []).append(now_s)

    for times in raised.values():
        gaps = [b - a for a, b in itertools.pairwise(times)]
        assert all(gap >= COOL_DOWN_S for gap in gaps)
