"""A TCP proxy that a test can cut, freeze, and let break off a connection in the middle of what goes through it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

BLOCK_BYTES = 64 * 1024


class CutProxy:
    """Forwards connections to one port; use it as an async context manager."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.connections = 0
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        self._break_after: bytes = b""
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break all connections; new ones are let through."""
        for writer in self._writers:
            writer.transport.abort()

    def refuse(self, *, refuses: bool = True) -> None:
        """Break all connections, and new ones at once, until told otherwise."""
        self._refuses = refuses
        if refuses:
            self.cut()

    def freeze(self) -> None:
        """Let nothing through any more, and keep all connections open: both ends see nobody go."""
        self._flows.clear()

    def thaw(self) -> None:
        """Let everything through again."""
        self._flows.set()

    def break_at(self, mark: bytes) -> None:
        """Break the connection that next carries these bytes, just after they have gone through."""
        self._break_after = mark

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._refuses:
            writer.transport.abort()
            return
        await self._flows.wait()
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        both = (writer, back_writer)
        self._writers.update(both)
        tasks = [asyncio.create_task(self._pump(*way)) for way in ((reader, back_writer), (back_reader, writer))]
        self._tasks.update(tasks)
        await asyncio.wait(tasks)
        self._tasks.difference_update(tasks)
        self._writers.difference_update(both)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while block := await reader.read(BLOCK_BYTES):
                await self._flows.wait()
                writer.write(block)
                await writer.drain()
                if self._break_after and self._break_after in block:
                    self._break_after = b""
                    self.cut()
        writer.transport.abort() if reader.exception() else writer.close()
