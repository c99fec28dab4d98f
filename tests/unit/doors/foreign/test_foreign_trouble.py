"""Masters to which there is no connection: one line a cause, no crash, and another attempt."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
import structlog
from foreign_scene import Scene, lost, turns

from mediafleet.doors.foreign import wire
from mediafleet.doors.http.server import HttpServer

pytestmark = pytest.mark.usefixtures("quick")

TOKEN = "a-token-of-a-master"  # noqa: S105 - of this test


async def test_a_token_is_a_header_and_a_wrong_one_is_told_in_a_line(scene: Scene) -> None:
    scene.master.token = TOKEN
    with structlog.testing.capture_logs() as logs:
        async with scene.master.serving():
            async with scene.worker() as worker:
                await turns(lambda: "refuses the token" in worker.line.trouble)
                assert worker.describe()["is_connected"] is False
            async with scene.worker(token=TOKEN):
                await scene.master.worker()
    assert TOKEN not in str(logs)


class Stranger:
    """Answers each connection with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            await writer.drain()
        writer.close()


def http(status: str, body: str, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (http("200 OK", "<html>", "text/html"), "not as a hub does"),
        (http("404 Not Found", "{}"), "status 404"),
        (http("503 Busy", "{}"), "status 503"),
        (http("200 OK", "{"), "no SignalR"),
        (http("200 OK", "[]"), "no SignalR"),
        (http("200 OK", '{"error": "no more"}'), "refuses the connection"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not as a hub does"),
        (b"", "during its negotiation"),
    ],
)
async def test_an_address_that_is_no_hub_is_told_once_and_tried_again(
    scene: Scene, answer: bytes, trouble: str
) -> None:
    stranger = Stranger(answer)
    server = await asyncio.start_server(stranger.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with structlog.testing.capture_logs() as logs:
        async with server, scene.worker(f"http://127.0.0.1:{port}/hub"):
            await turns(lambda: stranger.connections > 3)
    [line] = logs
    assert line["log_level"] == "warning"
    assert trouble in line["reason"]


async def test_nobody_at_an_address_is_told_once_a_cause(scene: Scene) -> None:
    async with scene.master.serving():
        url = scene.master.url
    with structlog.testing.capture_logs() as logs:
        async with scene.worker(url) as worker:
            await turns(lambda: worker.line.trouble)
            async with scene.master.serving():
                await scene.master.worker()
            await lost(worker)
            async with scene.master.serving():
                scene.master.forget()
                await scene.master.worker()
    assert len([line for line in logs if line["event"] == "connected to the master"]) == 2


class Babbler:
    """An ASGI application that shakes hands like a hub, and then says what no hub says."""

    def __init__(self, *frames: str | bytes, shakes_hands: bool = True) -> None:
        self.frames = (*(["{}\x1e"] if shakes_hands else []), *frames)
        self.connections = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"connectionId": "x"}'})
        else:
            await self._babble(receive, send)

    def stop(self) -> None: ...

    async def _babble(self, receive: Any, send: Any) -> None:
        self.connections += 1
        await send({"type": "websocket.accept"})
        await receive()
        with contextlib.suppress(Exception):  # it may be gone before it has heard all
            for frame in self.frames:
                await send({"type": "websocket.send", "text" if isinstance(frame, str) else "bytes": frame})
            while (await receive())["type"] != "websocket.disconnect":
                pass


@pytest.mark.parametrize(
    "babbler",
    [
        Babbler("}\x1e"),
        Babbler(b"\xff\xfe"),
        Babbler("5\x1e"),
        Babbler("[1]\x1e"),
        Babbler('{"type": 99}\x1e'),
        Babbler('{"type": 8, "sequenceId": 1}\x1e'),
        Babbler('{"type": 1}\x1e'),
        Babbler('{"type": 1, "target": "Ping", "arguments": [], "whatever": 1}\x1e'),
        Babbler('{"type": 3}\x1e'),
        Babbler('{"type": 7, "error": "Go away."}\x1e'),
        Babbler("[" * 100_000),
        Babbler("x" * (2 << 20)),
        Babbler('{"error": "No such protocol."}\x1e', shakes_hands=False),
        Babbler("what?", shakes_hands=False),
        Babbler('{"type": 1, "target": "Ping", "arguments": []}\x1e' * 2000),
    ],
    ids=lambda babbler: repr(babbler.frames[-1][:40]),
)
async def test_a_hub_that_babbles_is_left_and_tried_again(
    scene: Scene, babbler: Babbler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "ANSWER_S", 0.2)
    with structlog.testing.capture_logs() as logs:
        async with HttpServer(babbler, host="127.0.0.1", port=0) as server, scene.worker(f"{server.url}/hub") as worker:
            await turns(lambda: babbler.connections > 2)
            [line] = logs
            # What is wrong is noticed as it comes, and not only because nothing else does.
            is_silent = babbler.frames[-1] == '{"type": 3}\x1e'
            assert ("did not answer" in line["reason"]) == is_silent
            async with scene.master.serving():
                await worker.choice.set(scene.master.url)
                await scene.master.worker()
    assert "error" not in {line["log_level"] for line in logs}
