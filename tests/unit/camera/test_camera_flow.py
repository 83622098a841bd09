"""The rules of sending: credit, pace, what is answered, what is sent again."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cordon_camera.flow import Flow
from cordon_camera.slot import Slot
from cordon_camera.sources.picture import Picture

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def picture(name: str) -> Picture:
    return Picture(_NOW, jpeg=b"\xff\xd8", name=name)


def test_nothing_may_be_sent_before_credit() -> None:
    flow = Flow(every_picture=False)
    flow.connected()

    assert flow.wait_s(0.0) is None

    flow.credited(1)
    assert flow.wait_s(0.0) == 0


def test_only_credit_after_none_changes_whether_one_may_send() -> None:
    flow = Flow(every_picture=False)
    flow.connected()

    assert flow.credited(1)
    assert not flow.credited(1)
    flow.send(picture("x"), 0.0)
    flow.send(picture("y"), 0.0)
    assert flow.credited(1)


def test_sequences_rise_from_one_in_every_stream() -> None:
    flow = Flow(every_picture=False)
    for _ in range(2):
        flow.connected()
        flow.credited(3)

        assert [flow.send(picture("x"), 0.0) for _ in range(3)] == [1, 2, 3]


def test_credit_does_not_outlive_its_stream() -> None:
    flow = Flow(every_picture=True)
    flow.connected()
    flow.credited(5)

    flow.connected()

    assert flow.wait_s(0.0) is None


def test_video_that_a_lost_stream_left_unanswered_is_counted_and_not_sent_again() -> None:
    flow = Flow(every_picture=False)
    flow.connected()
    flow.credited(2)
    flow.send(picture("a"), 0.0)
    flow.send(picture("b"), 0.0)

    flow.connected()

    assert flow.lost == 2
    assert flow.take_again() is None


def test_a_picture_that_was_not_sent_after_all_gives_its_credit_back() -> None:
    flow = Flow(every_picture=True)
    flow.connected()
    flow.credited(1)

    flow.withdraw(flow.send(picture("a"), 0.0))

    assert flow.wait_s(0.0) == 0
    assert flow.in_flight == 0


def test_an_answer_to_an_unknown_sequence_changes_nothing() -> None:
    flow = Flow(every_picture=True)
    flow.connected()

    assert flow.answered(7) is None


@given(
    own=st.sampled_from([0.0, 5.0, 12.5]),
    advised=st.sampled_from([0.0, 4.0, 25.0]),
    offers=st.lists(st.floats(0.0, 0.5), min_size=5, max_size=60),
)
def test_no_second_sees_more_frames_than_the_lower_of_both_rates(
    own: float, advised: float, offers: list[float]
) -> None:
    flow = Flow(every_picture=False, fps_max=own)
    flow.connected()
    flow.credited(1000)
    flow.advised(advised)
    now_s, sent_s = 0.0, []
    for gap_s in offers:
        now_s += gap_s
        if flow.wait_s(now_s) == 0:
            flow.send(picture("x"), now_s)
            sent_s.append(now_s)

    rates = [rate for rate in (own, advised) if rate]
    if rates:
        for start_s in sent_s:
            within = [s for s in sent_s if start_s <= s < start_s + 1]
            # A frame that comes late does not delay the next: at most one more than the rate.
            assert len(within) <= min(rates) + 2


class StillsAgainstAServer(RuleBasedStateMachine):
    """Whatever is cut and whenever, each still is answered exactly once, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = Flow(every_picture=True)
        self.source = [picture(str(index)) for index in range(12)]
        self.on_the_wire: dict[int, Picture] = {}
        self.answered: list[str] = []
        self.credit = 0
        self.reconnect()

    @rule()
    def reconnect(self) -> None:
        self.flow.connected()
        self.on_the_wire.clear()
        self.credit = 0

    @rule(frames=st.integers(1, 3))
    def grant(self, frames: int) -> None:
        self.flow.credited(frames)
        self.credit += frames

    @precondition(lambda self: self.flow.wait_s(0.0) == 0)
    @rule()
    def send(self) -> None:
        again = self.flow.take_again()
        if again is None and not self.source:
            self.flow.source_ended()
            return
        taken = again or self.source.pop(0)
        self.on_the_wire[self.flow.send(taken, 0.0)] = taken
        self.credit -= 1

    @precondition(lambda self: self.on_the_wire)
    @rule()
    def answer(self) -> None:
        sequence = min(self.on_the_wire)
        self.answered.append(self.on_the_wire.pop(sequence).name)
        assert self.flow.answered(sequence) is not None

    @invariant()
    def credit_is_never_overdrawn(self) -> None:
        assert self.credit >= 0

    @invariant()
    def answers_are_in_order_and_each_once(self) -> None:
        assert self.answered == [str(index) for index in range(len(self.answered))]

    @invariant()
    def finished_means_every_still_was_answered(self) -> None:
        if self.flow.is_finished(slot_is_empty=not self.source):
            assert len(self.answered) == 12


TestStillsAgainstAServer = StillsAgainstAServer.TestCase
TestStillsAgainstAServer.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.booleans(), max_size=80))
def test_the_slot_of_a_video_always_gives_the_newest_picture_and_counts_the_rest(
    puts_and_takes: list[bool],
) -> None:
    slot = Slot(newest_wins=True)
    offered, taken = 0, []
    for is_put in puts_and_takes:
        if is_put:
            slot.put(picture(str(offered)))
            offered += 1
        elif (got := slot.take()) is not None:
            assert got.name == str(offered - 1)
            taken.append(got.name)

    assert slot.replaced + len(taken) + (not slot.is_empty) == offered
    assert len(set(taken)) == len(taken)


def test_a_closed_slot_takes_nothing_in_but_gives_what_waits() -> None:
    slot = Slot(newest_wins=False)
    slot.put(picture("a"))
    slot.close()

    assert not slot.put(picture("b"))
    got = slot.take()
    assert got is not None
    assert got.name == "a"
