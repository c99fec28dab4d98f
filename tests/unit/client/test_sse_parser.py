"""The parser reads what the HTML standard says, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.client.sse import MAX_MESSAGE_CHARS, SseMessage, SseParser
from mediafleet.domain.errors import SchedulerUnavailable


def parse(raw: bytes) -> list[SseMessage]:
    return list(SseParser().feed(raw))


def test_a_message_has_its_event_data_and_id() -> None:
    assert parse(b"id: 7-0\nevent: job.accepted\ndata: {}\n\n") == [SseMessage("job.accepted", "{}", "7-0")]


def test_data_lines_are_joined_by_newlines() -> None:
    assert parse(b"data: a\ndata:b\n\n")[0].data == "a\nb"


def test_only_one_space_after_the_colon_is_dropped() -> None:
    assert parse(b"data:  a\n\n")[0].data == " a"


def test_comments_and_unknown_fields_are_ignored() -> None:
    assert parse(b": alive\n\nfoo: bar\ndata: x\n\n") == [SseMessage("message", "x", "")]


def test_a_block_without_data_is_no_message_but_keeps_its_id() -> None:
    parser = SseParser()
    assert not list(parser.feed(b"id: 3\nevent: x\n\n"))
    assert parser.last_id == "3"
    assert list(parser.feed(b"data: y\n\n")) == [SseMessage("message", "y", "3")]


def test_an_unfinished_message_is_not_dispatched() -> None:
    assert parse(b"data: x\n") == []


def test_the_servers_reconnection_time_is_noted_and_nonsense_is_not() -> None:
    parser = SseParser()
    list(parser.feed(b"retry: 1500\nretry: soon\n\n"))
    assert parser.retry_ms == 1500


def test_an_id_with_a_null_is_ignored() -> None:
    parser = SseParser()
    list(parser.feed(b"id: 1\nid: 2\0\n\n"))
    assert parser.last_id == "1"


def test_a_byte_order_mark_at_the_start_is_skipped() -> None:
    assert parse(b"\xef\xbb\xbfdata: x\n\n")[0].data == "x"


def test_an_endless_message_is_refused() -> None:
    parser = SseParser()
    with pytest.raises(SchedulerUnavailable, match="endless"):
        list(parser.feed(b"data: " + b"x" * (MAX_MESSAGE_CHARS + 1)))


def test_an_endless_line_is_refused_however_small_its_pieces() -> None:
    parser, piece = SseParser(), b"x" * (1 << 20)
    with pytest.raises(SchedulerUnavailable, match="may not be a mediafleet scheduler"):
        for _ in range(MAX_MESSAGE_CHARS // len(piece) + 2):
            list(parser.feed(piece))


def test_many_messages_together_may_be_longer_than_one() -> None:
    message = b"data: " + b"x" * (MAX_MESSAGE_CHARS // 3) + b"\n\n"
    parser = SseParser()
    assert sum(len(list(parser.feed(message))) for _ in range(5)) == 5


def test_an_empty_data_line_is_a_message_without_text() -> None:
    assert parse(b"data\n\n") == [SseMessage("message", "", "")]
    assert parse(b"data:\ndata:\n\n")[0].data == "\n"


def test_an_event_name_is_forgotten_after_its_message() -> None:
    assert [m.event for m in parse(b"event: a\ndata: 1\n\ndata: 2\n\n")] == ["a", "message"]


def test_an_id_stays_until_another_or_an_empty_one() -> None:
    assert [m.id for m in parse(b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n")] == ["1", "1", ""]


def test_the_last_field_of_a_name_counts() -> None:
    assert parse(b"event: a\nevent: b\nid: 1\nid: 2\ndata: x\n\n") == [SseMessage("b", "x", "2")]


def test_a_line_end_cut_in_two_is_one_line_end() -> None:
    parser = SseParser()
    assert not list(parser.feed(b"data: a\r"))
    assert not list(parser.feed(b"\ndata: b\r"))
    assert [m.data for m in parser.feed(b"\n\r\n")] == ["a\nb"]


def test_a_character_cut_in_two_is_one_character() -> None:
    parser = SseParser()
    raw = "data: é\n\n".encode()
    assert not list(parser.feed(raw[:7]))
    assert [m.data for m in parser.feed(raw[7:])] == ["é"]


def test_bytes_that_are_no_text_are_marked_and_harm_nothing_else() -> None:
    assert [m.data for m in parse(b"data: a\xffb\n\ndata: c\n\n")] == ["a\ufffdb", "c"]


def test_only_the_line_ends_of_the_standard_end_a_line() -> None:
    assert parse("data: a\u2028b\x0bc\x85d\n\n".encode())[0].data == "a\u2028b\x0bc\x85d"


@pytest.mark.parametrize("field", ["retry: -1", "retry: 1.5", "retry: ٣", "retry:", "retry: 1 "])
def test_a_reconnection_time_that_is_no_number_is_ignored(field: str) -> None:
    parser = SseParser()
    list(parser.feed(f"{field}\n\n".encode()))
    assert parser.retry_ms is None


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(raw: bytes) -> None:
    whole, cut = SseParser(), SseParser()
    messages = list(whole.feed(raw))
    assert [m for at in range(len(raw)) for m in cut.feed(raw[at : at + 1])] == messages
    assert cut.last_id == whole.last_id


text = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)


@given(
    messages=st.lists(st.tuples(text.filter(bool), text, text), max_size=4),
    ends=st.sampled_from(["\n", "\r\n", "\r"]),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_any_cut_of_the_bytes_gives_the_same_messages(
    messages: list[tuple[str, str, str]], ends: str, cuts: list[int]
) -> None:
    lines = [line for event, data, last in messages for line in (f"id: {last}", f"event: {event}", f"data: {data}", "")]
    # The last line end of a stream that ends lines with CR waits for a LF that may follow; a comment settles it.
    raw = "".join(line + ends for line in [*lines, ":"]).encode()
    parser, found, start = SseParser(), list[SseMessage](), 0
    for cut in [*sorted(cut for cut in cuts if cut < len(raw)), len(raw)]:
        found += parser.feed(raw[start:cut])
        start = cut
    assert found == [SseMessage(event, data, last) for event, data, last in messages]
