"""Who may connect to the hub: tokens in headers and queries, pages of other sites, and what never reaches a log."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest
from signalr_clients import PATH, SocketWire, negotiated_word
from structlog.testing import capture_logs
from tests_support.signalr_parts import EchoHub, call, record, served_hub

from mediafleet.doors.http.security import COOKIE, cookie_value
from mediafleet.doors.signalr.access import take_token
from mediafleet.ops.settings import ServerSettings, SignalrSettings

TOKEN = "a-token-of-the-fleet"  # noqa: S105 - of this test
BEARER = {"Authorization": f"Bearer {TOKEN}"}
FOREIGN = "https://studio.example"
ENDPOINTS = [
    ("POST", f"{PATH}/negotiate?negotiateVersion=1"),
    ("GET", f"{PATH}?id=x"),
    ("POST", f"{PATH}?id=x"),
    ("DELETE", f"{PATH}?id=x"),
]
each_endpoint = pytest.mark.parametrize(("method", "path"), ENDPOINTS)


@pytest.fixture
async def guarded() -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a hub that asks for a token."""
    async with (
        served_hub(EchoHub(), server=ServerSettings(token=TOKEN)) as hub,
        aiohttp.ClientSession(hub.url) as client,
    ):
        yield client


@pytest.fixture
async def loopback() -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a hub that asks for none, and knows one other site."""
    async with (
        served_hub(EchoHub(), signalr=SignalrSettings(origins=(FOREIGN,))) as hub,
        aiohttp.ClientSession(hub.url) as client,
    ):
        yield client


@each_endpoint
async def test_every_endpoint_asks_for_the_token(guarded: aiohttp.ClientSession, method: str, path: str) -> None:
    for headers, query in (({}, ""), ({"Authorization": "Bearer wrong"}, ""), ({}, "&access_token=wrong")):
        async with guarded.request(method, path + query, headers=headers) as response:
            assert response.status == 401


@each_endpoint
async def test_the_token_counts_in_header_and_query(guarded: aiohttp.ClientSession, method: str, path: str) -> None:
    for headers, query in ((BEARER, ""), ({}, f"&access_token={TOKEN}"), ({}, f"&Access%5FToken={TOKEN}")):
        async with guarded.request(method, path + query, headers=headers) as response:
            assert response.status in {200, 404}


async def test_a_wrong_token_in_the_header_is_not_mended_by_one_in_the_query(guarded: aiohttp.ClientSession) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    async with guarded.post(f"{PATH}/negotiate?access_token={TOKEN}", headers=wrong) as response:
        assert response.status == 401


async def test_sockets_ask_for_the_token_too(guarded: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await guarded.ws_connect(PATH)
    assert caught.value.status == 401
    for headers, query in ((BEARER, ""), ({}, f"?access_token={TOKEN}")):
        async with guarded.ws_connect(PATH + query, headers=headers) as socket:
            await SocketWire(socket).shake()


async def test_elsewhere_a_token_in_the_query_counts_for_nothing(guarded: aiohttp.ClientSession) -> None:
    async with guarded.get(f"/api/v1/jobs?access_token={TOKEN}") as response:
        assert response.status == 401


async def test_no_token_reaches_a_log(guarded: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        caplog.set_level(logging.INFO, logger=name)
    with capture_logs() as lines:
        async with guarded.get(f"{PATH}?id=x&access_token={TOKEN}"):
            pass
        async with guarded.get(f"{PATH}?id=x&access_token=wrong-{TOKEN}"):
            pass
        async with guarded.ws_connect(f"{PATH}?access_token={TOKEN}") as socket:
            wire = SocketWire(socket)
            await wire.shake()
            headers = {"Authorization": f"Bearer {TOKEN}"}
            await wire.send(call("Fail", invocationId="1", headers=headers))
            assert "secret" not in (await wire.next())["error"]
            await wire.send(record(type=1, target="Echo", arguments="no", headers=headers))
            assert (await wire.next())["type"] == 7
    texts = [record_.getMessage() for record_ in caplog.records if not record_.name.startswith(("aiohttp", "asyncio"))]
    assert any("signalrhub" in text for text in texts), "the server has logged the request"
    assert lines, "the failure was logged"
    assert TOKEN not in str(texts) + str(lines)


def test_only_the_token_is_taken_out_of_the_query() -> None:
    scope = {"query_string": b"id=a%2Bb&access_token=x%2Fy&negotiateVersion=1&empty="}
    assert take_token(scope) == "x/y"
    assert scope == {"query_string": b"id=a%2Bb&negotiateVersion=1&empty="}


# Pages of other sites.


@each_endpoint
async def test_a_page_that_knows_the_token_may_read_the_answers(
    guarded: aiohttp.ClientSession, method: str, path: str
) -> None:
    async with guarded.request(method, path, headers={"Origin": FOREIGN, **BEARER}) as response:
        assert response.status in {200, 404}
        assert response.headers["Access-Control-Allow-Origin"] == FOREIGN
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in response.headers["Vary"]


async def test_a_page_is_told_that_its_token_is_wrong(guarded: aiohttp.ClientSession) -> None:
    async with guarded.post(f"{PATH}/negotiate", headers={"Origin": FOREIGN}) as response:
        assert response.status == 401
        assert response.headers["Access-Control-Allow-Origin"] == FOREIGN


async def test_a_browser_may_ask_before_it_sends(guarded: aiohttp.ClientSession) -> None:
    asks = {
        "Origin": FOREIGN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-requested-with,x-signalr-user-agent",
    }
    async with guarded.options(f"{PATH}/negotiate?negotiateVersion=1", headers=asks) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Headers"] == asks["Access-Control-Request-Headers"]
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
    async with guarded.options("/api/v1/jobs", headers=asks) as response:
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_the_cookie_of_the_console_opens_the_hub_to_no_other_site(guarded: aiohttp.ClientSession) -> None:
    cookie = {"Cookie": f"{COOKIE}={cookie_value(TOKEN)}"}
    for method, path in ENDPOINTS:
        async with guarded.request(method, path, headers={"Origin": FOREIGN, **cookie}) as response:
            assert response.status == 401
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await guarded.ws_connect(PATH, headers={"Origin": FOREIGN, **cookie})
    own = str(guarded._base_url).rstrip("/")
    async with guarded.post(f"{PATH}/negotiate", headers={"Origin": own, **cookie}) as response:
        assert response.status == 200


async def test_without_a_token_only_sites_of_the_settings_may_connect(loopback: aiohttp.ClientSession) -> None:
    for origin, status in ((FOREIGN, 200), ("https://elsewhere.example", 403), ("null", 403)):
        async with loopback.post(f"{PATH}/negotiate", headers={"Origin": origin}) as response:
            assert response.status == status
            assert ("Access-Control-Allow-Origin" in response.headers) == (status == 200)
    async with loopback.ws_connect(PATH, headers={"Origin": FOREIGN}) as socket:
        await SocketWire(socket).shake()
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await loopback.ws_connect(PATH, headers={"Origin": "https://elsewhere.example"})


async def test_without_a_token_other_sites_cannot_read_what_they_may_ask(loopback: aiohttp.ClientSession) -> None:
    word = await negotiated_word(loopback)
    async with loopback.get(f"{PATH}?id={word}", headers={"Origin": "https://elsewhere.example"}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_letter_case_of_the_address_does_not_count(guarded: aiohttp.ClientSession) -> None:
    async with guarded.post("/SignalRHub/Negotiate/?negotiateVersion=1") as response:
        assert response.status == 401
    async with guarded.post("/SignalRHub/Negotiate/?negotiateVersion=1", headers=BEARER) as response:
        assert (await response.json())["negotiateVersion"] == 1


async def test_without_a_hub_there_is_nothing_at_its_address(client: aiohttp.ClientSession) -> None:
    async with client.post(f"{PATH}/negotiate") as response:
        assert response.status == 404
