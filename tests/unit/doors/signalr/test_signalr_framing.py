"""Where messages begin and end, whatever pieces they come in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.doors.signalr.framing import LengthSplitter, RecordSplitter, Splitter, end_record, prefix_length
from mediafleet.doors.signalr.messages import ProtocolFault

LIMIT = 300
BODIES = st.lists(st.binary(max_size=LIMIT).map(lambda body: body.replace(b"\x1e", b"-")), max_size=12)
CUTS = st.lists(st.integers(0, 4000), max_size=30)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut data at these places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def read_all(splitter: Splitter, pieces: list[bytes]) -> list[bytes]:
    found: list[bytes] = []
    for piece in pieces:
        splitter.feed(piece)
        while (message := splitter.next()) is not None:
            found.append(message)
    return found


@given(BODIES, CUTS)
def test_records_come_whole_however_they_were_cut_and_glued(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(end_record, bodies))
    assert read_all(RecordSplitter(LIMIT), pieces_of(stream, cuts)) == bodies


@given(BODIES, CUTS)
def test_bodies_with_lengths_come_whole_however_they_were_cut_and_glued(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(prefix_length, bodies))
    assert read_all(LengthSplitter(LIMIT), pieces_of(stream, cuts)) == bodies


@pytest.mark.parametrize(
    ("length", "prefix"),
    [(0, b"\x00"), (0x35, b"\x35"), (127, b"\x7f"), (128, b"\x80\x01"), (5248, b"\x80\x29"), (70_000, b"\xf0\xa2\x04")],
)
def test_lengths_are_those_of_the_specification(length: int, prefix: bytes) -> None:
    assert prefix_length(bytes(length)) == prefix + bytes(length)


@pytest.mark.parametrize("splitter", [RecordSplitter(8), LengthSplitter(8)])
def test_a_message_of_the_limit_passes_and_one_byte_more_does_not(splitter: Splitter) -> None:
    wrap = end_record if isinstance(splitter, RecordSplitter) else prefix_length
    assert read_all(splitter, [wrap(b"12345678")]) == [b"12345678"]
    with pytest.raises(ProtocolFault, match="8B was exceeded"):
        read_all(splitter, [wrap(b"123456789")])


def test_a_record_without_an_end_is_refused_once_it_is_too_large() -> None:
    splitter = RecordSplitter(8)
    assert read_all(splitter, [b"x"] * 8) == []
    splitter.feed(b"x")
    with pytest.raises(ProtocolFault):
        splitter.next()


def test_a_length_that_is_too_large_is_refused_before_anything_of_it_came() -> None:
    splitter = LengthSplitter(8)
    splitter.feed(b"\xff\xff\xff\xff\x07")
    with pytest.raises(ProtocolFault, match="exceeded"):
        splitter.next()


def test_a_length_without_an_end_is_refused() -> None:
    splitter = LengthSplitter(8)
    splitter.feed(b"\x80\x80\x80\x80")
    assert splitter.next() is None
    splitter.feed(b"\x80")
    with pytest.raises(ProtocolFault, match="no end"):
        splitter.next()


def test_what_is_left_is_given_back_once() -> None:
    splitter = RecordSplitter(8)
    assert read_all(splitter, [b"one\x1etw"]) == [b"one"]
    assert splitter.rest() == b"tw"
    assert splitter.rest() == b""
    assert read_all(splitter, [b"three\x1e"]) == [b"three"]
