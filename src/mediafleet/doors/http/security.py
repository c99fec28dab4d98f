"""Who may come in: a middleware around the whole application, so that no route or socket is forgotten.

With a token in force every route but `/login` asks for it, unknown ones too. Without one the
address is a loopback address, which any web page in a browser of this machine can reach: so the
`Host` must be a loopback name (against DNS rebinding), and what changes anything, and every
WebSocket, must not come from a foreign page. docs/decisions/ has the reasons.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

from litestar.datastructures import Headers

from mediafleet.domain.errors import Unauthorized
from mediafleet.domain.job import LOCAL_PRINCIPAL
from mediafleet.doors.closing import shorten_reason
from mediafleet.doors.http.problems import (
    PROBLEM_TYPE,
    Problem,
    encode_problem,
    headers_of,
    make_problem,
    note_unforeseen,
    problem_of,
    unforeseen_problem,
)
from mediafleet.ops.auth import is_loopback, tokens_equal

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    from mediafleet.ops.settings import ServerSettings

COOKIE = "mediafleet"
LOGIN_PATH = "/login"
TOKEN_PRINCIPAL = "token"  # noqa: S105 - a name for who came with the credential
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DEFAULT_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""For everything that is no page: even if a browser shows it, nothing in it runs."""

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # not no-referrer: that makes browsers send `Origin: null` with our own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": DEFAULT_POLICY,
}


@dataclass(frozen=True)
class Caller:
    """What of a request decides whether it may come in."""

    kind: str
    """`http` or `websocket`."""
    method: str
    path: str
    headers: Headers

    @property
    def wants_page(self) -> bool:
        """Whether a person with a browser asks: then a login form helps more than a problem document."""
        accepts_html = "text/html" in self.headers.get("accept", "")
        return self.kind == "http" and self.method == "GET" and accepts_html and not self.path.startswith("/api/")


def cookie_value(token: str) -> str:
    """Return what the login cookie holds: it proves the token and does not give it away."""
    return hmac.new(token.encode(), b"mediafleet console cookie", hashlib.sha256).hexdigest()


def find_refusal(caller: Caller, server: ServerSettings) -> Problem | None:
    """Return why a caller may not come in, or None if it may."""
    # Before the token is asked for: this is where it is given. Foreign pages are kept out even here.
    if caller.path == LOGIN_PATH and caller.kind == "http":
        return _refuse_foreign(caller)
    if server.token:
        return _refuse_stranger(caller, server.token)
    return _refuse_host(caller, server) or _refuse_foreign(caller)


def _refuse_stranger(caller: Caller, token: str) -> Problem | None:
    scheme, _, given = caller.headers.get("authorization", "").partition(" ")
    # A foreign page cannot make a browser send this field, so its origin does not matter.
    if scheme.lower() == "bearer" and tokens_equal(given.strip(), token):
        return None
    if tokens_equal(_read_cookie(caller.headers.get("cookie", "")), cookie_value(token)):
        return _refuse_foreign(caller)
    what = "The token is wrong" if given else "This fleet asks for a token"
    return problem_of(Unauthorized(f"{what}; send it as 'Authorization: Bearer <token>', or log in at {LOGIN_PATH}."))


def _refuse_host(caller: Caller, server: ServerSettings) -> Problem | None:
    host = _host_name(caller.headers.get("host", ""))
    if is_loopback(host) or host in {name.lower() for name in server.allowed_hosts}:
        return None
    return make_problem(
        "forbidden",
        403,
        f"The host name {host[:100]!r} is not served here; add it to server.allowed_hosts to allow it.",
    )


def _refuse_foreign(caller: Caller) -> Problem | None:
    if caller.kind == "http" and caller.method in SAFE_METHODS:
        return None
    origin = caller.headers.get("origin", "")
    if not origin or _site_of(origin) == caller.headers.get("host", "").lower():
        return None
    return make_problem(
        "forbidden", 403, f"A page from {origin[:100]!r} may not do this; use this fleet's own console."
    )


def _site_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return "?"  # As in `http://[`: nobody's site, and equal to no Host.


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.partition(":")[0].lower()


def _read_cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


class SecurityShell:
    """The outermost layer: lets in, refuses, adds security headers, and has the last word on errors."""

    def __init__(self, app: ASGIApp, server: ServerSettings) -> None:
        self._app, self._server = app, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI asks for."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        fields = cast("dict[str, Any]", scope)
        caller = Caller(fields["type"], fields.get("method", "GET"), fields["path"], Headers.from_scope(scope))
        if problem := find_refusal(caller, self._server):
            await _refuse(problem, caller, scope, send)
            return
        state: dict[str, Any] = fields.setdefault("state", {})
        state["principal"] = TOKEN_PRINCIPAL if self._server.token else LOCAL_PRINCIPAL
        if caller.kind == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._serve_http(caller, scope, receive, send)

    async def _serve_http(self, caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_hardened(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _add_headers(message)
            await send(message)

        try:
            await self._app(scope, receive, send_hardened)
        except Exception as error:  # noqa: BLE001 - the boundary to the server: nothing may reach its log as a crash
            reference = note_unforeseen(caller.method, caller.path, error)
            # After the first byte there can be no other answer; the server breaks the connection off.
            if not started:
                await send_problem(unforeseen_problem(reference), send_hardened)


def _add_headers(message: Any) -> None:
    headers = list(message.get("headers", []))
    present = {name.lower() for name, _ in headers}
    for name, value in _SECURITY_HEADERS.items():
        # Pages and downloads bring policies of their own, which fit them better than this one.
        if name.lower().encode() not in present:
            headers.append((name.lower().encode(), value.encode()))
    message["headers"] = headers


async def _refuse(problem: Problem, caller: Caller, scope: Scope, send: Send) -> None:
    if caller.kind == "websocket":
        await _refuse_socket(problem, scope, send)
    elif problem.status == 401 and caller.wants_page:  # noqa: PLR2004 - HTTP's own number
        target = LOGIN_PATH if caller.path == "/" else f"{LOGIN_PATH}?target={quote(caller.path)}"
        await _send(303, {"Location": target}, b"", send)
    else:
        await send_problem(problem, send)


async def _refuse_socket(problem: Problem, scope: Scope, send: Send) -> None:
    """Refuse before the handshake ends: with the document where the server can, else with its plain 403."""
    if "websocket.http.response" not in (cast("dict[str, Any]", scope).get("extensions") or {}):
        await send({"type": "websocket.close", "code": 4000 + problem.status, "reason": shorten_reason(problem.detail)})
        return
    headers = [(b"content-type", PROBLEM_TYPE.encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in headers_of(problem).items()]
    start: Any = {"type": "websocket.http.response.start", "status": problem.status, "headers": headers}
    body: Any = {"type": "websocket.http.response.body", "body": encode_problem(problem), "more_body": False}
    await send(start)
    await send(body)


async def send_problem(problem: Problem, send: Send) -> None:
    """Answer a request with a problem document, where no framework is in between."""
    await _send(problem.status, {"Content-Type": PROBLEM_TYPE, **headers_of(problem)}, encode_problem(problem), send)


async def _send(status: int, headers: dict[str, str], body: bytes, send: Send) -> None:
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    encoded.append((b"content-length", str(len(body)).encode()))
    start: Any = {"type": "http.response.start", "status": status, "headers": encoded}
    _add_headers(start)
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})
