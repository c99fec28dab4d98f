"""Who may come in: with a token nobody without it, without one nobody from a foreign page."""

from __future__ import annotations

import aiohttp
import pytest
from door_checks import read_problem
from fake_fleet import FakeFleet
from hypothesis import given
from hypothesis import strategies as st
from litestar.datastructures import Headers

from mediafleet.doors.http.application import build_application
from mediafleet.doors.http.security import COOKIE, Caller, cookie_value, find_refusal
from mediafleet.doors.http.server import HttpServer
from mediafleet.ops.settings import ServerSettings

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - a test's own
OPEN = ServerSettings()
CLOSED = ServerSettings(token=TOKEN)


def status_for(settings: ServerSettings, method: str = "GET", path: str = "/api/v1/jobs", **headers: str) -> int:
    fields = {"host": "127.0.0.1:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    kind = "websocket" if path.startswith("/ws") else "http"
    problem = find_refusal(Caller(kind, method, path, Headers(fields)), settings)
    return problem.status if problem else 200


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/jobs", "/health", "/metrics", "/schema", "/static/x.css", "/ws/node", "/nope"]
)
def test_with_a_token_every_route_and_socket_asks_for_it(path: str) -> None:
    assert status_for(CLOSED, path=path) == 401
    assert status_for(CLOSED, path=path, authorization="Bearer wrong") == 401
    assert status_for(CLOSED, path=path, authorization=f"Basic {TOKEN}") == 401
    assert status_for(CLOSED, path=path, authorization=f"Bearer {TOKEN}") == 200
    assert status_for(CLOSED, path=path, authorization=f"bearer  {TOKEN}") == 200


def test_the_login_cookie_opens_and_the_token_itself_in_a_cookie_does_not() -> None:
    assert status_for(CLOSED, cookie=f"{COOKIE}={cookie_value(TOKEN)}") == 200
    assert status_for(CLOSED, cookie=f"other=1; {COOKIE}={cookie_value(TOKEN)}") == 200
    assert status_for(CLOSED, cookie=f"{COOKIE}={TOKEN}") == 401
    assert status_for(CLOSED, cookie=f"{COOKIE}=") == 401
    assert status_for(CLOSED, cookie="\x00=;;;=") == 401


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_guess_comes_in_and_none_breaks_the_check(authorization: str, cookie: str) -> None:
    assert status_for(CLOSED, authorization=authorization, cookie=cookie) == 401


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1", "127.0.0.1:9", "[::1]:8000", "LOCALHOST:1"]
)
def test_without_a_token_loopback_names_are_served(host: str) -> None:
    assert status_for(OPEN, host=host) == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8000", "", "10.0.0.1", "localhost.evil.example"]
)
def test_without_a_token_a_rebound_name_is_refused(host: str) -> None:
    assert status_for(OPEN, host=host) == 403


def test_further_host_names_can_be_allowed() -> None:
    assert status_for(ServerSettings(allowed_hosts=("Studio.lan",)), host="studio.lan:8000") == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8000"])
def test_a_foreign_page_may_look_but_change_nothing_and_open_no_socket(origin: str) -> None:
    assert status_for(OPEN, "GET", origin=origin) == 200
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert status_for(OPEN, method, origin=origin) == 403
    assert status_for(OPEN, path="/ws/node", origin=origin) == 403


def test_our_own_pages_and_programs_may_change_things() -> None:
    assert status_for(OPEN, "POST", origin="http://127.0.0.1:8000") == 200
    assert status_for(OPEN, "POST") == 200
    assert status_for(OPEN, path="/ws/node", origin="http://127.0.0.1:8000") == 200


def test_a_cookie_does_not_help_a_foreign_page() -> None:
    cookie = f"{COOKIE}={cookie_value(TOKEN)}"
    assert status_for(CLOSED, "POST", cookie=cookie, origin="https://evil.example") == 403
    assert status_for(CLOSED, "POST", cookie=cookie, origin="http://127.0.0.1:8000") == 200
    assert status_for(CLOSED, "POST", path="/login", origin="https://evil.example") == 403


async def test_a_stranger_gets_a_problem_and_a_browser_the_login_form(fleet: FakeFleet) -> None:
    async with (
        HttpServer(build_application(fleet, CLOSED), host="127.0.0.1", port=0) as server,
        aiohttp.ClientSession(server.url) as client,
    ):
        async with client.get("/api/v1/jobs") as response:
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            await read_problem(response, 401, "unauthorized")
        async with client.get("/jobs/j0-x", headers={"Accept": "text/html"}, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/login?target=/jobs/j0-x")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await client.ws_connect("/ws/node")
        assert refusal.value.status == 401
        async with client.get("/api/v1/jobs", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            assert response.status == 200


async def test_a_foreign_page_cannot_open_a_socket(client: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await client.ws_connect("/ws/node", headers={"Origin": "https://evil.example"})
    assert refusal.value.status == 403


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://a]b[", "null", "//"])
def test_an_origin_that_is_no_address_is_foreign(origin: str) -> None:
    assert status_for(OPEN, "POST", origin=origin) == 403
