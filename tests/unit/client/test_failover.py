"""A client that knows several addresses of a fleet needs only one that answers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from mediafleet.client.transport import Transport
from mediafleet.domain.errors import InvalidRequest, SchedulerUnavailable

NOBODY = "http://127.0.0.1:1"


class Living:
    """An instance that answers and counts what it is sent."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Say what was asked."""
        self.asked.append(request.method)
        return web.json_response({"path": request.path})


@pytest.fixture
async def living() -> AsyncIterator[Living]:
    """An instance on a free port."""
    instance = Living()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", instance.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    instance.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield instance
    await runner.cleanup()


async def ask(addresses: str, method: str = "GET", *, repeat: bool = True) -> dict[str, str]:
    """Send one request to whoever answers."""
    transport = Transport(addresses)
    await transport.open()
    try:
        return await transport.ask(method, "/api/v1/x", dict[str, str], repeat=repeat)
    finally:
        await transport.close()


async def test_a_question_goes_to_the_next_address_where_nobody_listens(living: Living) -> None:
    assert await ask(f"{NOBODY},{living.url}") == {"path": "/api/v1/x"}


async def test_an_order_that_was_never_sent_goes_to_the_next_address_once(living: Living) -> None:
    await ask(f"{NOBODY},{living.url}", "POST", repeat=False)
    assert living.asked == ["POST"]


async def test_the_address_that_answered_is_used_from_then_on(living: Living) -> None:
    transport = Transport(f"{NOBODY},{living.url}")
    await transport.open()
    await transport.ask("GET", "/api/v1/x", dict[str, str], repeat=True)
    assert transport.base_url == living.url
    await transport.close()


async def test_where_no_address_answers_the_sentence_names_one() -> None:
    with pytest.raises(SchedulerUnavailable, match=r"No scheduler answers at http://127\.0\.0\.1:1"):
        await ask(f"{NOBODY},{NOBODY}", repeat=False)


@pytest.mark.parametrize("addresses", ["", "http://a,ftp://b", "http://a,,http://b"])
def test_each_address_is_checked(addresses: str) -> None:
    with pytest.raises(InvalidRequest, match="no server address"):
        Transport(addresses)
