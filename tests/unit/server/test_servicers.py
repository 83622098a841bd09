"""Values of the wire that no field rule can refuse, and what the servicers make of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.api import convert, convert_deployment, match_messages
from cordon_server.api.matches import _token_sequence
from cordon_server.domain import InvalidInput

ANY_SECONDS = st.integers(-(2**63), 2**63 - 1)
ANY_NANOS = st.integers(-(2**31), 2**31 - 1)


@given(ANY_SECONDS | st.integers(-70_000_000_000, 300_000_000_000), ANY_NANOS)
def test_any_timestamp_is_a_moment_or_the_callers_fault(seconds: int, nanos: int) -> None:
    try:
        moment = convert.moment(Timestamp(seconds=seconds, nanos=nanos), "sent_at")
    except InvalidInput:
        return
    assert moment.tzinfo is UTC


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_survive_the_wire(moment: datetime) -> None:
    assert convert.moment(convert.timestamp(moment), "sent_at") == moment


@given(st.text(min_size=1, max_size=60))
def test_page_tokens_lead_back_to_the_item(last: str) -> None:
    assert convert.after_token(convert.page_token(last)) == last


@given(st.from_regex(r"[A-Za-z0-9._=-]{0,128}", fullmatch=True))
def test_any_token_is_read_or_the_callers_fault(token: str) -> None:
    for read in (convert.after_token, _token_sequence):
        try:
            read(token)
        except InvalidInput as refused:
            assert refused.field == "page_token"  # noqa: PT017  # or none is raised


@pytest.mark.parametrize("last", ["9" * 90, "-1", "1.5", "x", str(2**64)])
def test_a_token_that_is_no_sequence_is_refused(last: str) -> None:
    with pytest.raises(InvalidInput):
        _token_sequence(convert.page_token(last))


def test_every_state_and_reason_has_its_word_on_the_wire() -> None:
    tables: tuple[Mapping[Any, Any], ...] = (
        convert.OUTCOMES,
        convert.HALT_REASONS,
        convert_deployment.STATES,
        convert_deployment.HALT_CAUSES,
        match_messages.DECISIONS_BACK,
        match_messages.GROUNDS_BACK,
        match_messages.OUTCOMES_BACK,
        convert.REASON_CODES,
    )
    for table in tables:
        kinds: set[Any] = {type(each) for each in table if not isinstance(each, int)}
        for kind in kinds:
            assert set(kind) == set(table), kind
        assert len({str(each) for each in table.values()}) == len(table)
        assert 0 not in table.values()
