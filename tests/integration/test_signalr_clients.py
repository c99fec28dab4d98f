"""Clients that others wrote, over each transport and encoding that they speak: they must not notice who answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.error import HTTPError

import pytest
from cut_proxy import CutProxy
from pysignalr.client import SignalRClient
from pysignalr.exceptions import AuthorizationError
from pysignalr.protocol.json import JSONProtocol
from pysignalr.protocol.messagepack import MessagepackProtocol
from signalrcore.protocol.messagepack_protocol import MessagePackHubProtocol
from signalrcore.types import HttpTransportType
from signalrcore_client import CORE_WAYS, CoreClient
from tests_support.signalr_parts import EchoHub, served_hub

from mediafleet.doors.http.server import HttpServer
from mediafleet.ops.settings import ServerSettings, SignalrSettings

TOKEN = "a-token-of-the-fleet"  # noqa: S105 - of this test
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE_S = 30
CHATTY = SignalrSettings(ping_ms=300)
"""signalrcore closes its socket while a thread of it reads, which ends only when something comes: the next ping."""


@pytest.fixture
def echo() -> EchoHub:
    return EchoHub()


@pytest.fixture
async def guarded(echo: EchoHub) -> AsyncIterator[HttpServer]:
    async with served_hub(echo, server=ServerSettings(token=TOKEN), signalr=CHATTY) as hub:
        yield hub


# pysignalr: WebSockets, both encodings, one event loop with the hub.


class Answers:
    """What a pysignalr client was told."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.opened = asyncio.Queue[None]()
        self.heard = asyncio.Queue[Any]()
        client.on_open(self._note_open)
        client.on("Hello", self.heard.put)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the hub and return the completion."""
        answer = asyncio.get_running_loop().create_future()

        async def note(message: Any) -> None:
            answer.set_result(message)

        await self.client.send(method, list(arguments), on_invocation=note)
        async with asyncio.timeout(PATIENCE_S):
            return await answer

    async def _note_open(self) -> None:
        self.opened.put_nowait(None)


@asynccontextmanager
async def running(client: Any) -> AsyncGenerator[Answers]:
    answers = Answers(client)
    task = asyncio.create_task(client.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await answers.opened.get()
        yield answers
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("protocol", [JSONProtocol, MessagepackProtocol])
async def test_pysignalr_calls_is_called_and_hears_of_errors(guarded: HttpServer, protocol: type[Any]) -> None:
    client = SignalRClient(f"{guarded.url}/signalrhub", protocol=protocol(), headers=BEARER)
    errors = asyncio.Queue[Any]()
    client.on_error(errors.put)
    async with running(client) as answers, asyncio.timeout(PATIENCE_S):
        assert (await answers.call("Echo", {"a": [1, None, "ü"]})).result == {"a": [1, None, "ü"]}
        assert (await answers.call("CallBack", "Hello", 5)).result is True
        assert await answers.heard.get() == [5]
        assert "Unknown hub method" in (await answers.call("Nope")).error
        assert "Unknown hub method" in (await errors.get()).error
        await client.stream("Echo", ["x"], on_error=errors.put)
        assert "non-streaming" in (await errors.get()).error
        assert (await answers.call("Add", 40, 2)).result == 42


@pytest.mark.parametrize("protocol", [JSONProtocol, MessagepackProtocol])
async def test_pysignalr_comes_back_by_itself_after_a_restart(echo: EchoHub, protocol: type[Any]) -> None:
    async with AsyncExitStack() as stack:
        async with served_hub(echo) as hub:
            client = SignalRClient(f"{hub.url}/signalrhub", protocol=protocol())
            answers = await stack.enter_async_context(running(client))
            assert (await answers.call("Echo", 1)).result == 1
        async with served_hub(echo, port=hub.port), asyncio.timeout(PATIENCE_S):
            await answers.opened.get()
            assert (await answers.call("Echo", 2)).result == 2


async def test_pysignalr_is_refused_without_a_token(guarded: HttpServer) -> None:
    with pytest.raises(AuthorizationError):
        await SignalRClient(f"{guarded.url}/signalrhub").run()


# signalrcore: all transports, threads of its own.


each_way = pytest.mark.parametrize(("transport", "protocol"), CORE_WAYS)


@each_way
async def test_signalrcore_calls_and_is_called(guarded: HttpServer, transport: Any, protocol: Any) -> None:
    # Its polls carry no header that was asked for.
    url = f"{guarded.url}/signalrhub" + (
        f"?access_token={TOKEN}" if transport is HttpTransportType.long_polling else ""
    )
    client = CoreClient(url, transport, protocol() if protocol else None, headers=BEARER)
    await client.start()
    try:
        assert (await client.call("Echo", {"a": [1, None, "ü"]})).result == {"a": [1, None, "ü"]}
        assert (await client.call("CallBack", "Hello", 5)).result is True
        assert await client.get(client.heard) == [5]
        await asyncio.to_thread(client.connection.send, "Nope", [])
        assert "Unknown hub method" in (await client.get(client.errors)).error
        assert (await client.call("Add", 40, 2)).result == 42
    finally:
        await client.stop()


@pytest.mark.parametrize("protocol", [None, MessagePackHubProtocol])
async def test_signalrcore_comes_back_when_its_socket_breaks(echo: EchoHub, protocol: Any) -> None:
    # After a restart it does not, whoever serves: its one attempt finds nobody, and it takes that for the end.
    async with served_hub(echo, signalr=CHATTY) as hub, CutProxy(hub.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/signalrhub"
        client = CoreClient(url, HttpTransportType.web_sockets, protocol() if protocol else None)
        await client.start()
        try:
            assert (await client.call("Echo", 1)).result == 1
            proxy.cut()
            await client.get(client.reconnected)
            assert (await client.call("Echo", 2)).result == 2
        finally:
            await client.stop()


async def test_signalrcore_is_refused_without_a_token(guarded: HttpServer) -> None:
    client = CoreClient(f"{guarded.url}/signalrhub", HttpTransportType.web_sockets)
    with pytest.raises(HTTPError, match="401"):
        await asyncio.to_thread(client.connection.start)
