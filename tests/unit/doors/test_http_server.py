"""Binding, serving and stopping."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from fake_fleet import FakeFleet

from mediafleet.domain.errors import ConfigError
from mediafleet.doors.http.application import build_application
from mediafleet.doors.http.server import Bound, HttpServer, bind
from mediafleet.ops.settings import ServerSettings


def test_a_busy_port_is_a_sentence_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"Port {port} on 127.0.0.1 is in use"):
            bind("127.0.0.1", port)


def test_a_host_that_is_no_address_here_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"no.such.host.invalid"):
        bind("no.such.host.invalid", 0)
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        bind("192.0.2.1", 0)


def test_the_address_for_people_can_be_opened_on_this_machine() -> None:
    with socket.socket() as any_socket:
        assert Bound(any_socket, "0.0.0.0", 80).url == "http://127.0.0.1:80"  # noqa: S104 - nothing is bound
        assert Bound(any_socket, "::", 80).url == "http://[::1]:80"
        assert Bound(any_socket, "::1", 80).url == "http://[::1]:80"
        assert Bound(any_socket, "studio", 80).url == "http://studio:80"


async def test_a_stopped_server_frees_its_port(fleet: FakeFleet) -> None:
    async with (
        HttpServer(build_application(fleet, ServerSettings()), host="127.0.0.1", port=0) as server,
        aiohttp.ClientSession() as client,
        client.get(server.url + "/health") as response,
    ):
        assert response.status == 200
    async with HttpServer(build_application(fleet, ServerSettings()), host="127.0.0.1", port=server.port) as again:
        assert again.port == server.port


async def test_a_refused_socket_is_no_error_in_the_log(fleet: FakeFleet, caplog: pytest.LogCaptureFixture) -> None:
    foreign = {"Origin": "http://elsewhere.example"}
    async with (
        HttpServer(build_application(fleet, ServerSettings()), host="127.0.0.1", port=0) as server,
        aiohttp.ClientSession() as client,
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await client.ws_connect(server.url + "/ws/node", headers=foreign)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
