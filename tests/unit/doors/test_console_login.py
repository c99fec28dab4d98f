"""The console behind a token: in with it, out again, and nowhere else."""

from __future__ import annotations

import aiohttp
import pytest
from fake_fleet import FakeFleet

from mediafleet.console.login import safe_target
from mediafleet.doors.http.security import COOKIE
from mediafleet.ops.settings import ServerSettings

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - a test's own


class TestLogin:
    """With a token the console asks for it once."""

    @pytest.fixture
    def settings(self) -> ServerSettings:
        return ServerSettings(token=TOKEN)

    async def test_a_browser_is_led_through_the_login_to_where_it_wanted(
        self, console: aiohttp.ClientSession, fleet: FakeFleet
    ) -> None:
        job = fleet.add_job("mine.mkv")
        async with console.get(f"/jobs/{job.id}", headers={"Accept": "text/html"}) as response:
            assert response.url.path == "/login"
            text = await response.text()
        assert f'value="/jobs/{job.id}"' in text
        form = {"token": TOKEN, "target": f"/jobs/{job.id}"}
        async with console.post("/login", data=form, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, f"/jobs/{job.id}")
            cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie
        value = cookie.partition(";")[0]
        async with console.get(f"/jobs/{job.id}", headers={"Cookie": value}) as response:
            assert "mine.mkv" in await response.text()

    async def test_a_wrong_token_sets_no_cookie(self, console: aiohttp.ClientSession) -> None:
        async with console.post("/login", data={"token": "wrong"}) as response:
            assert response.status == 401
            assert "Set-Cookie" not in response.headers
            assert "not this fleet&#39;s token" in await response.text()

    async def test_logging_out_drops_the_cookie(self, console: aiohttp.ClientSession) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with console.post("/logout", headers=headers, allow_redirects=False) as response:
            assert f"{COOKIE}=" in response.headers["Set-Cookie"]
            assert "Max-Age=0" in response.headers["Set-Cookie"]


async def test_without_a_token_there_is_nothing_to_log_in_to(console: aiohttp.ClientSession) -> None:
    async with console.get("/login", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/")
    async with console.post("/login", data={"token": "x"}, allow_redirects=False) as response:
        assert response.status == 303


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nX: 1", "evil"]
)
def test_a_login_leads_nowhere_else(target: str) -> None:
    assert safe_target(target) == "/"
