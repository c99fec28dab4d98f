"""A queue that is full: the client waits as it was asked to, within its limits, and says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from raw_server import RawServer

from mediafleet.client import transport as transport_module
from mediafleet.client.transport import REQUEST_S, Transport
from mediafleet.domain.errors import QueueFull

FULL: dict[str, Any] = {"code": "queue-full", "detail": "The fleet has 5 open tasks of 5."}


class Waits:
    """What the client told of its waits, which are cut to nothing here."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float]] = []
        self.factors: list[tuple[float, float]] = []

    def __call__(self, error: QueueFull, seconds: float) -> None:
        self.told.append((error.message, seconds))

    def draw(self, least: float, most: float) -> float:
        self.factors.append((least, most))
        return 0.001


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    waits = Waits()
    monkeypatch.setattr(transport_module.random, "uniform", waits.draw)
    return waits


@pytest.fixture
async def transport(server: RawServer, waits: Waits) -> AsyncIterator[Transport]:
    connected = Transport(server.url, attempts=3, on_full=waits)
    await connected.open()
    yield connected
    await connected.close()


async def post(transport: Transport) -> dict[str, int]:
    return await transport.ask("POST", "/api/v1/jobs", dict[str, int], body={})


async def test_a_refused_submission_is_sent_again_after_the_wait_that_was_asked_for(
    server: RawServer, transport: Transport, waits: Waits
) -> None:
    """Also one that is not safe to repeat: nothing of it was taken."""
    server.say(429, FULL, "Retry-After: 5")
    server.say(201, {"a": 1})
    assert await post(transport) == {"a": 1}
    assert len(server.heads) == 2
    assert waits.told == [(FULL["detail"], 0.005)], "5 s, by the factor that was drawn here"
    assert waits.factors == [(1.0, 1.25)], "never sooner than asked"


async def test_a_queue_that_stays_full_is_an_error_after_a_few_waits(
    server: RawServer, transport: Transport, waits: Waits
) -> None:
    server.say(429, FULL, "Retry-After: 5")
    with pytest.raises(QueueFull, match="5 open tasks of 5") as caught:
        await post(transport)
    assert (len(server.heads), len(waits.told)) == (3, 2), "no wait is told that does not come"
    assert caught.value.retry_after_s == 5


@pytest.mark.parametrize("field", [f"Retry-After: {REQUEST_S + 1:.0f}", "Retry-After: soon", "Retry-After: -1", "X: y"])
async def test_a_wait_that_is_too_long_or_unreadable_is_left_to_the_user(
    server: RawServer, transport: Transport, waits: Waits, field: str
) -> None:
    server.say(429, FULL, field)
    with pytest.raises(QueueFull):
        await post(transport)
    assert (len(server.heads), waits.told) == (1, [])


async def test_a_proxy_that_limits_requests_is_understood_too(server: RawServer, transport: Transport) -> None:
    server.say(429, b"slow down", "Retry-After: 1")
    server.say(200, {"a": 2})
    assert await post(transport) == {"a": 2}
