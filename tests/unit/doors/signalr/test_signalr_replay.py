"""What a stateful reconnect repeats, against a model that keeps everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.doors.signalr.messages import ProtocolFault
from mediafleet.doors.signalr.replay import ReceivedCount, SentLog

STEPS = st.lists(
    st.one_of(st.tuples(st.just("send"), st.integers(1, 9)), st.tuples(st.just("ack"), st.integers(0, 40)))
)


@given(STEPS)
def test_what_is_kept_is_the_end_of_what_was_sent_and_whole_as_long_as_it_says_so(steps: list[tuple[str, int]]) -> None:
    log, sent, acknowledged = SentLog(30), list[bytes](), 0
    for step, number in steps:
        if step == "send":
            sent.append(bytes(number))
            log.add(sent[-1])
        else:
            log.acknowledge(number)
            acknowledged = max(acknowledged, min(number, len(sent)))
        kept = log.replay()
        assert kept == sent[log.first - 1 :]
        assert sum(map(len, kept)) <= 30
        assert log.first > acknowledged
        assert log.is_whole == (kept == sent[acknowledged:])


@given(st.lists(st.integers(1, 30), max_size=20))
def test_each_message_is_new_once_whatever_is_repeated(resumes: list[int]) -> None:
    count, number, handled = ReceivedCount(), 1, list[int]()
    for resume in resumes:
        if resume <= number:
            count.align(resume)
            number = resume
        for _ in range(3):
            if count.is_new():
                handled.append(number)
            number += 1
    assert handled == list(range(1, len(handled) + 1))
    assert count.latest == len(handled)


@pytest.mark.parametrize("number", [-5, 0, 4])
def test_a_number_that_cannot_be_is_refused(number: int) -> None:
    count = ReceivedCount()
    assert count.is_new()
    assert count.is_new()
    with pytest.raises(ProtocolFault):
        count.align(number)
