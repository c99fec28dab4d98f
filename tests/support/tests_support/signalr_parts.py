"""A hub that echoes, and a machine with virtual time around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec

from mediafleet.domain.errors import InvalidRequest
from mediafleet.doors.http.application import Extras, build_application
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.signalr.connection import Connection, Event
from mediafleet.doors.signalr.door import SignalrDoor
from mediafleet.doors.signalr.hub import Caller, Hub, Methods
from mediafleet.ops.settings import ServerSettings, SignalrSettings
from mediafleet.scheduler.facade import Fleet

END = b"\x1e"


class EchoHub:
    """What each client called, in order, and methods of every sort."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.connected: list[str] = []
        self.disconnected: list[tuple[str, str]] = []
        self.callers: dict[str, Caller] = {}
        self.may_go_on = asyncio.Event()

    def hub(self) -> Hub:
        return Hub(
            methods={
                "Echo": self.echo,
                "Add": self.add,
                "Note": self.note,
                "Fail": self.fail,
                "Refuse": self.refuse,
                "Wait": self.wait,
                "CallBack": self.call_back,
                "Finish": self.finish,
                "Unwritable": self.unwritable,
            },
            on_connected=self._connected,
            on_disconnected=self._disconnected,
        )

    async def echo(self, caller: Caller, value: Any) -> Any:
        self.calls.append(("Echo", value))
        return value

    async def add(self, caller: Caller, one: int, other: int) -> int:
        return one + other

    async def note(self, caller: Caller, text: str) -> None:
        self.calls.append(("Note", text))

    async def fail(self, caller: Caller) -> None:
        raise ValueError("a secret of the server")

    async def refuse(self, caller: Caller) -> None:
        raise InvalidRequest("That cannot be.")

    async def wait(self, caller: Caller, name: str) -> str:
        self.calls.append(("begin", name))
        await self.may_go_on.wait()
        self.calls.append(("end", name))
        return name

    async def call_back(self, caller: Caller, target: str, value: Any) -> bool:
        return caller.send(target, value)

    async def finish(self, caller: Caller, number: int) -> None:
        caller.send_after("Acknowledge", number)

    async def unwritable(self, caller: Caller) -> object:
        return object()

    async def _connected(self, caller: Caller) -> None:
        self.connected.append(caller.connection_id)
        self.callers[caller.connection_id] = caller

    async def _disconnected(self, caller: Caller, error: str) -> None:
        self.disconnected.append((caller.connection_id, error))


@asynccontextmanager
async def served_hub(
    echo: EchoHub, *, server: ServerSettings | None = None, signalr: SignalrSettings | None = None, port: int = 0
) -> AsyncGenerator[HttpServer]:
    """Serve a hub on loopback."""
    extras = Extras(signalr=SignalrDoor(echo.hub(), signalr))
    # The hub asks nothing of a fleet.
    application = build_application(cast("Fleet", None), server or ServerSettings(), extras)
    async with HttpServer(application, host="127.0.0.1", port=port) as running:
        yield running


def record(**fields: Any) -> bytes:
    """Return a JSON message with its end."""
    return msgspec.json.encode(fields) + END


def records(data: bytes) -> list[Any]:
    """Return the JSON messages in some bytes."""
    assert data == b"" or data.endswith(END)
    return [msgspec.json.decode(part) for part in data.split(END)[:-1]]


def call(target: str, *arguments: Any, **fields: Any) -> bytes:
    """Return an invocation as JSON."""
    return record(type=1, target=target, arguments=list(arguments), **fields)


class Driver:
    """A machine at a time that stands still until `at` is set."""

    def __init__(self, settings: SignalrSettings | None = None, *, hub: EchoHub | None = None, **options: Any) -> None:
        self.at = 0.0
        methods = Methods((hub or EchoHub()).hub())
        self.machine = Connection(settings or SignalrSettings(), methods.find, now=0.0, **options)

    def shake(self, protocol: str = "json", version: int = 1) -> Driver:
        self.machine.receive(record(protocol=protocol, version=version), self.at)
        assert self.machine.take_output() == [b"{}" + END]
        self.machine.take_events()
        return self

    def give(self, data: bytes) -> list[Any]:
        """Feed bytes; return the JSON messages that come back."""
        self.machine.receive(data, self.at)
        return self.answers()

    def answers(self) -> list[Any]:
        return records(b"".join(self.machine.take_output()))

    def events(self) -> list[Event]:
        return self.machine.take_events()

    def complete(self, **outcome: Any) -> list[Any]:
        self.machine.complete(self.at, **outcome)
        return self.answers()

    def wait(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> list[Any]:
        """Let time pass with a tick at each deadline; return what was sent meanwhile."""
        end, sent = self.at + seconds, list[Any]()
        while (due := self.machine.deadline) is not None and due <= end and not until():
            self.at = max(self.at, due)
            self.machine.tick(self.at)
            sent += self.answers()
        self.at = end
        return sent
