"""Numbers on frames: whatever happens to the requests that carry them, each arrives once and in order."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.doors.push import sequence
from mediafleet.doors.push.messages import Frames
from mediafleet.doors.push.sequence import Incoming, Outgoing

FAULTS = st.lists(
    st.sampled_from(["fine", "request lost", "answer lost", "came twice", "came late", "no room"]), max_size=60
)


def numbered(first: int, *frames: bytes) -> Frames:
    return Frames(first, tuple(msgspec.Raw(frame) for frame in frames))


@given(st.lists(st.integers(0, 3), max_size=30), FAULTS)
def test_every_frame_arrives_once_and_in_order(bursts: list[int], faults: list[str]) -> None:
    outgoing, incoming = Outgoing(), Incoming()
    sent, arrived = list[bytes](), list[bytes]()
    late: list[Frames] = []
    for index in range(max(len(bursts), len(faults))):
        for _ in range(bursts[index] if index < len(bursts) else 0):
            sent.append(str(len(sent)).encode())
            outgoing.add(sent[-1])
        batch, fault = outgoing.batch(), faults[index] if index < len(faults) else "fine"
        if fault == "came late":
            late.append(batch)
        if fault in {"request lost", "came late"}:
            continue
        arrived += incoming.take(batch, room=1 if fault == "no room" else 1_000)
        if fault == "came twice":
            arrived += incoming.take(batch)
        if fault != "answer lost":
            outgoing.confirm(incoming.received)
    for batch in late:
        arrived += incoming.take(batch)
    arrived += incoming.take(outgoing.batch())
    outgoing.confirm(incoming.received)
    assert arrived == sent
    assert not outgoing


def test_a_gap_takes_nothing() -> None:
    incoming = Incoming()
    assert incoming.take(numbered(2, b"2")) == ()
    assert incoming.received == 0
    assert list(incoming.take(numbered(1, b"1", b"2"))) == [b"1", b"2"]


def test_a_batch_ends_where_a_body_is_full_but_has_one_frame_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "BATCH_BYTES", 10)
    outgoing = Outgoing()
    for size in (12, 6, 4, 1):
        outgoing.add(b"x" * size)
    sizes: list[list[int]] = []
    while outgoing:
        batch = outgoing.batch()
        sizes.append([len(bytes(frame)) for frame in batch.frames])
        outgoing.confirm(batch.first + len(batch.frames) - 1)
    assert sizes == [[12], [6, 4], [1]]
    assert not outgoing.is_full


def test_a_confirmation_of_frames_that_were_never_sent_forgets_none() -> None:
    outgoing = Outgoing()
    outgoing.add(b"1")
    outgoing.confirm(2)
    assert len(outgoing) == 1
    outgoing.confirm(1)
    outgoing.confirm(0)
    assert not outgoing


def test_a_side_is_full_by_count_or_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence, "MOST_WAITING_FRAMES", 2)
    monkeypatch.setattr(sequence, "BATCH_BYTES", 10)
    outgoing = Outgoing()
    outgoing.add(b"1")
    assert not outgoing.is_full
    outgoing.add(b"2")
    assert outgoing.is_full
    outgoing.confirm(2)
    outgoing.add(b"x" * 10)
    assert outgoing.is_full
