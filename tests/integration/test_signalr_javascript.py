"""The official JavaScript client, over each transport and encoding; needs node and npm, and packages that npm can fetch."""

from __future__ import annotations

from pathlib import Path

import pytest
from cut_proxy import CutProxy
from javascript_client import WAYS, javascript
from tests_support.signalr_parts import EchoHub, served_hub

from mediafleet.ops.settings import ServerSettings

TOKEN = "a-token-of-the-fleet"  # noqa: S105 - of this test

each_way = pytest.mark.parametrize(("transport", "encoding"), WAYS)


@pytest.fixture
def echo() -> EchoHub:
    return EchoHub()


@each_way
async def test_the_official_client_calls_is_called_and_hears_of_errors(
    packages: Path, echo: EchoHub, transport: str, encoding: str
) -> None:
    async with (
        served_hub(echo, server=ServerSettings(token=TOKEN)) as hub,
        javascript(
            packages,
            "exchange",
            url=f"{hub.url}/signalrhub",
            transport=transport,
            encoding=encoding,
            token=TOKEN,
        ) as client,
    ):
        told = dict(await client.finish())
    assert told["started"] == {"result": None}
    assert told["echo"] == {"result": {"a": [1, None, "ü"]}}
    assert (told["add"], told["note"]) == ({"result": 42}, {"result": None})
    assert (told["called"], told["hello"]) == ({"result": True}, 5)
    assert "Unknown hub method 'Nope'" in told["unknown"]["error"]
    assert "Invocation provides 1 argument(s) but target expects 2." in told["count"]["error"]
    assert "HubException: That cannot be." in told["refused"]["error"]
    assert "non-streaming 'Echo' method" in told["stream"]["error"]
    assert told["again"] == {"result": "still here"}
    assert told["closed"] is None
    assert ("Note", "no answer") in echo.calls


async def test_the_official_client_is_refused_without_a_token(packages: Path, echo: EchoHub) -> None:
    async with (
        served_hub(echo, server=ServerSettings(token=TOKEN)) as hub,
        javascript(packages, "exchange", url=f"{hub.url}/signalrhub", transport="WebSockets") as client,
    ):
        told = await client.finish()
    assert len(told) == 1
    assert "Unauthorized" in told[0][1]["error"]


@each_way
async def test_the_official_client_comes_back_after_a_restart(
    packages: Path, echo: EchoHub, transport: str, encoding: str
) -> None:
    options = {"transport": transport, "encoding": encoding}
    async with served_hub(echo) as hub:
        running = javascript(packages, "count", url=f"{hub.url}/signalrhub", **options)
        client = await running.__aenter__()
        try:
            await client.until("counted")
        except BaseException:
            await running.__aexit__(None, None, None)
            raise
    try:
        async with served_hub(echo, port=hub.port):
            await client.until("reconnected")
            assert "result" in await client.until("counted")
            await client.finish()
    finally:
        await running.__aexit__(None, None, None)
    assert client.events()[-1] == "closed"


@pytest.mark.parametrize("encoding", ["json", "messagepack"])
async def test_the_official_client_resumes_where_it_was_when_its_socket_breaks(
    packages: Path, echo: EchoHub, encoding: str
) -> None:
    async with served_hub(echo) as hub, CutProxy(hub.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/signalrhub"
        options = {"transport": "WebSockets", "encoding": encoding, "stateful": True}
        async with javascript(packages, "count", url=url, **options) as client:
            for _ in range(5):
                for _ in range(20):
                    await client.until("counted")
                proxy.cut()
            for _ in range(20):
                await client.until("counted")
            await client.finish()
    assert "reconnecting" not in client.events()
    assert client.counted() == list(range(len(client.counted())))
    # Each call was made once, though its answer may have been sent twice.
    assert echo.calls == [("Echo", number) for number in range(len(echo.calls))]
    assert len(echo.connected) == 1
