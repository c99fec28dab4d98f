"""What a WebSocket close frame can say."""

from __future__ import annotations

MOST_REASON_BYTES = 123
"""RFC 6455 §5.5: a control frame carries 125 bytes, two of them are the code."""


def shorten_reason(reason: str) -> str:
    """Return the reason cut to what a close frame can carry, never inside a character."""
    return reason.encode("utf-8", "replace")[:MOST_REASON_BYTES].decode("utf-8", "ignore")
