"""The console behind a token: in with it, out again, and nowhere else."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
from fake_fleet import FakeFleet
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.console.login import COOKIE_LIFE_S, LARGEST_FORM_BYTES, safe_target
from mediafleet.doors.http.security import COOKIE
from mediafleet.ops.settings import ServerSettings

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - a test's own
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


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

    @pytest.mark.parametrize("scheme", ["https", "http"])
    async def test_a_cookie_set_behind_a_secure_proxy_stays_on_secure_connections(
        self, console: aiohttp.ClientSession, scheme: str
    ) -> None:
        headers = {"X-Forwarded-Proto": scheme}
        async with console.post("/login", data={"token": TOKEN}, headers=headers, allow_redirects=False) as response:
            cookie = response.headers["Set-Cookie"]
        assert ("Secure" in cookie) == (scheme == "https")
        assert f"Max-Age={COOKIE_LIFE_S}" in cookie
        assert "Path=/" in cookie

    async def test_blanks_around_a_pasted_token_do_not_matter(self, console: aiohttp.ClientSession) -> None:
        async with console.post("/login", data={"token": f" {TOKEN}\n"}, allow_redirects=False) as response:
            assert response.status == 303

    async def test_a_form_is_read_no_further_than_a_login_needs(self, console: aiohttp.ClientSession) -> None:
        filler = "x=1&" * (LARGEST_FORM_BYTES // 4)
        for body, status in ((filler[4:] + f"token={TOKEN}", 401), (f"token={TOKEN}&" + filler * 100, 303)):
            async with console.post("/login", data=body, headers=FORM, allow_redirects=False) as response:
                assert response.status == status

    async def test_bytes_that_are_no_text_are_a_wrong_token(self, console: aiohttp.ClientSession) -> None:
        async with console.post("/login", data=b"token=\xff\xfe%00", headers=FORM) as response:
            assert response.status == 401
            assert "not this fleet" in await response.text()

    async def test_a_wrong_token_keeps_where_the_browser_wanted_to_go(self, console: aiohttp.ClientSession) -> None:
        async with console.post("/login", data={"token": "no", "target": '/jobs/j0-1?a="b"'}) as response:
            text = await response.text()
        assert 'value="/jobs/j0-1?a=&#34;b&#34;"' in text
        assert 'aria-invalid="true"' in text

    async def test_no_form_leads_to_another_site(self, console: aiohttp.ClientSession) -> None:
        form = {"token": TOKEN, "target": "//evil.example"}
        async with console.post("/login", data=form, allow_redirects=False) as response:
            assert response.headers["Location"] == "/"
        async with console.get("/login?target=https://evil.example") as response:
            assert "evil.example" not in await response.text()

    async def test_a_stranger_cannot_log_anybody_out(self, console: aiohttp.ClientSession) -> None:
        async with console.post("/logout", allow_redirects=False) as response:
            assert response.status == 401
            assert "Set-Cookie" not in response.headers


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


@given(st.text(max_size=40))
def test_wherever_a_login_leads_it_stays_here(target: str) -> None:
    safe = safe_target(target)
    assert urlsplit("http://fleet.example" + safe).netloc == "fleet.example"
    assert urlsplit(urljoin("http://fleet.example/login", safe)).netloc == "fleet.example"
    assert safe.isprintable()


@pytest.mark.parametrize("target", ["/", "/jobs/j0-1", "/?status=failed&offset=25", "/a//b"])
def test_a_path_of_ours_is_kept_as_it_is(target: str) -> None:
    assert safe_target(target) == target
