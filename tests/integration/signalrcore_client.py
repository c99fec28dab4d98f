"""A signalrcore client, which has threads of its own, for tests that have a loop."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

from signalrcore.hub_connection_builder import HubConnectionBuilder
from signalrcore.protocol.messagepack_protocol import MessagePackHubProtocol
from signalrcore.types import HttpTransportType

PATIENCE_S = 30

CORE_WAYS = [
    (HttpTransportType.web_sockets, None),
    (HttpTransportType.web_sockets, MessagePackHubProtocol),
    (HttpTransportType.server_sent_events, None),
    # Not with MessagePack: its binary poller cannot be made, whoever serves (signalrcore 1.0.2).
    (HttpTransportType.long_polling, None),
]


class CoreClient:
    """A signalrcore client, driven from threads."""

    def __init__(
        self, url: str, transport: Any, protocol: Any = None, *, headers: dict[str, str] | None = None
    ) -> None:
        options = {"transport": transport, "headers": dict(headers or {})}
        builder: Any = HubConnectionBuilder()
        builder = builder.with_url(url, options=options)
        if protocol:
            builder = builder.with_hub_protocol(protocol)
        self.connection: Any = builder.with_automatic_reconnect(
            {"type": "raw", "keep_alive_interval": 10, "reconnect_interval": 1, "max_attempts": 20}
        ).build()
        self.opened, self.heard, self.closed = queue.Queue[None](), queue.Queue[Any](), queue.Queue[None]()
        self.reconnected, self.errors = queue.Queue[None](), queue.Queue[Any]()
        self.connection.on_error(self.errors.put)
        self.connection.on_open(lambda: self.opened.put(None))
        self.connection.on_close(lambda: self.closed.put(None))
        self.connection.on_reconnect(lambda: self.reconnected.put(None))
        self.connection.on("Hello", self.heard.put)

    async def start(self) -> None:
        await asyncio.to_thread(self.connection.start)
        await self.get(self.opened)

    async def get(self, events: queue.Queue[Any]) -> Any:
        return await asyncio.to_thread(events.get, timeout=PATIENCE_S)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the hub and return the completion."""
        answers = queue.Queue[Any]()
        await asyncio.to_thread(self.connection.send, method, list(arguments), answers.put)
        return await self.get(answers)

    async def stop(self) -> None:
        await asyncio.to_thread(self.connection.stop)
