"""The hub's address with raw clients: negotiation, and each transport with its statuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
from signalr_clients import (
    PATH,
    EventWire,
    PollWire,
    PostWire,
    SocketWire,
    connected,
    negotiate,
    negotiated_word,
    polls,
    until,
)
from tests_support.signalr_parts import EchoHub, call, record, served_hub

from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.signalr.framing import prefix_length
from mediafleet.ops.settings import SignalrSettings

TRANSPORTS = ["WebSockets", "ServerSentEvents", "LongPolling"]
each_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.fixture
def echo() -> EchoHub:
    return EchoHub()


@pytest.fixture
async def hub(echo: EchoHub) -> AsyncIterator[HttpServer]:
    async with served_hub(echo) as running:
        yield running


@pytest.fixture
async def hub_client(hub: HttpServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(hub.url) as session:
        yield session


# Negotiation.


async def test_version_1_has_a_secret_token_that_is_not_the_id(hub_client: aiohttp.ClientSession) -> None:
    agreed = await negotiate(hub_client)
    assert agreed["negotiateVersion"] == 1
    assert agreed["connectionToken"] != agreed["connectionId"]
    assert agreed["availableTransports"] == [
        {"transport": "WebSockets", "transferFormats": ["Text", "Binary"]},
        {"transport": "ServerSentEvents", "transferFormats": ["Text"]},
        {"transport": "LongPolling", "transferFormats": ["Text", "Binary"]},
    ]
    assert "useStatefulReconnect" not in agreed


@pytest.mark.parametrize("query", ["", "negotiateVersion=0", "id=old", "negotiateVersion=0&useStatefulReconnect=true"])
async def test_version_0_has_no_token(hub_client: aiohttp.ClientSession, query: str) -> None:
    agreed = await negotiate(hub_client, query)
    assert agreed["negotiateVersion"] == 0
    assert set(agreed) == {"negotiateVersion", "connectionId", "availableTransports"}


async def test_later_versions_get_version_1_and_the_id_of_a_former_connection_is_ignored(
    hub_client: aiohttp.ClientSession,
) -> None:
    first = await negotiate(hub_client, "negotiateVersion=7")
    again = await negotiate(hub_client, f"negotiateVersion=1&id={first['connectionToken']}")
    assert (first["negotiateVersion"], again["negotiateVersion"]) == (1, 1)
    assert again["connectionToken"] != first["connectionToken"]


async def test_a_stateful_reconnect_is_agreed_to_where_it_is_asked_for(hub_client: aiohttp.ClientSession) -> None:
    assert (await negotiate(hub_client, "negotiateVersion=1&useStatefulReconnect=true"))["useStatefulReconnect"] is True


@pytest.mark.parametrize("version", ["one", "-1", "", "²"])
async def test_a_version_that_is_none_is_an_error_in_the_answer(
    hub_client: aiohttp.ClientSession, version: str
) -> None:
    assert "invalid protocol version" in (await negotiate(hub_client, f"negotiateVersion={version}"))["error"]


async def test_negotiation_is_a_post(hub_client: aiohttp.ClientSession) -> None:
    async with hub_client.get(f"{PATH}/negotiate") as response:
        assert response.status == 405
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await hub_client.ws_connect(f"{PATH}/negotiate")


async def test_a_client_that_does_not_connect_is_forgotten(echo: EchoHub) -> None:
    async with (
        served_hub(echo, signalr=SignalrSettings(handshake_ms=50)) as hub,
        aiohttp.ClientSession(hub.url) as client,
    ):
        wire = PostWire(client, await negotiated_word(client))
        async with asyncio.timeout(15):
            while True:
                async with client.delete(wire.url) as response:
                    if response.status == 404:
                        break


# What holds for every transport.


@each_transport
async def test_calls_and_their_answers_go_both_ways(
    hub_client: aiohttp.ClientSession, echo: EchoHub, transport: str
) -> None:
    async with connected(transport, hub_client) as wire:
        await wire.send(call("Echo", {"ä": [1, None]}, invocationId="1") + call("CallBack", "Hello", 5))
        assert await wire.next() == {"type": 3, "invocationId": "1", "result": {"ä": [1, None]}}
        assert await wire.next() == {"type": 1, "target": "Hello", "arguments": [5]}
        assert len(echo.connected) == 1
        assert echo.disconnected == []


@each_transport
async def test_messages_may_be_split_and_glued(hub_client: aiohttp.ClientSession, transport: str) -> None:
    async with connected(transport, hub_client) as wire:
        stream = b"".join(call("Echo", number, invocationId=str(number)) for number in range(30))
        for start in range(0, len(stream), 400):
            await wire.send(stream[start : start + 400])
        assert [(await wire.next())["result"] for _ in range(30)] == list(range(30))


@each_transport
async def test_a_goodbye_ends_the_connection(hub_client: aiohttp.ClientSession, echo: EchoHub, transport: str) -> None:
    async with connected(transport, hub_client) as wire:
        await wire.send(call("Note", "last") + record(type=7))
        assert await wire.next() is None
    await until(lambda: echo.disconnected)
    assert echo.calls == [("Note", "last")]
    assert echo.disconnected == [(echo.connected[0], "")]


@each_transport
async def test_what_is_no_message_ends_the_connection_with_a_reason(
    hub_client: aiohttp.ClientSession, echo: EchoHub, transport: str
) -> None:
    async with connected(transport, hub_client) as wire:
        await wire.send(b"nonsense\x1e")
        close = await wire.next()
        assert (close["type"], close["allowReconnect"]) == (7, True)
        assert await wire.next() is None
    await until(lambda: echo.disconnected)
    assert echo.disconnected == [(echo.connected[0], close["error"])]


@each_transport
async def test_a_silent_client_gets_pings_and_is_sent_away(echo: EchoHub, transport: str) -> None:
    signalr = SignalrSettings(ping_ms=100, client_timeout_ms=350)
    async with (
        served_hub(echo, signalr=signalr) as hub,
        aiohttp.ClientSession(hub.url) as client,
        connected(transport, client) as wire,
    ):
        assert await wire.next() == {"type": 6}
        while (message := await wire.next()) == {"type": 6}:
            pass
        assert message["type"] == 7
        assert await wire.next() is None


@each_transport
async def test_a_server_that_stops_asks_its_clients_to_come_again(echo: EchoHub, transport: str) -> None:
    async with aiohttp.ClientSession() as outer:
        server = served_hub(echo)
        hub = await server.__aenter__()
        async with aiohttp.ClientSession(hub.url) as client, connected(transport, client) as wire:
            # A poll that is open when the server stops is answered; a later one finds nobody.
            pending = asyncio.create_task(wire.next())
            await polls(1 if transport == "LongPolling" else 0)
            stopping = asyncio.create_task(server.__aexit__(None, None, None))
            assert await pending == {"type": 7, "allowReconnect": True}
            await stopping
        assert echo.disconnected == [(echo.connected[0], "")]
        with pytest.raises(aiohttp.ClientConnectionError):
            await outer.get(hub.url)


@each_transport
async def test_a_client_that_goes_without_a_word_is_noticed(
    hub_client: aiohttp.ClientSession, echo: EchoHub, transport: str
) -> None:
    async with connected(transport, hub_client) as wire:
        if isinstance(wire, PollWire):
            async with hub_client.delete(wire.url) as response:
                assert response.status == 202
    await until(lambda: echo.disconnected)
    assert echo.disconnected == [(echo.connected[0], "")]


# WebSockets.


async def test_a_socket_needs_no_negotiation(hub_client: aiohttp.ClientSession) -> None:
    async with hub_client.ws_connect(PATH) as socket:
        wire = SocketWire(socket)
        await wire.shake(version=0)
        await wire.send(call("Echo", 1, invocationId="1"))
        assert (await wire.next())["result"] == 1


async def test_json_goes_in_text_frames_and_messagepack_in_binary_ones(hub_client: aiohttp.ClientSession) -> None:
    async with hub_client.ws_connect(PATH) as socket:
        await socket.send_bytes(record(protocol="json", version=1))
        assert (await socket.receive()).type is aiohttp.WSMsgType.TEXT
    async with hub_client.ws_connect(PATH) as socket:
        await socket.send_str('{"protocol":"messagepack","version":1}\x1e')
        answer = await socket.receive()
        assert (answer.type, answer.data) == (aiohttp.WSMsgType.BINARY, b"{}\x1e")
        await socket.send_bytes(prefix_length(msgspec.msgpack.encode([1, {}, "1", "Echo", [b"\x00"], []])))
        answer = await socket.receive()
        assert answer.type is aiohttp.WSMsgType.BINARY
        assert msgspec.msgpack.decode(answer.data[1:]) == [3, {}, "1", 3, b"\x00"]


async def test_a_socket_for_an_unknown_id_is_refused_with_404(hub_client: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await hub_client.ws_connect(f"{PATH}?id=nobody")
    assert caught.value.status == 404


async def test_a_second_socket_for_the_same_connection_is_refused_with_409(hub_client: aiohttp.ClientSession) -> None:
    word = await negotiated_word(hub_client)
    async with hub_client.ws_connect(f"{PATH}?id={word}"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await hub_client.ws_connect(f"{PATH}?id={word}")
    assert caught.value.status == 409


@pytest.mark.parametrize("query", ["", "negotiateVersion=1"])
async def test_the_id_of_a_connection_that_is_over_serves_only_clients_that_know_no_better(
    hub_client: aiohttp.ClientSession, echo: EchoHub, query: str
) -> None:
    word = await negotiated_word(hub_client, query)
    async with hub_client.ws_connect(f"{PATH}?id={word}") as socket:
        await SocketWire(socket).shake()
    await until(lambda: echo.disconnected)
    if query:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await hub_client.ws_connect(f"{PATH}?id={word}")
        return
    async with hub_client.ws_connect(f"{PATH}?id={word}") as socket:
        await SocketWire(socket).shake()
    await until(lambda: len(echo.connected) == 2)


async def test_a_socket_takes_no_posts(hub_client: aiohttp.ClientSession) -> None:
    word = await negotiated_word(hub_client)
    async with hub_client.ws_connect(f"{PATH}?id={word}"):
        assert await PostWire(hub_client, word).post(b"x") == 405
        async with hub_client.get(f"{PATH}?id={word}") as response:
            assert response.status == 400


async def test_no_ping_of_the_websocket_itself_is_ever_sent(echo: EchoHub) -> None:
    async with (
        served_hub(echo, signalr=SignalrSettings(ping_ms=50)) as hub,
        aiohttp.ClientSession(hub.url) as client,
        client.ws_connect(PATH, autoping=False) as socket,
    ):
        await socket.send_str('{"protocol":"json","version":1}\x1e')
        kinds = [(await socket.receive()).type for _ in range(5)]
    assert kinds == [aiohttp.WSMsgType.TEXT] * 5


async def test_a_client_that_does_not_read_is_sent_away(echo: EchoHub) -> None:
    async with (
        served_hub(echo, signalr=SignalrSettings(queue_bytes=200_000)) as hub,
        aiohttp.ClientSession(hub.url) as client,
        connected("WebSockets", client),
    ):
        await until(lambda: echo.callers)
        caller = echo.callers[echo.connected[0]]
        while caller.send("Hello", "x" * 10_000):  # noqa: ASYNC110 - the loop turns, so that the socket fills
            await asyncio.sleep(0)
        await until(lambda: echo.disconnected)
        assert "does not read" in echo.disconnected[0][1]


async def test_a_frame_of_very_many_messages_holds_up_nobody_else(hub_client: aiohttp.ClientSession) -> None:
    async with connected("WebSockets", hub_client) as busy, connected("WebSockets", hub_client) as other:
        sent = record(type=6) * 200_000 + call("Echo", "busy", invocationId="1")
        assert len(sent) > 2_000_000
        await busy.send(sent)
        turns, done = 0, asyncio.create_task(busy.next())
        while not done.done():
            await other.send(call("Echo", turns, invocationId="1"))
            assert (await other.next())["result"] == turns
            turns += 1
        assert (await done)["result"] == "busy"
        assert turns > 10


# Stateful reconnect.


async def test_a_socket_that_broke_is_followed_by_another_and_nothing_is_lost_or_doubled(
    hub_client: aiohttp.ClientSession, echo: EchoHub
) -> None:
    word = await negotiated_word(hub_client, "negotiateVersion=1&useStatefulReconnect=true")
    async with hub_client.ws_connect(f"{PATH}?id={word}") as socket:
        wire = SocketWire(socket)
        await wire.shake(version=2)
        await wire.send(call("Note", "a") + call("Wait", "b", invocationId="1") + record(type=8, sequenceId=0))
        await until(lambda: ("begin", "b") in echo.calls)
        assert socket._response.connection is not None
        transport = socket._response.connection.transport
        assert transport is not None
        transport.abort()
    echo.may_go_on.set()
    await until(lambda: ("end", "b") in echo.calls)
    async with hub_client.ws_connect(f"{PATH}?id={word}") as socket:
        wire = SocketWire(socket)
        assert await wire.next() == {"type": 9, "sequenceId": 1}
        assert await wire.next() == {"type": 3, "invocationId": "1", "result": "b"}
        await wire.send(record(type=9, sequenceId=1) + call("Note", "a") + call("Wait", "b", invocationId="1"))
        await wire.send(call("Note", "c"))
        await until(lambda: ("Note", "c") in echo.calls)
        assert echo.calls == [("Note", "a"), ("begin", "b"), ("end", "b"), ("Note", "c")]
        assert len(echo.connected) == 1
        assert echo.disconnected == []


async def test_a_client_may_come_back_before_its_old_socket_is_known_to_be_gone(
    hub_client: aiohttp.ClientSession, echo: EchoHub
) -> None:
    word = await negotiated_word(hub_client, "negotiateVersion=1&useStatefulReconnect=true")
    async with hub_client.ws_connect(f"{PATH}?id={word}") as socket:
        await SocketWire(socket).shake(version=2)
        async with hub_client.ws_connect(f"{PATH}?id={word}") as again:
            wire = SocketWire(again)
            assert await wire.next() == {"type": 9, "sequenceId": 1}
            await wire.send(record(type=9, sequenceId=1) + call("Echo", 1, invocationId="1"))
            assert (await wire.next())["result"] == 1
            assert await SocketWire(socket).next() is None
    assert len(echo.connected) == 1


# Server-Sent Events and long polling.


async def test_requests_without_an_id_or_with_an_unknown_one_are_refused(hub_client: aiohttp.ClientSession) -> None:
    for method in ("GET", "POST", "DELETE"):
        async with hub_client.request(method, PATH) as response:
            assert response.status == 400
        async with hub_client.request(method, f"{PATH}?id=nobody") as response:
            assert response.status == 404


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*"])
async def test_a_client_may_say_hello_before_it_asks_for_the_answer(
    hub_client: aiohttp.ClientSession, accept: str
) -> None:
    word = await negotiated_word(hub_client)
    await PostWire(hub_client, word).send(record(protocol="json", version=1) + call("Echo", 1, invocationId="1"))
    with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
        await hub_client.ws_connect(f"{PATH}?id={word}")
    async with hub_client.get(f"{PATH}?id={word}", headers={"Accept": accept}) as response:
        line = await response.content.readline()
    assert line.removeprefix(b"data: ").strip() == b"{}\x1e"


async def test_a_poll_brings_one_message(hub_client: aiohttp.ClientSession) -> None:
    async with connected("LongPolling", hub_client) as wire:
        await wire.send(b"".join(call("Echo", number, invocationId=str(number)) for number in range(3)))
        assert [(await wire.receive()).count(b"\x1e") for _ in range(3)] == [1, 1, 1]


async def test_a_transport_cannot_be_changed(hub_client: aiohttp.ClientSession) -> None:
    async with connected("LongPolling", hub_client) as wire:
        assert isinstance(wire, PollWire)
        async with hub_client.get(wire.url, headers={"Accept": "text/event-stream"}) as response:
            assert response.status == 409
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await hub_client.ws_connect(wire.url)
    async with connected("ServerSentEvents", hub_client) as wire:
        assert isinstance(wire, EventWire)
        async with hub_client.get(wire.url) as response:
            assert response.status == 400
        async with hub_client.delete(wire.url) as response:
            assert response.status == 400


async def test_a_stream_of_events_refuses_messagepack(hub_client: aiohttp.ClientSession) -> None:
    word = await negotiated_word(hub_client)
    async with hub_client.get(f"{PATH}?id={word}", headers={"Accept": "text/event-stream"}) as response:
        assert response.content_type == "text/event-stream"
        wire = EventWire(hub_client, word, response)
        await wire.send(record(protocol="messagepack", version=1))
        assert "Binary" in (await wire.next())["error"]
        assert await wire.next() is None


async def test_polls_carry_messagepack(hub_client: aiohttp.ClientSession) -> None:
    word = await negotiated_word(hub_client)
    async with hub_client.get(f"{PATH}?id={word}") as response:
        assert await response.read() == b""
    wire = PollWire(hub_client, word)
    await wire.send(record(protocol="messagepack", version=1))
    assert await wire.receive() == b"{}\x1e"
    await wire.send(prefix_length(msgspec.msgpack.encode([1, {}, "1", "Echo", ["x"], []])))
    assert msgspec.msgpack.decode((await wire.receive())[1:]) == [3, {}, "1", 3, "x"]


async def test_a_new_poll_ends_the_one_before_with_204(hub_client: aiohttp.ClientSession) -> None:
    async with connected("LongPolling", hub_client) as wire:
        assert isinstance(wire, PollWire)
        first = asyncio.create_task(wire.receive())
        await polls(1)
        second = asyncio.create_task(wire.receive())
        assert await first == b""
        await wire.send(call("Echo", 1, invocationId="1"))
        assert b'"result":1' in await second


async def test_a_poll_that_was_given_up_takes_nothing_along(hub_client: aiohttp.ClientSession) -> None:
    async with connected("LongPolling", hub_client) as wire:
        assert isinstance(wire, PollWire)
        for _ in range(5):
            poll = asyncio.create_task(wire.receive())
            await polls(1)
            poll.cancel()
            await asyncio.gather(poll, return_exceptions=True)
            await polls(0)
        await wire.send(call("Echo", 1, invocationId="1"))
        assert (await wire.next())["result"] == 1


async def test_a_delete_ends_the_poll_that_is_open(hub_client: aiohttp.ClientSession, echo: EchoHub) -> None:
    async with connected("LongPolling", hub_client) as wire:
        assert isinstance(wire, PollWire)
        poll = asyncio.create_task(wire.next())
        await polls(1)
        async with hub_client.delete(wire.url) as response:
            assert response.status == 202
        assert await poll is None
        async with hub_client.get(wire.url) as response:
            assert response.status == 404
