"""The console's routes, ready to be added to the application."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from litestar import Request, Response, Router, get
from litestar.di import Provide
from litestar.exceptions import InternalServerException
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType] - PathLike is left open there
from litestar.types import ControllerRouterHandler

from mediafleet.console.login import LoginController
from mediafleet.console.pages import ConsoleController, answer_unforeseen_page
from mediafleet.console.reviews import ReviewPagesController
from mediafleet.domain.clock import Clock, SystemClock
from mediafleet.domain.errors import NotFound
from mediafleet.doors.http.problems import answer_own
from mediafleet.ops.settings import ServerSettings


def console_handlers(settings: ServerSettings, clock: Clock | None = None) -> list[ControllerRouterHandler]:
    """Return pages, login and static files.

    Args:
        settings: Whose token the login checks.
        clock: For "5 min ago"; the machine's own where it is left out.
    """

    def provide(value: Any) -> Provide:
        return Provide(lambda: value, sync_to_thread=False, use_cache=True)

    folder = Path(str(files("mediafleet.console"))) / "static"
    static = create_static_files_router(
        path="/static",
        directories=[folder],
        include_in_schema=False,
        cache_control=None,
        name="static",
        # What the file system cannot even be asked for: a zero byte, a name that is too long.
        # Litestar wraps some of these errors of the system as its own.
        exception_handlers=dict.fromkeys((ValueError, OSError, InternalServerException), _answer_no_file),
    )
    pages = Router(
        path="",
        route_handlers=[ConsoleController, ReviewPagesController, LoginController, _favicon],
        dependencies={"server": provide(settings), "clock": provide(clock or SystemClock())},
        exception_handlers={Exception: answer_unforeseen_page},
    )
    return [pages, static]


def _answer_no_file(request: Request[Any, Any, Any], _: Exception) -> Response[bytes]:
    return answer_own(request, NotFound("There is no such file."))


@get("/favicon.ico", include_in_schema=False, sync_to_thread=False)
def _favicon() -> Response[bytes]:
    """Send browsers that ask for the old name to the real one."""
    return Response(b"", status_code=308, headers={"Location": "/static/icon.svg"})
