"""Finds the text frames in one way of a connection that may become a WebSocket (RFC 6455 §5.2); no extensions."""

from __future__ import annotations

from collections.abc import Iterator

TEXT = 0x81
"""The first byte of a whole text frame."""


class FrameReader:
    """Cuts bytes into what was sent in one piece: the HTTP head, then frames; another protocol stays as it is."""

    def __init__(self) -> None:
        self._waiting = b""
        self._is_socket: bool | None = None

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield raw pieces, and the content of those that are text frames."""
        if self._is_socket is False:
            yield chunk, None
            return
        self._waiting += chunk
        if self._is_socket is None:
            head, end, rest = self._waiting.partition(b"\r\n\r\n")
            if not end:
                return
            self._is_socket = b"websocket" in head.lower()
            self._waiting = rest if self._is_socket else b""
            yield head + end + (b"" if self._is_socket else rest), None
        while self._is_socket and (frame := self._take()):
            yield frame

    def _take(self) -> tuple[bytes, bytes | None] | None:
        data = self._waiting
        if len(data) < 2:
            return None
        length, start = data[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(data[2:start], "big")
        mask = b""
        if data[1] & 0x80:
            mask, start = data[start : start + 4], start + 4
        end = start + length
        if len(data) < end:
            return None
        self._waiting = data[end:]
        content = data[start:end] if data[0] == TEXT else None
        return data[:end], content if content is None else _unmask(content, mask)


def _unmask(content: bytes, mask: bytes) -> bytes:
    if not mask:
        return content
    # As two numbers: byte by byte, a large frame would hold up everything else in this process.
    whole = (mask * (len(content) // 4 + 1))[: len(content)]
    return (int.from_bytes(content, "little") ^ int.from_bytes(whole, "little")).to_bytes(len(content), "little")
