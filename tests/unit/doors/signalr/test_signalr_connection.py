"""The hub protocol line by line, on the machine alone: bytes and times in, messages and events out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests_support.signalr_parts import Driver, call, record

from mediafleet.doors.signalr.connection import MOST_WAITING_CALLS, Closed, Connected, Invoked, Phase
from mediafleet.doors.signalr.framing import prefix_length
from mediafleet.ops.settings import SignalrSettings


def invoked(driver: Driver) -> list[tuple[str, tuple[Any, ...]]]:
    """Return the calls that the machine told since the last look."""
    return [(event.method.name, event.arguments) for event in driver.events() if isinstance(event, Invoked)]


# The handshake.


@pytest.mark.parametrize("version", [0, 1, 2])
def test_all_versions_that_clients_say_are_taken(version: int) -> None:
    driver = Driver()
    assert driver.give(record(protocol="json", version=version)) == [{}]
    assert driver.events() == [Connected()]
    assert not driver.machine.is_binary


def test_the_handshake_may_come_byte_by_byte_and_glued_to_the_first_call() -> None:
    driver, got = Driver(), list[Any]()
    for byte in record(protocol="json", version=1) + call("Echo", 5, invocationId="1"):
        got += driver.give(bytes([byte]))
    assert got == [{}]
    assert invoked(driver) == [("Echo", (5,))]
    glued = Driver()
    assert glued.give(record(protocol="json", version=1) + call("Nope", invocationId="1"))[0] == {}


def test_messagepack_is_chosen_by_a_handshake_in_json() -> None:
    driver = Driver().shake("messagepack")
    assert driver.machine.is_binary
    driver.machine.receive(prefix_length(msgspec.msgpack.encode([1, {}, "1", "Echo", [b"\x00\x1e"], []])), 0.0)
    assert invoked(driver) == [("Echo", (b"\x00\x1e",))]
    driver.machine.complete(0.0, result=b"\x01")
    (body,) = driver.machine.take_output()
    assert msgspec.msgpack.decode(body[1:]) == [3, {}, "1", 3, b"\x01"]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (record(protocol="xml", version=1), "The protocol 'xml' is not supported."),
        (record(protocol="json", version=3), "The server does not support version 3 of the 'json' protocol."),
        (record(protocol="json", version=-1), "The server does not support version -1 of the 'json' protocol."),
        (record(type=6), "An unexpected error occurred during connection handshake."),
        (b"\x1e", "An unexpected error occurred during connection handshake."),
        (b"\xff\x00\x1e", "An unexpected error occurred during connection handshake."),
        (b"x" * 40_000, "The maximum message size of 32768B was exceeded."),
    ],
)
def test_a_handshake_that_cannot_be_is_answered_with_the_reason_and_the_end(request_: bytes, error: str) -> None:
    driver = Driver()
    assert driver.give(request_) == [{"error": error}]
    assert driver.events() == [Closed(error)]
    assert driver.give(call("Echo", 1, invocationId="1")) == []


def test_a_transport_of_text_refuses_messagepack() -> None:
    (answer,) = Driver(is_text_only=True).give(record(protocol="messagepack", version=1))
    assert "does not support 'Binary' transfer format" in answer["error"]


def test_the_handshake_has_15_seconds_however_busy_the_client_is() -> None:
    driver = Driver()
    driver.wait(14.9)
    driver.give(b'{"protocol"')
    assert driver.wait(0.05) == []
    assert driver.wait(0.05) == [{"error": "Handshake was canceled."}]
    assert driver.events() == [Closed("Handshake was canceled.")]
    assert driver.machine.deadline is None


# Calls.


def test_a_call_is_told_and_completed_with_its_result() -> None:
    driver = Driver().shake()
    assert driver.give(call("Add", 40, 2, invocationId="42")) == []
    assert invoked(driver) == [("Add", (40, 2))]
    assert driver.complete(result=42) == [{"type": 3, "invocationId": "42", "result": 42}]


def test_a_call_without_a_result_or_with_an_error_is_completed_so() -> None:
    driver = Driver().shake()
    driver.give(call("Note", "a", invocationId="1") + call("Note", "b", invocationId="2"))
    assert driver.complete() == [{"type": 3, "invocationId": "1"}]
    assert driver.complete(error="no") == [{"type": 3, "invocationId": "2", "error": "no"}]


@pytest.mark.parametrize("no_id", [{}, {"invocationId": None}, {"invocationId": ""}])
def test_a_call_without_an_id_is_never_answered(no_id: dict[str, Any]) -> None:
    driver = Driver().shake()
    assert driver.give(call("Note", "a", **no_id)) == []
    assert invoked(driver) == [("Note", ("a",))]
    assert driver.complete() == []
    assert driver.give(call("Nope", **no_id) + call("Note", **no_id) + call("Note", 5, **no_id)) == []
    assert driver.machine.phase is Phase.OPEN


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (call("Nope", invocationId="1"), "Unknown hub method 'Nope'"),
        (call("Add", 1, invocationId="1"), "Invocation provides 1 argument(s) but target expects 2."),
        (call("Add", 1, 2, 3, invocationId="1"), "Invocation provides 3 argument(s) but target expects 2."),
        (call("Add", 1, "2", invocationId="1"), "An argument has another type"),
        (call("Add", 1, 2, invocationId="1", streamIds=["5"]), "Client sent 1 stream(s), Hub method expects 0."),
        (
            record(type=4, target="Echo", arguments=[1], invocationId="1"),
            "non-streaming 'Echo' method with a streaming",
        ),
        (record(type=4, target="Nope", arguments=[], invocationId="1"), "Unknown hub method 'Nope'"),
    ],
)
def test_a_call_that_cannot_be_is_completed_with_an_error_and_the_connection_stays(data: bytes, error: str) -> None:
    driver = Driver().shake()
    (answer,) = driver.give(data)
    assert (answer["type"], answer["invocationId"]) == (3, "1")
    assert error in answer["error"]
    assert "result" not in answer
    assert driver.events() == []
    driver.give(call("Echo", 1, invocationId="2"))
    assert driver.complete(result=1) == [{"type": 3, "invocationId": "2", "result": 1}]


def test_letter_case_of_a_method_does_not_count() -> None:
    driver = Driver().shake()
    driver.give(call("eCHO", 1, invocationId="1"))
    assert invoked(driver) == [("Echo", (1,))]


def test_calls_are_told_one_by_one_in_order() -> None:
    driver = Driver().shake()
    driver.give(b"".join(call("Echo", number, invocationId=str(number)) for number in range(5)))
    for number in range(5):
        assert invoked(driver) == [("Echo", (number,))]
        assert driver.complete(result=number) == [{"type": 3, "invocationId": str(number), "result": number}]
    assert invoked(driver) == []


def test_while_calls_wait_no_more_is_read_and_the_client_is_not_taken_for_silent() -> None:
    driver = Driver().shake()
    driver.give(call("Echo", 1) * 20)
    assert not driver.machine.wants_input
    assert len(driver.machine._waiting) == MOST_WAITING_CALLS
    assert [sent["type"] for sent in driver.wait(300.0)] == [6] * 20
    assert driver.machine.phase is Phase.OPEN
    for _ in range(20):
        driver.complete()
    assert driver.machine.wants_input
    driver.wait(29.0)
    assert driver.machine.phase is Phase.OPEN


def test_a_result_that_cannot_be_written_is_an_error() -> None:
    driver = Driver().shake()
    driver.give(call("Echo", 1, invocationId="1"))
    (answer,) = driver.complete(result=object())
    assert "cannot be written" in answer["error"]


def test_streams_and_results_that_nobody_waits_for_are_passed_over() -> None:
    driver = Driver().shake()
    for data in (
        record(type=2, invocationId="9", item=1),
        record(type=3, invocationId="9", result=1),
        record(type=3, invocationId="9", result=1, error="both"),
        record(type=5, invocationId="9"),
        record(type=6),
        record(type=8, sequenceId=5),
        record(type=9, sequenceId=5),
        record(type=99),
    ):
        assert driver.give(data) == []
    assert driver.machine.phase is Phase.OPEN


def test_a_call_that_is_cancelled_still_has_its_completion() -> None:
    driver = Driver().shake()
    driver.give(call("Echo", 1, invocationId="1") + record(type=5, invocationId="1"))
    assert driver.complete(result=1) == [{"type": 3, "invocationId": "1", "result": 1}]


def test_calls_of_the_client_go_out_without_an_id() -> None:
    driver = Driver().shake()
    assert driver.machine.call("Acknowledge", [5], 0.0)
    assert driver.answers() == [{"type": 1, "target": "Acknowledge", "arguments": [5]}]


# Time.


def test_a_ping_is_sent_after_15_silent_seconds_and_not_before() -> None:
    driver = Driver().shake()
    assert driver.wait(14.9) == []
    assert driver.wait(0.2) == [{"type": 6}]
    driver.give(record(type=6))
    driver.wait(10.0)
    assert driver.machine.call("Hello", [], driver.at)
    driver.answers()
    assert driver.wait(14.8) == []


def test_messagepack_pings_are_exactly_two_bytes_with_their_length() -> None:
    driver = Driver().shake("messagepack")
    driver.at = 15.0
    driver.machine.tick(15.0)
    assert driver.machine.take_output() == [b"\x02\x91\x06"]


def test_pings_do_not_pile_up_for_a_client_that_polls() -> None:
    driver = Driver(SignalrSettings(client_timeout_ms=10**9)).shake()
    for second in range(15, 600, 15):
        driver.machine.tick(float(second))
    assert driver.answers() == [{"type": 6}]


def test_a_client_that_is_silent_for_30_seconds_is_told_to_come_again() -> None:
    driver = Driver().shake()
    driver.wait(20.0)
    driver.give(record(type=6))
    assert [sent["type"] for sent in driver.wait(29.9)] == [6, 6]
    (close,) = driver.wait(0.2)
    assert (close["type"], close["allowReconnect"]) == (7, True)
    assert isinstance(driver.events()[0], Closed)


def test_half_a_message_is_a_sign_of_life() -> None:
    driver = Driver().shake()
    driver.wait(29.0)
    driver.give(b'{"type":')
    driver.wait(29.0)
    assert driver.machine.phase is Phase.OPEN


def test_a_client_is_not_taken_for_silent_because_this_process_stood_still() -> None:
    driver = Driver().shake()
    driver.machine.tick(100.0, late_s=85.0)
    assert driver.machine.phase is Phase.OPEN


# The end.


@pytest.mark.parametrize("data", [b"{\x1e", b"[]\x1e", b"{}\x1e", b'{"type":1}\x1e', b"x" * 32_769])
def test_what_is_no_message_ends_the_connection_with_a_reason_and_leave_to_come_again(data: bytes) -> None:
    driver = Driver().shake()
    (close,) = driver.give(data)
    assert close["type"] == 7
    assert close["error"].startswith("Connection closed with an error.")
    assert close["allowReconnect"] is True
    assert driver.events() == [Closed(close["error"])]


def test_a_message_of_32_kib_passes() -> None:
    driver = Driver().shake()
    around = len(call("Note", "")) - 1
    driver.give(call("Note", "x" * (32_768 - around)))
    assert driver.machine.phase is Phase.OPEN
    assert len(invoked(driver)) == 1
    driver.complete()
    driver.give(call("Note", "x" * (32_769 - around)))
    assert driver.machine.phase is Phase.CLOSED


def test_the_limit_is_a_setting() -> None:
    driver = Driver(SignalrSettings(message_bytes=100)).shake()
    (close,) = driver.give(call("Note", "x" * 100))
    assert "The maximum message size of 100B was exceeded." in close["error"]


def test_a_goodbye_ends_the_connection_after_the_calls_before_it() -> None:
    driver = Driver().shake()
    driver.give(call("Note", "last", invocationId="1") + call("Note", "very last") + record(type=7, error="bye"))
    assert not driver.machine.wants_input
    assert invoked(driver) == [("Note", ("last",))]
    assert driver.complete() == [{"type": 3, "invocationId": "1"}]
    assert invoked(driver) == [("Note", ("very last",))]
    driver.complete()
    assert driver.events() == [Closed("bye")]


def test_calls_that_came_before_the_transport_went_are_still_told() -> None:
    driver = Driver().shake()
    driver.give(b"".join(call("Note", str(number)) for number in range(6)))
    driver.machine.part(driver.at)
    for number in range(6):
        assert invoked(driver) == [("Note", (str(number),))]
        driver.complete()
    assert driver.events() == [Closed("")]
    assert driver.answers() == []


def test_this_side_ends_with_a_goodbye_that_asks_the_client_back() -> None:
    driver = Driver().shake()
    driver.machine.close(None, driver.at, allow_reconnect=True)
    assert driver.answers() == [{"type": 7, "allowReconnect": True}]
    assert driver.events() == [Closed("")]
    assert not driver.machine.call("Hello", [], driver.at)
    driver.machine.close("again", driver.at)
    assert (driver.answers(), driver.events()) == ([], [])


def test_a_client_that_does_not_read_is_sent_away_and_costs_a_bounded_queue() -> None:
    driver = Driver(SignalrSettings(queue_bytes=10_000)).shake()
    sent = 0
    while driver.machine.call("Hello", ["x" * 100], driver.at):
        sent += 1
    assert 50 < sent < 100
    (close,) = driver.answers()
    assert (close["type"], close["allowReconnect"]) == (7, True)


# Stateful reconnect.


def stateful(settings: SignalrSettings | None = None) -> Driver:
    return Driver(settings, is_stateful=True).shake(version=2)


def test_what_was_received_is_acknowledged_within_a_second() -> None:
    driver = stateful()
    driver.give(call("Nope") * 3 + record(type=6))
    assert driver.wait(0.9) == []
    assert driver.wait(0.2) == [{"type": 8, "sequenceId": 3}]
    assert driver.wait(10.0) == []


def test_a_client_of_an_older_version_gets_no_acknowledgement_and_cannot_resume() -> None:
    driver = Driver(is_stateful=True).shake(version=1)
    driver.give(call("Nope"))
    assert driver.wait(5.0) == []
    assert not driver.machine.can_resume


def test_after_a_reconnect_the_sequence_names_the_first_message_that_was_not_acknowledged() -> None:
    driver = stateful()
    for number in range(1, 6):
        driver.machine.call("Job", [number], driver.at)
    driver.give(record(type=8, sequenceId=2))
    driver.machine.part(driver.at)
    driver.machine.call("Job", [6], driver.at)
    driver.machine.resume(driver.at)
    sequence, *jobs = driver.answers()
    assert sequence == {"type": 9, "sequenceId": 3}
    assert [job["arguments"] for job in jobs] == [[3], [4], [5], [6]]


def test_after_a_reconnect_with_nothing_open_the_sequence_names_the_next_message() -> None:
    driver = stateful()
    driver.machine.call("Job", [1], driver.at)
    driver.give(record(type=8, sequenceId=1))
    driver.machine.part(driver.at)
    driver.machine.resume(driver.at)
    assert driver.answers() == [{"type": 9, "sequenceId": 2}]


def test_messages_that_are_repeated_are_dropped_by_their_number() -> None:
    driver = stateful()
    driver.give(call("Note", "1") + call("Note", "2"))
    assert invoked(driver) == [("Note", ("1",))]
    driver.complete()
    driver.complete()
    driver.machine.part(driver.at)
    driver.machine.resume(driver.at)
    driver.events()
    # What comes before the client's own sequence message was sent before the reconnect.
    driver.give(call("Note", "early"))
    driver.give(record(type=9, sequenceId=2) + call("Note", "2") + call("Note", "3"))
    assert invoked(driver) == [("Note", ("3",))]
    assert {"type": 8, "sequenceId": 3} in driver.wait(1.1)


def test_half_a_message_of_the_old_transport_does_not_spoil_the_new_one() -> None:
    driver = stateful()
    driver.give(b'{"type":1,"target":"No')
    driver.machine.part(driver.at)
    driver.machine.resume(driver.at)
    driver.answers()
    driver.give(record(type=9, sequenceId=1) + call("Note", "whole"))
    assert invoked(driver) == [("Note", ("whole",))]


def test_a_call_that_ends_while_the_client_is_away_is_answered_when_it_is_back() -> None:
    driver = stateful()
    driver.give(call("Echo", 1, invocationId="1") + call("Echo", 2, invocationId="2"))
    driver.machine.part(driver.at)
    assert driver.complete(result=1) == []
    assert driver.complete(result=2) == []
    driver.machine.resume(driver.at)
    assert [answer.get("result") for answer in driver.answers()] == [None, 1, 2]


def test_a_sequence_that_skips_messages_ends_the_connection() -> None:
    driver = stateful()
    driver.machine.part(driver.at)
    driver.machine.resume(driver.at)
    driver.answers()
    (close,) = driver.give(record(type=9, sequenceId=2))
    assert "Sequence ID greater" in close["error"]


@pytest.mark.parametrize("number", [0, -1])
def test_a_sequence_of_no_message_ends_the_connection(number: int) -> None:
    driver = stateful()
    (close,) = driver.give(record(type=9, sequenceId=number))
    assert close["type"] == 7


def test_a_client_that_stays_away_for_30_seconds_is_given_up() -> None:
    driver = stateful()
    driver.machine.part(driver.at)
    driver.wait(29.9)
    assert driver.machine.can_resume
    driver.wait(0.2)
    assert driver.events() == [Closed("The client did not come back.")]


def test_while_the_client_is_away_no_more_is_kept_than_the_limit() -> None:
    driver = stateful(SignalrSettings(replay_bytes=1000))
    driver.machine.part(driver.at)
    sent = 0
    while driver.machine.call("Job", ["x" * 50], driver.at):
        sent += 1
    assert 5 < sent < 20
    assert driver.machine.phase is Phase.CLOSED


def test_a_client_that_acknowledges_late_loses_only_the_chance_to_resume() -> None:
    driver = stateful(SignalrSettings(replay_bytes=1000))
    for number in range(50):
        assert driver.machine.call("Job", [number], driver.at)
        driver.answers()
    assert not driver.machine.can_resume
    driver.give(record(type=8, sequenceId=49))
    assert driver.machine.can_resume
    driver.machine.part(driver.at)
    driver.machine.resume(driver.at)
    assert [answer.get("sequenceId") or answer["arguments"] for answer in driver.answers()] == [50, [49]]


def test_an_acknowledgement_of_what_was_never_sent_acknowledges_all() -> None:
    driver = stateful()
    driver.machine.call("Job", [1], driver.at)
    driver.give(record(type=8, sequenceId=10**15))
    driver.machine.call("Job", [2], driver.at)
    driver.machine.part(driver.at)
    driver.machine.resume(driver.at)
    assert driver.answers()[0] == {"type": 9, "sequenceId": 2}


def test_a_goodbye_is_final_even_where_a_reconnect_was_negotiated() -> None:
    driver = stateful()
    driver.give(record(type=7))
    assert driver.events() == [Closed("")]
    assert not driver.machine.can_resume
