"""The first message of each side: always JSON, whatever encoding it agrees on."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from mediafleet.doors.signalr.framing import end_record

JSON = "json"
MESSAGEPACK = "messagepack"
NEWEST_VERSION = 2
STATEFUL_VERSION = 2
"""Older clients know no stateful reconnect, whatever was negotiated."""

MALFORMED = "An unexpected error occurred during connection handshake."
TOO_LATE = "Handshake was canceled."


class _Request(msgspec.Struct):
    protocol: str
    version: int


class Agreement(NamedTuple):
    """What a client asked for, or why it does not get it."""

    protocol: str = ""
    version: int = 0
    refusal: str = ""


def read_handshake(record: bytes, *, is_text_only: bool) -> Agreement:
    """Judge a client's first message.

    Args:
        record: Without its end.
        is_text_only: The transport cannot carry MessagePack.
    """
    try:
        request = _REQUESTS.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Agreement(refusal=MALFORMED)
    if request.protocol not in {JSON, MESSAGEPACK}:
        return Agreement(refusal=f"The protocol '{request.protocol[:_LONGEST_ECHO]}' is not supported.")
    if not 0 <= request.version <= NEWEST_VERSION:
        sentence = f"The server does not support version {request.version} of the '{request.protocol}' protocol."
        return Agreement(refusal=sentence)
    if is_text_only and request.protocol == MESSAGEPACK:
        return Agreement(
            refusal=(
                f"Cannot use the '{MESSAGEPACK}' protocol on the current transport. "
                "The transport does not support 'Binary' transfer format."
            )
        )
    return Agreement(request.protocol, request.version)


def answer_handshake(refusal: str = "") -> bytes:
    """Return the answer: an empty object, or why not."""
    return end_record(msgspec.json.encode({"error": refusal} if refusal else {}))


_LONGEST_ECHO = 100
_REQUESTS = msgspec.json.Decoder(_Request)
