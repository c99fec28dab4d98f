"""The seam: methods with types, callers, and what a hub may rely on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec
import pytest
from signalr_clients import Wire, connected, until
from tests_support.signalr_parts import EchoHub, call, served_hub

from mediafleet.domain.errors import Unavailable
from mediafleet.doors.signalr import lines
from mediafleet.doors.signalr.hub import BindingFault, Caller, Hub, Methods


class Place(msgspec.Struct):
    x: int
    y: int = 0


class Owner:
    """A hub whose methods are those of an object, as the real ones are."""

    async def go(self, caller: Caller, to: Place, how: str | None) -> None: ...

    async def raw(self, caller: Caller, data: bytes) -> None: ...

    async def anything(self, caller: Caller, value: Any) -> None: ...


METHODS = Methods(Hub({"Go": Owner().go, "Raw": Owner().raw, "Anything": Owner().anything}))


@pytest.mark.parametrize(
    ("name", "arguments", "bound"),
    [
        ("Go", [{"x": 1}, None], (Place(1), None)),
        ("go", ({"x": 1, "y": 2}, "fast"), (Place(1, 2), "fast")),
        ("Raw", [b"\x00"], (b"\x00",)),
        ("Raw", ["AAE="], (b"\x00\x01",)),
        ("Anything", [{"a": [1]}], ({"a": [1]},)),
    ],
)
def test_arguments_become_the_types_of_the_method(name: str, arguments: Any, bound: tuple[Any, ...]) -> None:
    method = METHODS.find(name)
    assert method is not None
    assert method.bind(arguments) == bound


@pytest.mark.parametrize("arguments", [[], [{"x": 1}], [{"x": "1"}, None], [{}, None], [None, None], [{"x": 1}, 5]])
def test_arguments_that_do_not_fit_are_refused_without_being_quoted(arguments: list[Any]) -> None:
    method = METHODS.find("Go")
    assert method is not None
    with pytest.raises(BindingFault, match=r"target expects"):
        method.bind(arguments)


@pytest.fixture
def echo() -> EchoHub:
    return EchoHub()


@pytest.fixture
async def wire(echo: EchoHub) -> AsyncIterator[Wire]:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(served_hub(echo))
        client = await stack.enter_async_context(aiohttp.ClientSession(hub.url))
        yield await stack.enter_async_context(connected("WebSockets", client))


async def test_one_call_runs_at_a_time_and_the_next_waits_for_it(wire: Wire, echo: EchoHub) -> None:
    for name in "abcdef":
        await wire.send(call("Wait", name, invocationId=name))
    await until(lambda: echo.calls)
    assert echo.calls == [("begin", "a")]
    echo.may_go_on.set()
    assert [(await wire.next())["invocationId"] for _ in range(6)] == list("abcdef")
    assert echo.calls == [(step, name) for name in "abcdef" for step in ("begin", "end")]


async def test_errors_of_ours_are_told_and_others_are_kept(wire: Wire) -> None:
    await wire.send(
        call("Refuse", invocationId="1") + call("Fail", invocationId="2") + call("Unwritable", invocationId="3")
    )
    told, kept, unwritable = [(await wire.next())["error"] for _ in range(3)]
    assert told == "An unexpected error occurred invoking 'Refuse' on the server. HubException: That cannot be."
    assert kept == "An unexpected error occurred invoking 'Fail' on the server."
    assert "cannot be written" in unwritable


async def test_what_is_sent_after_a_call_comes_after_its_completion(wire: Wire) -> None:
    await wire.send(call("Finish", 5, invocationId="1") + call("Finish", 6))
    assert await wire.next() == {"type": 3, "invocationId": "1"}
    assert await wire.next() == {"type": 1, "target": "Acknowledge", "arguments": [5]}
    assert await wire.next() == {"type": 1, "target": "Acknowledge", "arguments": [6]}


async def test_a_caller_is_harmless_after_its_client_has_gone(wire: Wire, echo: EchoHub) -> None:
    await until(lambda: echo.callers)
    caller = echo.callers[echo.connected[0]]
    caller.close("enough", allow_reconnect=True)
    assert await wire.next() == {"type": 7, "error": "enough", "allowReconnect": True}
    await until(lambda: echo.disconnected)
    assert echo.disconnected == [(echo.connected[0], "enough")]
    assert not caller.send("Hello")
    caller.close()


async def test_a_call_is_finished_though_its_client_has_gone_and_the_goodbye_waits_for_it(
    wire: Wire, echo: EchoHub
) -> None:
    await wire.send(call("Wait", "a") + call("Note", "b"))
    await until(lambda: echo.calls)
    caller = echo.callers[echo.connected[0]]
    caller.close()
    assert await wire.next() == {"type": 7}
    assert echo.disconnected == []
    echo.may_go_on.set()
    await until(lambda: echo.disconnected)
    assert ("end", "a") in echo.calls


async def test_a_hub_that_refuses_a_client_sends_it_away(echo: EchoHub) -> None:
    async def refuse(caller: Caller) -> None:
        raise Unavailable("The fleet is full; come back later.")

    echo_hub = echo.hub
    echo.hub = lambda: replace(echo_hub(), on_connected=refuse)
    async with (
        served_hub(echo) as hub,
        aiohttp.ClientSession(hub.url) as client,
        connected("WebSockets", client) as wire,
    ):
        assert await wire.next() == {"type": 7, "error": "The fleet is full; come back later.", "allowReconnect": True}
        assert await wire.next() is None


async def test_a_call_that_does_not_end_holds_up_no_shutdown(echo: EchoHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "END_WITHIN_S", 0.05)
    async with (
        served_hub(echo) as hub,
        aiohttp.ClientSession(hub.url) as client,
        connected("WebSockets", client) as wire,
    ):
        await wire.send(call("Wait", "for ever"))
        await until(lambda: echo.calls)
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("signalr-")] == []
