"""Which bodies a route that takes JSON reads, and how: those that say they are JSON or say nothing, to the letter."""

from __future__ import annotations

import re
from functools import cache
from http import HTTPStatus
from typing import Any, cast

import msgspec
from litestar.connection import ASGIConnection, Request
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler

from mediafleet.doors.http.context import AnyRequest

JSON = "application/json"
_ENCODINGS = frozenset({"", "utf-8", "utf8"})
"""RFC 8259 §8.1 knows no other; the empty one is a header without `charset`."""
_LONGEST_ECHO = 80
_PLACE = re.compile(r"(?P<message>.*?)(?: - at `\$\.?(?P<key>.*)`)?", re.DOTALL)
"""How msgspec ends a sentence about a part of a document."""


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON has the types that its route names.

    Left to itself, the framework reads "5" as 5 and "yes" as true, as it must for forms and queries. In a document that
    is a mistake, which another client would pay for: numbers have digits of their own there.
    """

    async def json(self) -> Any:
        """Return the body, decoded to the type that the route takes. Raises ValidationException."""
        field = self.route_handler.parsed_data_field
        if field is None:
            return await super().json()
        try:
            return _decoder(field.annotation).decode(await self.body() or b"null")
        except msgspec.ValidationError as error:
            raise ValidationException(extra=[_explain_place(str(error))]) from error
        except msgspec.DecodeError:
            # The framework's own words for what is no JSON at all.
            return await super().json()


@cache
def _decoder(annotation: Any) -> msgspec.json.Decoder[Any]:
    # Kept, because to make one of a union takes longer than to decode a submission.
    return msgspec.json.Decoder(annotation)


def _explain_place(sentence: str) -> dict[str, str]:
    found = _PLACE.fullmatch(sentence)
    if found is None:  # pragma: no cover - every text matches
        return {"message": sentence}
    return {"message": found["message"], "key": found["key"] or ""}


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
