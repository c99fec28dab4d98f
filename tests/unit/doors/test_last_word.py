"""The shell around the application: what it adds, what it refuses with, and its last word on errors."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from litestar.datastructures import Headers

from mediafleet.doors.http.security import (
    COOKIE,
    DEFAULT_POLICY,
    Caller,
    SecurityShell,
    cookie_value,
    find_refusal,
)
from mediafleet.ops.settings import ServerSettings

TOKEN = "correct-horse-battery-staple"  # noqa: S105 - a test's own
OPEN = ServerSettings()
CLOSED = ServerSettings(token=TOKEN)
HTML = "text/html,*/*;q=0.8"


class Exchange:
    """One connection through the shell: what the application saw and what the client was sent."""

    def __init__(self, settings: ServerSettings, *, fails: Exception | None = None, starts: bool = True) -> None:
        self.shell = SecurityShell(cast("Any", self.serve), settings)
        self.fails, self.starts = fails, starts
        self.principal = ""
        self.sent: list[dict[str, Any]] = []

    async def serve(self, scope: Any, _: object, send: Any) -> None:
        self.principal = scope["state"]["principal"]
        if self.starts:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"SAMEORIGIN")]})
        if self.fails:
            raise self.fails

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def ask(self, path: str = "/", kind: str = "http", **fields: Any) -> Exchange:
        headers = {"host": "127.0.0.1:8000"} | fields.pop("headers", {})
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        scope = {"type": kind, "method": "GET", "path": path, "headers": raw, **fields}
        await self.shell(cast("Any", scope), cast("Any", None), cast("Any", self.send))
        return self

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}


async def test_the_application_is_told_who_asks() -> None:
    assert (await Exchange(OPEN).ask()).principal == "local"
    proof = {"authorization": f"Bearer {TOKEN}"}
    assert (await Exchange(CLOSED).ask(headers=proof)).principal == "token"


async def test_what_the_application_says_of_itself_is_not_overruled() -> None:
    headers = (await Exchange(OPEN).ask()).headers
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["content-security-policy"] == DEFAULT_POLICY
    assert headers["x-content-type-options"] == "nosniff"


async def test_an_application_that_breaks_before_its_answer_is_a_problem(capfd: pytest.CaptureFixture[str]) -> None:
    exchange = await Exchange(OPEN, fails=ValueError("secret"), starts=False).ask("/x")
    assert exchange.sent[0]["status"] == 500
    problem = json.loads(exchange.sent[1]["body"])
    assert problem["code"] == "internal-error"
    assert exchange.headers["content-length"] == str(len(exchange.sent[1]["body"]))
    assert exchange.headers["content-security-policy"] == DEFAULT_POLICY
    assert problem["detail"].rstrip(".").split()[-1] in "".join(capfd.readouterr())


async def test_an_application_that_breaks_within_its_answer_is_only_logged(capfd: pytest.CaptureFixture[str]) -> None:
    exchange = await Exchange(OPEN, fails=ValueError("x")).ask("/x")
    assert [message["type"] for message in exchange.sent] == ["http.response.start"]
    assert "path=/x" in "".join(capfd.readouterr())


async def test_what_is_no_connection_passes_through() -> None:
    seen: list[str] = []

    async def serve(scope: Any, *_: object) -> None:
        seen.append(scope["type"])

    await SecurityShell(cast("Any", serve), CLOSED)(cast("Any", {"type": "lifespan"}), *cast("Any", (None, None)))
    assert seen == ["lifespan"]


@pytest.mark.parametrize(
    ("path", "target"),
    [("/", "/login"), ("/jobs/j0-1", "/login?target=/jobs/j0-1"), ("/a b&c#d", "/login?target=/a%20b%26c%23d")],
)
async def test_a_browser_is_sent_to_the_login_and_back(path: str, target: str) -> None:
    exchange = await Exchange(CLOSED).ask(path, headers={"accept": HTML})
    assert (exchange.sent[0]["status"], exchange.headers["location"]) == (303, target)


@pytest.mark.parametrize(
    ("path", "method", "accept"),
    [("/api/v1/jobs", "GET", HTML), ("/", "POST", HTML), ("/", "GET", "application/json"), ("/", "GET", "")],
)
async def test_whoever_is_no_browser_looking_at_a_page_gets_the_document(path: str, method: str, accept: str) -> None:
    exchange = await Exchange(CLOSED).ask(path, method=method, headers={"accept": accept})
    assert exchange.sent[0]["status"] == 401
    assert exchange.headers["www-authenticate"].startswith("Bearer")
    assert "/login" in json.loads(exchange.sent[1]["body"])["detail"]


async def test_a_missing_token_and_a_wrong_one_are_told_apart() -> None:
    missing = find_refusal(Caller("http", "GET", "/", Headers({})), CLOSED)
    wrong = find_refusal(Caller("http", "GET", "/", Headers({"authorization": "Bearer no"})), CLOSED)
    assert missing
    assert missing.detail.startswith("This fleet asks for a token")
    assert wrong
    assert wrong.detail.startswith("The token is wrong")


async def test_a_socket_is_refused_with_the_document_where_the_server_can_send_one() -> None:
    exchange = await Exchange(CLOSED).ask("/ws/node", "websocket", extensions={"websocket.http.response": {}})
    assert [message["type"] for message in exchange.sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert exchange.headers["content-type"] == "application/problem+json"
    assert json.loads(exchange.sent[1]["body"])["code"] == "unauthorized"


@pytest.mark.parametrize("extensions", [None, {}])
async def test_a_socket_is_closed_with_a_code_where_it_cannot(extensions: dict[str, Any] | None) -> None:
    exchange = await Exchange(CLOSED).ask("/ws/node", "websocket", extensions=extensions)
    (close,) = exchange.sent
    assert (close["type"], close["code"]) == ("websocket.close", 4401)
    assert len(close["reason"].encode()) <= 123


async def test_a_reason_fits_its_close_frame_whatever_host_was_named() -> None:
    exchange = await Exchange(OPEN).ask("/ws/node", "websocket", headers={"host": "é" * 100})
    assert exchange.sent[0]["code"] == 4403
    assert len(exchange.sent[0]["reason"].encode()) <= 123


async def test_a_login_page_is_served_to_strangers_but_no_login_socket() -> None:
    assert (await Exchange(CLOSED).ask("/login")).sent[0]["status"] == 200
    assert (await Exchange(CLOSED).ask("/login", "websocket")).sent[0]["code"] == 4401
    assert (await Exchange(CLOSED).ask("/login/")).sent[0]["status"] == 401


async def test_a_long_host_name_is_not_repeated_whole() -> None:
    problem = find_refusal(Caller("http", "GET", "/", Headers({"host": "x" * 9_000})), OPEN)
    assert problem
    assert len(problem.detail) < 250
    assert "server.allowed_hosts" in problem.detail


def test_a_cookie_proves_the_token_without_holding_it() -> None:
    assert TOKEN not in cookie_value(TOKEN)
    assert cookie_value(TOKEN) == cookie_value(TOKEN)
    assert cookie_value(TOKEN) != cookie_value(TOKEN + "x")


def test_a_cookie_does_not_open_where_the_token_has_changed() -> None:
    old = Headers({"cookie": f"{COOKIE}={cookie_value('another')}", "host": "127.0.0.1"})
    problem = find_refusal(Caller("http", "GET", "/", old), CLOSED)
    assert problem
    assert problem.status == 401
