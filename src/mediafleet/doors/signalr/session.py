"""A connected client: its machine, run by time and by what transports bring, and the hub's methods, run one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from mediafleet.domain.errors import MediafleetError
from mediafleet.doors.signalr.connection import Closed, Connected, Connection, Event, Invoked, Phase
from mediafleet.doors.signalr.hub import Hub
from mediafleet.doors.signalr.messages import NOTHING

_LONGEST_ECHO = 200
_SLICE_BYTES = 16 * 1024
STALL_S = 1.0
"""A timer that is later than this was held up by this process, not by its client."""

_logger = structlog.get_logger(__name__)


class Session:
    """One client behind whatever transport carries it now; a `Caller` for the hub. `run` is its task."""

    def __init__(self, hub: Hub, machine: Connection, connection_id: str) -> None:
        self.machine = machine
        self._hub = hub
        self._id = connection_id
        self._loop = asyncio.get_running_loop()
        self._events: list[Event] = []
        self._after: list[tuple[str, tuple[Any, ...]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._is_welcome = False
        self._looked()

    # What the hub may do; see `Caller`.

    @property
    def connection_id(self) -> str:
        """Public name of the connection."""
        return self._id

    def send(self, target: str, *arguments: Any) -> bool:
        """Call a method of the client; see `Caller`."""
        is_queued = self.machine.call(target, arguments, self._loop.time())
        self._looked()
        return is_queued

    def send_after(self, target: str, *arguments: Any) -> None:
        """Call a method of the client after this call's completion; see `Caller`."""
        self._after.append((target, arguments))

    def close(self, error: str | None = None, *, allow_reconnect: bool = False) -> None:
        """End the connection; see `Caller`."""
        self.machine.close(error, self._loop.time(), allow_reconnect=allow_reconnect)
        self._looked()

    # What transports do.

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come; what is queued may still be sent."""
        return self.machine.phase is Phase.CLOSED

    async def take(self, data: bytes) -> bool:
        """Take what the client sent, as fast as there is room for it; False if nothing more is wanted."""
        for start in range(0, len(data), _SLICE_BYTES):
            if not await self.room():
                return False
            self.machine.receive(data[start : start + _SLICE_BYTES], self._loop.time())
            self._looked()
            # A frame may hold a million pings: others have their turn between them.
            await asyncio.sleep(0)
        return await self.room()

    async def room(self) -> bool:
        """Wait until more may be taken; False if nothing more is wanted."""
        await self._until(lambda: self.machine.wants_input or self._is_ending)
        return self.machine.wants_input

    async def output(self) -> list[bytes]:
        """Wait for what is to be sent and take it; empty when all was sent and the connection is over."""
        await self.has_news()
        return self.machine.take_output()

    async def has_news(self) -> None:
        """Wait until there is something to be sent, or the connection is over."""
        await self._until(lambda: self.machine.has_output or self.is_over)

    async def ended(self) -> None:
        """Wait until the connection is over."""
        await self._until(lambda: self.is_over)

    def leave(self) -> None:
        """The client said that it will not come back."""
        self.machine.leave(self._loop.time())
        self._looked()

    def part(self) -> None:
        """The transport is gone."""
        self.machine.part(self._loop.time())
        self._looked()

    def resume(self) -> None:
        """Another transport carries the connection from here on."""
        self.machine.resume(self._loop.time())
        self._looked()

    # Its own task.

    async def run(self) -> None:
        """Handle what happens until the connection is over and its last call has ended."""
        try:
            while True:
                while self._events:
                    event = self._events.pop(0)
                    if isinstance(event, Closed):
                        await self._say_goodbye(event)
                        return
                    await self._handle(event)
                self._wake.clear()
                await self._wake.wait()
        finally:
            if self._timer:
                self._timer.cancel()

    async def _handle(self, event: Connected | Invoked) -> None:
        if isinstance(event, Connected):
            await self._welcome()
        else:
            await self._invoke(event)

    async def _welcome(self) -> None:
        self._is_welcome = True
        try:
            await self._hub.on_connected(self)
        except Exception as error:  # noqa: BLE001 - the boundary to the hub
            self._note("hub refused a connection", error)
            self.close(_explain(error) or "Connection closed with an error.", allow_reconnect=True)

    async def _invoke(self, call: Invoked) -> None:
        result, error = NOTHING, None
        self._after.clear()
        try:
            value = await call.method.handler(self, *call.arguments)
            result = NOTHING if value is None else value
        except Exception as fault:  # noqa: BLE001 - the boundary to the hub
            self._note("hub method failed", fault, method=call.method.name)
            error = f"An unexpected error occurred invoking '{call.method.name}' on the server."
            if told := _explain(fault):
                error = f"{error} HubException: {told}"
            self._after.clear()
        self.machine.complete(self._loop.time(), result=result, error=error)
        after, self._after = self._after, []
        for target, arguments in after:
            self.machine.call(target, arguments, self._loop.time())
        self._looked()

    async def _say_goodbye(self, event: Closed) -> None:
        if not self._is_welcome:
            return
        try:
            await self._hub.on_disconnected(self, event.error)
        except Exception as error:  # noqa: BLE001 - the boundary to the hub
            self._note("hub failed at a goodbye", error)

    def _note(self, what: str, error: Exception, **fields: str) -> None:
        # Our own errors are answers; others are faults, and their text may quote an argument.
        if isinstance(error, MediafleetError):
            _logger.warning(what, connection=self._id, reason=error.message, **fields)
        else:
            _logger.error(what, connection=self._id, error=repr(error)[:_LONGEST_ECHO], **fields)

    # Between the machine and the loop.

    @property
    def _is_ending(self) -> bool:
        return self.machine.phase in {Phase.LEAVING, Phase.CLOSED}

    def _looked(self) -> None:
        """Follow the machine after it was told something."""
        if events := self.machine.take_events():
            self._events += events
            self._wake.set()
        self._arm()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _arm(self) -> None:
        deadline = self.machine.deadline
        if self._timer is not None:
            if deadline is not None and self._timer.when() <= deadline:
                # It looks again by itself; each message would else cost a timer.
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._tick, deadline)

    def _tick(self, due: float) -> None:
        self._timer = None
        now = self._loop.time()
        late_s = now - due
        self.machine.tick(now, late_s=late_s if late_s > STALL_S else 0.0)
        self._looked()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter


def _explain(error: Exception) -> str:
    """Return what the client may know of an error."""
    return error.message if isinstance(error, MediafleetError) else ""
