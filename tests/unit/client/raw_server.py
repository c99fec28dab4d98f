"""A server that says exactly what a test tells it to, byte for byte."""

from __future__ import annotations

import asyncio
import json
from typing import Any


class RawServer:
    """Answers each request with the next of its byte strings, then closes the connection."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.heads: list[bytes] = []
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if length := [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")]:
            head += await reader.readexactly(int(length[0].split()[1]))
        self.heads.append(head)
        writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        await writer.drain()
        writer.close()

    def say(self, status: int, body: bytes | dict[str, Any], *fields: str) -> None:
        """Add an answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = [f"HTTP/1.1 {status} Any", f"Content-Length: {len(raw)}", "Connection: close", *fields, "", ""]
        self.answers.append("\r\n".join(head).encode() + raw)
