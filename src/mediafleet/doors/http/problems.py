"""Every error as a problem document (RFC 9457): one sentence a user can act on, never a stack trace.

Our own errors have their status in `mediafleet.domain.problems`; here are those that the framework
raises before our code is reached, and the last resort for what nobody foresaw.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Any, cast

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, ValidationException

from mediafleet.domain.errors import InvalidRequest, MediafleetError
from mediafleet.domain.problems import status_of

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
"""What a client is asked to wait when a part is away: an embedded store is back well within it."""
FULL_RETRY_AFTER_S = 5
"""What a client is asked to wait when the queue is full: tasks take seconds at least, and each question costs a script."""
LONGEST_ECHO = 200
"""Characters of the user's own text that a sentence repeats."""

_NO_BODY = "'data'"
"""All that the framework says of a body that is missing."""

_logger = structlog.get_logger(__name__)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem document; `type`, `title`, `status` and `detail` are the members of RFC 9457 §3.1."""

    type: str
    title: str
    status: int
    detail: str
    """The sentence."""
    code: str
    """Stable slug, the last part of `type`."""
    retryable: bool = False


def make_problem(code: str, status: int, detail: str, *, retryable: bool = False) -> Problem:
    """Return the document for a code, whose title follows from it."""
    return Problem(
        type=f"urn:mediafleet:error:{code}",
        title=code.replace("-", " ").capitalize(),
        status=status,
        detail=detail,
        code=code,
        retryable=retryable,
    )


def problem_of(error: MediafleetError) -> Problem:
    """Return the document for one of our own errors."""
    return make_problem(error.code, status_of(error), error.message, retryable=error.retryable)


def encode_problem(problem: Problem) -> bytes:
    """Return the JSON of a document."""
    return msgspec.json.encode(problem)


def headers_of(problem: Problem) -> dict[str, str]:
    """Return the header fields that go with a document."""
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return {"Retry-After": str(RETRY_AFTER_S)}
    if problem.status == HTTPStatus.TOO_MANY_REQUESTS:
        return {"Retry-After": str(FULL_RETRY_AFTER_S)}
    # RFC 9110 §11.6.1 asks for it with every 401; without it some clients never send what they have.
    if problem.status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="mediafleet"'}
    return {}


def respond(problem: Problem, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Return the answer that carries a document."""
    return Response(
        encode_problem(problem),
        status_code=problem.status,
        media_type=PROBLEM_TYPE,
        headers=headers_of(problem) | (headers or {}),
    )


def answer_own(_: Request[Any, Any, Any], error: MediafleetError) -> Response[bytes]:
    """Handle an error that mediafleet raised on purpose."""
    return respond(problem_of(error))


def answer_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Handle what the framework refuses: routes, methods, bodies and parameters."""
    problem = _explain(request, error)
    headers = {"Allow": error.headers["Allow"]} if error.headers and "Allow" in error.headers else {}
    return respond(problem, headers)


def answer_too_deep(_: Request[Any, Any, Any], __: RecursionError) -> Response[bytes]:
    """Handle JSON that nests deeper than the decoder goes."""
    return respond(make_problem(InvalidRequest.code, 400, "The JSON is nested too deeply to be meant."))


def answer_not_text(_: Request[Any, Any, Any], __: UnicodeDecodeError) -> Response[bytes]:
    """Handle a body that is no UTF-8."""
    return respond(make_problem(InvalidRequest.code, 400, "The body is not UTF-8; JSON has to be (RFC 8259, 8.1)."))


def answer_unforeseen(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Handle everything else: one line in the log, and its number for the user to quote."""
    reference = note_unforeseen(request.method, request.url.path, error)
    return respond(unforeseen_problem(reference))


PROBLEM_HANDLERS: dict[int | type[Exception], Any] = {
    MediafleetError: answer_own,
    HTTPException: answer_framework,
    # Both are raised by the decoder of JSON, though a client caused them: the last resort would answer 500 and log them
    # as our fault.
    RecursionError: answer_too_deep,
    UnicodeDecodeError: answer_not_text,
    Exception: answer_unforeseen,
}
"""What answers each error, for any application of ours."""


def note_unforeseen(method: str, path: str, error: Exception) -> str:
    """Log an error that nobody foresaw in one line and return the reference to quote."""
    reference = secrets.token_hex(4)
    # Cut, because an error may quote a whole body; placed, because one line has to stand in for the stack trace.
    place = _innermost(error)
    _logger.error(
        "request failed", reference=reference, method=method, path=path, error=repr(error)[:LONGEST_ECHO], at=place
    )
    return reference


def unforeseen_problem(reference: str) -> Problem:
    """Return the document for an error that nobody foresaw."""
    sentence = f"The server could not do this; its log says more beside the reference {reference}."
    return make_problem("internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, sentence)


def _innermost(error: Exception) -> str:
    """Return file and line where the error was raised: what one log line needs of a stack trace."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def _explain(request: Request[Any, Any, Any], error: HTTPException) -> Problem:
    if isinstance(error, NotFoundException):
        path = request.url.path[:LONGEST_ECHO]
        return make_problem("not-found", 404, f"There is nothing at {path!r}{_listed(request)}.")
    if isinstance(error, MethodNotAllowedException):
        sentence = f"{request.method} is not possible here{_listed(request)}."
        return make_problem("method-not-allowed", 405, sentence)
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return make_problem("too-large", 413, "The body is too large for this route; files go to /api/v1/artifacts.")
    if error.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return make_problem("unsupported-media-type", 415, error.detail)
    if isinstance(error, ValidationException) or error.status_code == HTTPStatus.BAD_REQUEST:
        return make_problem(InvalidRequest.code, 400, _explain_validation(error))
    title = HTTPStatus(error.status_code).phrase
    return make_problem(title.lower().replace(" ", "-"), error.status_code, f"{title}.")


def _listed(request: Request[Any, Any, Any]) -> str:
    """Return where routes are listed, as a half sentence; the API of a node has no such page."""
    has_page = "litestar_app" not in request.scope or request.app.openapi_config is not None
    return "; the routes and their methods are listed at /schema" if has_page else ""


def _explain_validation(error: HTTPException) -> str:
    items = cast("list[dict[str, Any]]", error.extra or [])
    found = [_explain_item(item) for item in items]
    text = "; ".join(found) or str(error.detail)
    if text == _NO_BODY:
        return "The request has no body; send JSON as /schema describes it."
    return f"The request is not well formed: {text[:LONGEST_ECHO].rstrip('.')}."


def _explain_item(item: dict[str, Any]) -> str:
    key = item.get("key")
    message = str(item.get("message", ""))
    # `data` is how the framework calls the body as a whole, which says nothing to the one who sent it.
    return f"{key}: {message}" if key and key != "data" else message
