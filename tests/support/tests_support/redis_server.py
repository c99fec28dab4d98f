"""A private Redis for one test process."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from mediafleet.store.server_binary import ServerBinary, find_server

KEEPS_ALL = ("--appendonly", "yes", "--appendfsync", "always")
"""Options of a server that loses nothing when it is killed."""


class RedisServer:
    """A real server on a unix socket, without persistence unless options ask for it; ends with the `with` block."""

    def __init__(self, folder: Path, binary: ServerBinary | None = None, *, options: Sequence[str] = ()) -> None:
        self._socket = folder / "r.sock"
        self.folder = folder
        self._binary = binary
        self._options = options
        self.url = f"unix://{self._socket}"

    def __enter__(self) -> Self:
        self.start()
        return self

    @property
    def pids(self) -> tuple[int, ...]:
        """Its process; the last one after it was killed."""
        return (self._process.pid,)

    def start(self) -> None:
        """Start it, again after a kill, and wait until it answers."""
        binary = self._binary or find_server()
        command = [binary.path, "--port", "0", "--unixsocket", self._socket, "--save", "", "--dir", self.folder]
        self._process = subprocess.Popen([*map(str, command), *self._options], stdout=subprocess.DEVNULL)
        self._wait_until_it_answers()

    def client(self) -> Any:
        """Return a client, which redis-py types as something between its two worlds; close it."""
        # Whoever watches it may hear nothing for long.
        return redis.Redis(unix_socket_path=str(self._socket), socket_timeout=None)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 10
        client = self.client()
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
            else:
                client.close()
                return

    def signal(self, what: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(what)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
