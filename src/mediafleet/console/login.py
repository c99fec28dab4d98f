"""`/login` and `/logout`: a person exchanges the token for a cookie, so that the console works in a browser."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from litestar import Controller, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromQuery, SkipValidation

from mediafleet.console.rendering import View, render
from mediafleet.doors.http.context import AnyRequest
from mediafleet.doors.http.security import COOKIE, LOGIN_PATH, cookie_value
from mediafleet.ops.auth import tokens_equal
from mediafleet.ops.settings import ServerSettings

LARGEST_FORM_BYTES = 4096
"""A token and a path; what is beyond is not read."""
COOKIE_LIFE_S = 30 * 24 * 3600
"""A month: the token itself does not change more often."""

InjectedSettings = NamedDependency[SkipValidation[ServerSettings]]


class LoginController(Controller):
    """Exchanges the token for a cookie."""

    include_in_schema = False

    @get(LOGIN_PATH, sync_to_thread=False)
    def form(self, server: InjectedSettings, target: FromQuery[str] = "/") -> Response[Any]:
        """Show the form, or go on where no token is asked for."""
        if not server.token:
            return _go("/")
        return render(View("login.html", {"target": safe_target(target), "problem": ""}))

    @post(LOGIN_PATH)
    async def enter(self, request: AnyRequest, server: InjectedSettings) -> Response[Any]:
        """Check the token and set the cookie."""
        form = dict(_fields(await request.body()))
        target = safe_target(form.get("target", "/"))
        if not server.token:
            return _go(target)
        if not tokens_equal(form.get("token", "").strip(), server.token):
            sentence = "That is not this fleet's token; it was printed when the fleet first started."
            return render(View("login.html", {"target": target, "problem": sentence}, status=401))
        answer = _go(target)
        answer.set_cookie(_cookie(request, cookie_value(server.token), COOKIE_LIFE_S))
        return answer

    # No GET: a picture on somebody's page could log people out with it.
    @post("/logout", sync_to_thread=False)
    def leave(self, request: AnyRequest) -> Response[Any]:
        """Drop the cookie."""
        answer = _go(LOGIN_PATH)
        answer.set_cookie(_cookie(request, "", 0))
        return answer


def _fields(body: bytes) -> list[tuple[str, str]]:
    # Anybody may send this: a form of millions of fields would hold the loop for seconds.
    return parse_qsl(body[:LARGEST_FORM_BYTES].decode("utf-8", "replace"))


def safe_target(target: str) -> str:
    """Return where to go after the login: a path of ours, never another site."""
    # Two slashes begin another site's address, and browsers read a backslash as a slash. What cannot be printed
    # could end the header.
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if is_ours else "/"


def _go(target: str) -> Response[Any]:
    # 303 and not 302: the browser goes on with a GET, and a reload does not send the token again.
    return Response(b"", status_code=303, headers={"Location": target, "Cache-Control": "no-store"})


def _cookie(request: AnyRequest, value: str, life_s: int) -> Cookie:
    # Only the proxy in front knows that the browser used TLS. A lie here costs the liar its own cookie, no more.
    is_secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    # Strict, and the shell looks at the origin: together they stand in for a token in each form.
    return Cookie(COOKIE, value=value, path="/", max_age=life_s, httponly=True, samesite="strict", secure=is_secure)
