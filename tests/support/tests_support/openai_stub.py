"""A service with OpenAI's interface on loopback that answers what a test puts into its list."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from mediafleet.engines.adapters._openai import OpenAIClient

Reply = tuple[int, Mapping[str, str], bytes | Iterator[bytes]]
"""Status, headers, and a body, or its pieces, each of which is sent when it is there."""


MakeClient = Callable[..., OpenAIClient]
"""Takes a role and fields of `Endpoint`, and makes a client of the stub that waits for nothing."""


def chat(content: str) -> Reply:
    """Return a chat completion that says this."""
    body = {"choices": [{"message": {"role": "assistant", "content": content}}]}
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def as_json(body: object, status: int = 200, **headers: str) -> Reply:
    """Return an answer with a JSON body; underscores in names of headers stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"Content-Type": "application/json", **named}, json.dumps(body).encode()


@dataclass
class Asked:
    """One request that came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def lines(self) -> dict[int, str]:
        """The lines that a translator sent, by number."""
        return {line["id"]: line["text"] for line in self.sent["lines"]}

    @property
    def sent(self) -> dict[str, Any]:
        """What the user's message of a chat has, as JSON."""
        return json.loads(json.loads(self.body)["messages"][-1]["content"])


@dataclass
class OpenAIStub:
    """Answers with `replies` in turn, the last one again and again; a function makes its reply of the request."""

    replies: list[Reply | Callable[[Asked], Reply]] = field(default_factory=list[Any])
    asked: list[Asked] = field(default_factory=list[Asked])
    given_up: int = 0
    """Answers whose rest nobody wanted."""

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        # Otherwise nobody would wait for what is still answered.
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and wait for the requests that are answered; may be called twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """With the version."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def _answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply(asked) if callable(reply) else reply

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers, content = stub._answer(Asked(self.path, dict(self.headers), body))
                self.send_response(status)
                length = {"Content-Length": str(len(content))} if isinstance(content, bytes) else {}
                for name, value in {**headers, **length}.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for piece in [content] if isinstance(content, bytes) else content:
                        self.wfile.write(piece)
                except ConnectionError:
                    stub.given_up += 1

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
                """Say nothing."""

        return Handler
