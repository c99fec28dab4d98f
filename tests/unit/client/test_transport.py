"""What a server answers, or fails to, becomes a record or an error with a sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_server import RawServer

from mediafleet.client.transport import Transport, check_address
from mediafleet.domain.errors import (
    InvalidRequest,
    MediafleetError,
    NotFound,
    SchedulerUnavailable,
    StoreUnavailable,
    Unauthorized,
    Unavailable,
)
from mediafleet.domain.problems import CLASSES, status_of

DEADLINE_S = 20


@pytest.fixture
async def transport(server: RawServer) -> AsyncIterator[Transport]:
    connected = Transport(server.url, "secret", attempts=3)
    await connected.open()
    yield connected
    await connected.close()


async def ask(transport: Transport, **options: Any) -> dict[str, int]:
    async with asyncio.timeout(DEADLINE_S):
        return await transport.ask("GET", "/x", dict[str, int], **options)


async def test_an_answer_is_a_record_and_the_token_goes_with_the_request(
    server: RawServer, transport: Transport
) -> None:
    server.say(200, {"a": 1})
    assert await ask(transport) == {"a": 1}
    assert b"Authorization: Bearer secret\r\n" in server.heads[0]
    assert b"Content-Type" not in server.heads[0]


async def test_a_body_says_that_it_is_json(server: RawServer, transport: Transport) -> None:
    server.say(200, {})
    await ask(transport, body={"draining": True})
    assert b"Content-Type: application/json\r\n" in server.heads[0]
    assert server.heads[0].endswith(b'{"draining":true}')


async def test_without_a_token_none_is_sent(server: RawServer) -> None:
    server.say(200, {})
    stranger = Transport(server.url)
    await stranger.open()
    await ask(stranger)
    await stranger.close()
    assert b"Authorization" not in server.heads[0]


@pytest.mark.parametrize("code", sorted(set(CLASSES) - {"unauthorized"}))
async def test_each_problem_document_becomes_the_error_it_names(
    server: RawServer, transport: Transport, code: str
) -> None:
    error = CLASSES[code].__new__(CLASSES[code])
    server.say(status_of(error), {"code": code, "title": "T", "detail": "One sentence.", "more": [1]})
    with pytest.raises(CLASSES[code]) as caught:
        await ask(transport)
    assert (type(caught.value), caught.value.message) == (CLASSES[code], "One sentence.")


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (403, Unauthorized),
        (404, NotFound),
        (502, SchedulerUnavailable),
        (503, Unavailable),
        (504, SchedulerUnavailable),
        (418, MediafleetError),
        (500, MediafleetError),
    ],
)
@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"\xff", b'{"code": 7}'])
async def test_an_answer_that_is_no_problem_document_goes_by_its_status(
    server: RawServer, transport: Transport, status: int, error_class: type[MediafleetError], body: bytes
) -> None:
    server.say(status, body)
    with pytest.raises(error_class) as caught:
        await ask(transport)
    assert type(caught.value) is error_class
    assert caught.value.message == f"{server.url} answered with status {status}."


@pytest.mark.parametrize(("token", "what"), [("", "asks for a token"), ("wrong", "refused the token")])
@pytest.mark.parametrize("body", [b"", {"code": "unauthorized", "detail": "Send it as 'Authorization: Bearer'."}])
async def test_a_token_that_is_missing_or_wrong_is_told_with_the_ways_to_give_it(
    server: RawServer, token: str, what: str, body: Any
) -> None:
    server.say(401, body)
    transport = Transport(server.url, token)
    await transport.open()
    with pytest.raises(Unauthorized) as caught:
        await ask(transport)
    await transport.close()
    assert what in caught.value.message
    assert caught.value.message.endswith("with --token-file or the variable MEDIAFLEET_TOKEN.")


async def test_a_title_stands_in_for_a_sentence_that_is_missing(server: RawServer, transport: Transport) -> None:
    server.say(404, {"title": "Not found"})
    with pytest.raises(NotFound, match=r"^Not found$"):
        await ask(transport)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed_with_the_token(server: RawServer, transport: Transport, status: int) -> None:
    server.say(status, b"", "Location: http://127.0.0.1:1/elsewhere")
    with pytest.raises(MediafleetError, match=f"status {status}"):
        await ask(transport)
    assert len(server.heads) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": "text"}', b"[1]", b"\xff\xfe", b'{"a": 1'])
async def test_an_answer_of_another_program_is_told_as_such(
    server: RawServer, transport: Transport, body: bytes
) -> None:
    server.say(200, body)
    with pytest.raises(SchedulerUnavailable, match=r"127\.0\.0\.1:[0-9]+ does not answer like a mediafleet scheduler"):
        await ask(transport)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
async def test_a_connection_that_breaks_is_a_scheduler_that_does_not_answer(
    server: RawServer, transport: Transport, answer: bytes
) -> None:
    server.answers = [answer]
    with pytest.raises(SchedulerUnavailable, match="No scheduler answers at http"):
        await ask(transport)


async def test_a_request_is_repeated_until_the_store_is_back(server: RawServer, transport: Transport) -> None:
    server.say(503, {"code": "store-unavailable", "detail": "Away."})
    server.answers.append(b"")
    server.say(200, {"a": 1})
    assert await ask(transport, repeat=True) == {"a": 1}
    assert len(server.heads) == 3


async def test_after_the_last_try_the_error_is_the_last_one(server: RawServer, transport: Transport) -> None:
    server.say(503, {"code": "store-unavailable", "detail": "Away."})
    with pytest.raises(StoreUnavailable, match="Away"):
        await ask(transport, repeat=True)
    assert len(server.heads) == 3


@pytest.mark.parametrize(("status", "repeat"), [(404, True), (500, True), (409, True), (503, False)])
async def test_what_a_repeat_cannot_mend_is_asked_once(
    server: RawServer, transport: Transport, status: int, *, repeat: bool
) -> None:
    server.say(status, {"detail": "No."})
    with pytest.raises(MediafleetError):
        await ask(transport, repeat=repeat)
    assert len(server.heads) == 1


async def test_a_stream_is_opened_unread_and_refused_like_any_answer(server: RawServer, transport: Transport) -> None:
    server.say(200, b"data: x\n\n")
    response = await transport.open_stream("/e", headers={"Last-Event-ID": "7-0"}, silence_s=DEADLINE_S)
    assert await response.content.read() == b"data: x\n\n"
    response.close()
    assert b"Last-Event-ID: 7-0\r\n" in server.heads[0]
    server.answers = []
    server.say(404, {"code": "not-found", "detail": "There is no job 'x'."})
    with pytest.raises(NotFound, match="no job 'x'"):
        await transport.open_stream("/e", headers={}, silence_s=DEADLINE_S)


@pytest.mark.parametrize(("status", "is_up"), [(200, True), (204, True), (302, False), (404, False), (503, False)])
async def test_only_a_success_is_health(server: RawServer, transport: Transport, status: int, *, is_up: bool) -> None:
    server.say(status, b"")
    assert await transport.is_up("/health") is is_up


async def test_closing_twice_or_before_opening_is_no_error() -> None:
    transport = Transport("http://127.0.0.1:1")
    await transport.close()
    await transport.open()
    session = transport.session
    await transport.close()
    await transport.close()
    assert session.closed
    with pytest.raises(RuntimeError, match="async with"):
        _ = transport.session


@pytest.mark.parametrize(
    ("given_address", "full"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("studio", "http://studio"),
        ("https://fleet.example/", "https://fleet.example"),
        ("https://fleet.example/media/", "https://fleet.example/media"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("HTTP://studio:8000", "http://studio:8000"),
    ],
)
def test_an_address_is_completed(given_address: str, full: str) -> None:
    assert check_address(given_address) == full


@pytest.mark.parametrize(
    "address", ["", "http://", "ws://studio", "studio:port", "studio:0", "studio:99999", "http://[::1"]
)
def test_an_address_that_cannot_be_one_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(InvalidRequest, match=r"http://127\.0\.0\.1:8000"):
        check_address(address)


@given(st.text(max_size=60))
def test_whatever_is_typed_is_an_address_or_a_refusal(address: str) -> None:
    try:
        full = check_address(address)
    except InvalidRequest:
        return
    assert check_address(full) == full
    assert not full.endswith("/")


async def test_foreign_errors_stay_the_cause_of_ours(server: RawServer, transport: Transport) -> None:
    server.answers = [b""]
    with pytest.raises(SchedulerUnavailable) as caught:
        await ask(transport)
    assert isinstance(caught.value.__cause__, aiohttp.ClientError)
