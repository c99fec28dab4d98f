"""Messages in both encodings, against the examples of the specification."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.doors.signalr import messages as m
from mediafleet.doors.signalr.codecs import Codec, Unwritable, open_codec
from mediafleet.doors.signalr.framing import end_record, prefix_length
from mediafleet.doors.signalr.messages import HubMessage, ProtocolFault

IDS = st.text(min_size=1, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.lists(VALUES, max_size=3)
STREAMS = st.lists(IDS, max_size=2)
MESSAGES = st.one_of(
    st.builds(m.Invocation, IDS, ARGUMENTS, st.none() | IDS, STREAMS),
    st.builds(m.StreamInvocation, IDS, IDS, ARGUMENTS, STREAMS),
    st.builds(m.StreamItem, IDS, VALUES),
    st.builds(m.Completion, IDS, VALUES),
    st.builds(m.Completion, IDS, error=st.text(max_size=8)),
    st.builds(m.CancelInvocation, IDS),
    st.just(m.Ping()),
    st.builds(m.Close, st.none() | st.text(max_size=8), st.booleans()),
    st.builds(m.Ack, st.integers(0, 2**53)),
    st.builds(m.Resume, st.integers(0, 2**53)),
)


def read(codec: Codec, data: bytes) -> list[HubMessage]:
    codec.feed(data)
    found: list[HubMessage] = []
    while (message := codec.next()) is not None:
        found.append(message)
    return found


def plain(message: HubMessage) -> Any:
    """Return a message so that lists and tuples are equal."""
    return type(message).__name__, msgspec.json.encode(message)


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\ude00\ud83d\ud83d\ude00", "\ufffd\ufffd\N{GRINNING FACE}"),
        (rb"C:\\ud83d", r"C:\ud83d"),
    ],
)
def test_half_a_character_ends_no_connection(written: bytes, text: str) -> None:
    record = b'{"type":1,"target":"TaskFailed","arguments":[7,"' + written + b'"]}'
    assert read(open_codec("json", limit=32_768), end_record(record)) == [m.Invocation("TaskFailed", [7, text])]


@pytest.mark.parametrize("protocol", ["json", "messagepack"])
@given(sent=st.lists(MESSAGES, max_size=6), cuts=st.lists(st.integers(1, 40), max_size=20))
def test_any_split_of_any_messages_reads_the_same(protocol: str, sent: list[HubMessage], cuts: list[int]) -> None:
    writer, reader = open_codec(protocol, limit=32_768), open_codec(protocol, limit=32_768)
    stream = b"".join(map(writer.encode, sent))
    got: list[HubMessage] = []
    for cut in cuts:
        got += read(reader, stream[:cut])
        stream = stream[cut:]
    got += read(reader, stream)
    assert [plain(message) for message in got] == [plain(message) for message in sent]


JSON_EXAMPLES: list[tuple[str, HubMessage]] = [
    (
        '{"type":1,"invocationId":"123","target":"Send","arguments":[42,"Test Message"]}',
        m.Invocation("Send", [42, "Test Message"], "123"),
    ),
    ('{"type":1,"target":"Send","arguments":[42]}', m.Invocation("Send", [42])),
    (
        '{"type":1,"invocationId":"123","target":"Send","arguments":[42],"streamIds":["1"]}',
        m.Invocation("Send", [42], "123", ["1"]),
    ),
    ('{"type":4,"invocationId":"123","target":"Send","arguments":[]}', m.StreamInvocation("123", "Send", [])),
    ('{"type":2,"invocationId":"123","item":42}', m.StreamItem("123", 42)),
    ('{"type":3,"invocationId":"123"}', m.Completion("123")),
    ('{"type":3,"invocationId":"123","result":42}', m.Completion("123", 42)),
    ('{"type":3,"invocationId":"123","result":null}', m.Completion("123", None)),
    ('{"type":3,"invocationId":"123","error":"It didn\'t work!"}', m.Completion("123", error="It didn't work!")),
    ('{"type":5,"invocationId":"123"}', m.CancelInvocation("123")),
    ('{"type":6}', m.Ping()),
    ('{"type":7}', m.Close()),
    ('{"type":7,"error":"Oh!"}', m.Close("Oh!")),
    ('{"type":7,"error":"Oh!","allowReconnect":true}', m.Close("Oh!", allow_reconnect=True)),
    ('{"type":8,"sequenceId":1394}', m.Ack(1394)),
    ('{"type":9,"sequenceId":1234}', m.Resume(1234)),
]


@pytest.mark.parametrize(("text", "message"), JSON_EXAMPLES)
def test_json_is_that_of_the_specification(text: str, message: HubMessage) -> None:
    codec = open_codec("json", limit=32_768)
    assert codec.encode(message) == end_record(text.encode())
    assert [plain(found) for found in read(codec, end_record(text.encode()))] == [plain(message)]


MSGPACK_EXAMPLES: list[tuple[str, HubMessage]] = [
    ("960180a378797aa66d6574686f64912a90", m.Invocation("method", [42], "xyz")),
    ("960180c0a66d6574686f64912a90", m.Invocation("method", [42])),
    ("960480a378797aa66d6574686f64912a90", m.StreamInvocation("xyz", "method", [42])),
    ("940280a378797a2a", m.StreamItem("xyz", 42)),
    ("950380a378797a01a54572726f72", m.Completion("xyz", error="Error")),
    ("940380a378797a02", m.Completion("xyz")),
    ("950380a378797a032a", m.Completion("xyz", 42)),
    ("930580a378797a", m.CancelInvocation("xyz")),
    ("9106", m.Ping()),
    ("9307a378797ac3", m.Close("xyz", allow_reconnect=True)),
    ("9208cc84", m.Ack(132)),
    ("9209cc93", m.Resume(147)),
]


@pytest.mark.parametrize(("text", "message"), MSGPACK_EXAMPLES)
def test_messagepack_is_that_of_the_specification(text: str, message: HubMessage) -> None:
    codec, body = open_codec("messagepack", limit=32_768), bytes.fromhex(text)
    assert codec.encode(message) == prefix_length(body)
    assert [plain(found) for found in read(codec, prefix_length(body))] == [plain(message)]


def test_messagepack_reads_forms_that_it_does_not_write() -> None:
    codec = open_codec("messagepack", limit=32_768)
    short_close, no_streams, long_ack = "9207a378797a", "950180a378797aa66d6574686f6490", "9208ce00000024"
    found = read(codec, b"".join(prefix_length(bytes.fromhex(text)) for text in (short_close, no_streams, long_ack)))
    assert found == [m.Close("xyz"), m.Invocation("method", [], "xyz"), m.Ack(36)]


def test_headers_are_passed_over_in_both_encodings() -> None:
    text = b'{"headers":{"Authorization":"Bearer x"},"arguments":[],"target":"Go","type":1,"invocationId":""}'
    assert read(open_codec("json", limit=32_768), end_record(text)) == [m.Invocation("Go", [])]
    body = bytes.fromhex("960182a178a179a17aa17aa378797aa66d6574686f64912a90")
    assert read(open_codec("messagepack", limit=32_768), prefix_length(body)) == [m.Invocation("method", [42], "xyz")]


def test_types_and_fields_of_later_versions_are_passed_over() -> None:
    text = end_record(b'{"type":77,"target":5}') + end_record(b'{"type":6,"later":[1]}')
    assert read(open_codec("json", limit=32_768), text) == [m.Ping()]
    assert read(open_codec("messagepack", limit=32_768), bytes.fromhex("03924d2a") + b"\x02\x91\x06") == [m.Ping()]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "6",
        "{}",
        '{"type":"6"}',
        '{"type":1,"target":"Go"}',
        '{"type":1,"arguments":[]}',
        "{",
        '{"type":8}',
        '{"type":1,"target":"Go","arguments":' + "[" * 20000,
        '{"type":1,"target":"Go","arguments":["\\x"]}',
        '{"type":2}',
        '{"type":3}',
        '{"type":4,"target":"Go","arguments":[]}',
        '{"type":5}',
        '{"type":9,"sequenceId":"1"}',
    ],
)
def test_json_that_lacks_something_is_a_fault(text: str) -> None:
    with pytest.raises(ProtocolFault, match="could not be read"):
        read(open_codec("json", limit=32_768), end_record(text.encode()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80",
        b"\xc1",
        b"\x90",
        b"\x91\x01",
        b"\x92\x08",
        b"\xdd\xff\xff\xff\xff\x06",
        b"\x91" * 5000,
        b"\x91\x06\x06",
        b"\x94\x03\x80\xa1x\t",
        b"\x96\x01\x80\xc0\xa1m\x91\xdd\xff\xff\xff\xff\x90",
        b"\x94\x02\x80\xa1\xff\x01",
    ],
)
def test_messagepack_that_lacks_something_is_a_fault(body: bytes) -> None:
    with pytest.raises(ProtocolFault):
        read(open_codec("messagepack", limit=32_768), prefix_length(body))


def test_a_fault_quotes_nothing_of_what_was_sent() -> None:
    with pytest.raises(ProtocolFault) as caught:
        read(open_codec("json", limit=32_768), end_record(b'{"type":1,"target":"Go","arguments":"sEcReT"}'))
    assert "sEcReT" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("protocol", ["json", "messagepack"])
def test_what_has_no_form_is_told_and_not_raised_as_something_else(protocol: str) -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    for value in (object(), {1, object()}, deep, "\ud800"):
        with pytest.raises(Unwritable):
            open_codec(protocol, limit=32_768).encode(m.Completion("1", value))
