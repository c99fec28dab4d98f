"""A TCP line that a test may spoil: cut it, hold it one way, delay it, slow it, strand it, or judge its WebSocket frames."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any, Literal, TypeVar

from tests_support.fleet_process import free_port
from tests_support.frame_reader import FrameReader

Way = Literal["up", "down"]
"""Up is from the node to the scheduler."""
T = TypeVar("T")
CHUNK = 1 << 16
PARTS_PER_S = 50
"""In how many parts a slow line carries what it carries in a second."""


class Verdict(StrEnum):
    """What becomes of one frame."""

    GO = "go"
    DROP = "drop"
    TWICE = "twice"
    LATE = "late"
    """After the next frame of this line and way that passes."""


Judge = Callable[[Way, Any], Verdict]
"""Told the way and the content of each text frame."""


def let_pass(_: Way, __: Any) -> Verdict:
    """Judge nothing."""
    return Verdict.GO


@contextmanager
def running_proxy(port: int) -> Generator[Proxy]:
    """Run a proxy before a port of this machine."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


class Proxy:
    """Lines to one port, in a thread of their own; every method may be called from any thread."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.judge: Judge = let_pass
        self.delay_s: dict[Way, float] = {"up": 0.0, "down": 0.0}
        self.bytes_per_s: dict[Way, int] = {"up": 0, "down": 0}
        """How much passes; 0 for no limit."""
        self.judged: Counter[tuple[Verdict, str]] = Counter()
        """How many frames of a type had each verdict."""
        self.accepted = 0
        """Lines so far."""
        self.is_cut = False
        self._target = target
        self._lines: set[_Line] = set()
        self._carrying: set[asyncio.Future[None]] = set()
        self._loop = asyncio.new_event_loop()
        self.gates: dict[Way, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        for gate in self.gates.values():
            gate.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self._server = self._wait_for(self._listen)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    def _wait_for(self, what: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what(), self._loop).result(10)

    def _each(self, things: Iterable[T], what: Callable[[T], object]) -> None:
        async def run() -> None:
            for thing in list(things):
                what(thing)

        self._wait_for(run)

    # --- what a test does to the lines ---

    def cut(self) -> None:
        """Reset all lines, and each new one, until `mend`."""
        self.is_cut = True
        self._each(self._lines, _Line.abort)

    def mend(self) -> None:
        """Let everything through again; what was held goes on."""
        self.is_cut, self.judge = False, let_pass
        self.delay_s = {"up": 0.0, "down": 0.0}
        self.bytes_per_s = {"up": 0, "down": 0}
        self._each(self.gates.values(), asyncio.Event.set)

    def hold(self, *ways: Way) -> None:
        """Let nothing through that way until `mend`; the lines stay open, as after a cable was pulled."""
        self._each([self.gates[way] for way in ways], asyncio.Event.clear)

    def strand(self) -> None:
        """Let nothing through on the lines that are open now, for ever; new ones work."""
        self._each(self._lines, _Line.strand)

    def half_close(self, way: Way) -> None:
        """End the sending half of all lines that way; the other half stays open."""
        self._each(self._lines, lambda line: line.half_close(way))

    def close(self) -> None:
        """End the proxy and all lines."""
        self._wait_for(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for line in list(self._lines):
            line.abort()
        for carrying in self._carrying:
            carrying.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    # --- the lines ---

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Tasks of our own: asyncio complains of its own ones where they are cancelled.
        carrying = asyncio.ensure_future(self._carry(reader, writer))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self.accepted += 1
        line = _Line(self, (reader, far_writer), (far_reader, writer))
        self._lines.add(line)
        try:
            await line.run()
        finally:
            self._lines.discard(line)


class _Line:
    """One connection: two pumps."""

    def __init__(
        self,
        proxy: Proxy,
        up: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        down: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._ends: dict[Way, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {"up": up, "down": down}
        self._is_stranded = False

    async def run(self) -> None:
        """Carry both ways until both have ended."""
        await asyncio.gather(self._pump("up"), self._pump("down"), return_exceptions=True)
        self.abort()

    def abort(self) -> None:
        """Reset both ends."""
        for _, writer in self._ends.values():
            writer.transport.abort()

    def strand(self) -> None:
        """Carry nothing any more."""
        self._is_stranded = True

    def half_close(self, way: Way) -> None:
        """Tell the end of a way that nothing more comes."""
        with suppress(OSError):
            self._ends[way][1].write_eof()

    async def _pump(self, way: Way) -> None:
        reader, writer = self._ends[way]
        frames = FrameReader()
        late: list[bytes] = []
        try:
            while chunk := await reader.read(CHUNK):
                for raw, content in frames.feed(chunk):
                    for piece in self._decide(way, raw, content, late):
                        await self._carry(way, writer, piece)
            writer.write_eof()
        except OSError:
            self.abort()

    def _decide(self, way: Way, raw: bytes, content: bytes | None, late: list[bytes]) -> list[bytes]:
        if content is None:
            return [raw]
        frame = json.loads(content)
        verdict = self._proxy.judge(way, frame)
        self._proxy.judged[verdict, frame["type"]] += 1
        if verdict is Verdict.DROP:
            return []
        if verdict is Verdict.LATE:
            late.append(raw)
            return []
        now = [raw, *([raw] if verdict is Verdict.TWICE else []), *late]
        late.clear()
        return now

    async def _carry(self, way: Way, writer: asyncio.StreamWriter, piece: bytes) -> None:
        if delay := self._proxy.delay_s[way]:
            await asyncio.sleep(delay)
        while piece:
            await self._proxy.gates[way].wait()
            if self._is_stranded:
                await asyncio.Event().wait()
            most = self._proxy.bytes_per_s[way] // PARTS_PER_S
            part, piece = (piece[:most], piece[most:]) if most else (piece, b"")
            writer.write(part)
            await writer.drain()
            if most:
                await asyncio.sleep(1 / PARTS_PER_S)
