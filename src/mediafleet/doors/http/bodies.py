"""Which bodies a route that takes JSON reads: those that say they are JSON, and those that say nothing."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler

from mediafleet.doors.http.context import AnyRequest

JSON = "application/json"
_ENCODINGS = frozenset({"", "utf-8", "utf8"})
"""RFC 8259 §8.1 knows no other; the empty one is a header without `charset`."""
_LONGEST_ECHO = 80


def require_json(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse a body that says it is something else, on every route that reads one as JSON.

    Raises:
        HTTPException: 415, with a sentence that names the header to send.
    """
    # The bytes of an upload come in no `data` argument: they may be of any type.
    if handler.parsed_data_field is None or not _has_body(connection):
        return
    media_type, options = cast("AnyRequest", connection).content_type
    if sentence := explain_refusal(media_type, options.get("charset", "")):
        raise HTTPException(sentence, status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def explain_refusal(media_type: str, charset: str) -> str:
    """Return why a body of this type is not read, or an empty string if it is.

    A body without a type is read: a client that names none means what the route takes.
    """
    advice = f"send JSON with the header 'Content-Type: {JSON}'."
    if media_type and media_type.lower() != JSON:
        # curl's -d says this of whatever it sends, so the most common case is JSON under a wrong name. It is
        # refused all the same: foreign pages may send forms and plain text without asking first, JSON not.
        return f"The body is said to be {media_type[:_LONGEST_ECHO]!r}; {advice}"
    if charset.lower() not in _ENCODINGS:
        return f"The body is said to be in {charset[:_LONGEST_ECHO]!r} and JSON is UTF-8 (RFC 8259, 8.1); {advice}"
    return ""


def _has_body(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    # Some clients name a type for the body that they do not send: there is nothing to misread then.
    fields = connection.headers
    return fields.get("content-length", "0") != "0" or "transfer-encoding" in fields
