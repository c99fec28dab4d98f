"""A private Redis for one test process."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from mediafleet.store.server_binary import ServerBinary, find_server


class RedisServer:
    """A real server on a unix socket, without persistence; ends with the `with` block."""

    def __init__(self, folder: Path, binary: ServerBinary | None = None) -> None:
        self._socket = folder / "r.sock"
        self._folder = folder
        self._binary = binary
        self.url = f"unix://{self._socket}"

    def __enter__(self) -> Self:
        binary = self._binary or find_server()
        self._process = subprocess.Popen(
            [
                str(binary.path),
                "--port",
                "0",
                "--unixsocket",
                str(self._socket),
                "--save",
                "",
                "--dir",
                str(self._folder),
            ],
            stdout=subprocess.DEVNULL,
        )
        self._wait_until_it_answers()
        return self

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 10
        client: Any = redis.Redis(unix_socket_path=str(self._socket))
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
            else:
                client.close()
                return

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
