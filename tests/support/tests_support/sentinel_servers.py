"""A primary with two replicas, and three sentinels that watch it, on loopback."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

from mediafleet.store.server_binary import find_server
from tests_support.fleet_process import free_port, wait_for

SERVICE = "fleet"
HOST = "127.0.0.1"
DOWN_AFTER_MS = 700
SENTINEL_FILE = f"""\
port {{port}}
bind {HOST}
dir {{folder}}
sentinel monitor {SERVICE} {HOST} {{primary}} 2
sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}
sentinel failover-timeout {SERVICE} 3000
sentinel parallel-syncs {SERVICE} 2
"""


def sentinel_command() -> list[str]:
    """Return what runs a sentinel: Debian's program of that name, or the server, which is the same."""
    found = shutil.which("redis-sentinel")
    return [found] if found else [str(find_server().path), "--sentinel"]


@contextmanager
def running_sentinels(folder: Path, *, min_replicas: int) -> Generator[SentinelServers]:
    """Start all six and wait until they know of each other; at the end none is left."""
    servers = SentinelServers(folder, min_replicas)
    try:
        servers.start()
        yield servers
    finally:
        servers.kill_all()


class SentinelServers:
    """Servers by port. Nothing is kept on disk but what the sentinels note."""

    def __init__(self, folder: Path, min_replicas: int) -> None:
        self._folder = folder
        self._min_replicas = min_replicas
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.servers = [free_port() for _ in range(3)]
        self.sentinels = [free_port() for _ in range(3)]
        self.url = f"redis+sentinel://{','.join(f'{HOST}:{port}' for port in self.sentinels)}/{SERVICE}"

    def start(self) -> None:
        """Start the first server as primary, the others as its replicas, and the sentinels."""
        self.start_server(self.servers[0])
        for port in self.servers[1:]:
            self.start_server(port, "--replicaof", f"{HOST} {self.servers[0]}")
        wait_for(lambda: self._online() == 2, "two replicas to be in step")
        for port in self.sentinels:
            self._start_sentinel(port)
        wait_for(lambda: all(map(self._is_informed, self.sentinels)), "the sentinels to know of each other")

    def start_server(self, port: int, *options: str) -> None:
        """Start one server."""
        safety = ["--min-replicas-to-write", str(self._min_replicas), "--min-replicas-max-lag", "3"]
        sync = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0", "--repl-timeout", "5"]
        command = [str(find_server().path), "--port", str(port), "--bind", HOST, "--save", "", "--dir", self._folder]
        self._run(port, [*map(str, command), *safety, *sync, *options])

    def _start_sentinel(self, port: int) -> None:
        file = self._folder / f"sentinel-{port}.conf"
        file.write_text(SENTINEL_FILE.format(port=port, folder=self._folder, primary=self.servers[0]))
        program, *options = sentinel_command()
        self._run(port, [program, str(file), *options])

    def _run(self, port: int, command: list[str]) -> None:
        with (self._folder / f"redis-{port}.out").open("ab") as out:
            self._processes[port] = subprocess.Popen(command, stdout=out, stderr=out)

    @property
    def pids(self) -> tuple[int, ...]:
        """All processes."""
        return tuple(process.pid for process in self._processes.values())

    def client(self, port: int = 0) -> Any:
        """Return a client of one server or sentinel, or of the primary; redis-py types it as between its two worlds."""
        return Redis(HOST, port or self.primary(), socket_timeout=2)

    def ask(self, port: int, *words: Any) -> Any:
        """Return the answer to a command, or None where there is none."""
        with self.client(port) as client:
            try:
                return client.execute_command(*words)
            except RedisError:
                return None

    def primary(self) -> int:
        """Return the port of the server that the sentinels hold to be the primary."""
        found = self.ask(self.sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(found[1]) if found else 0

    def _online(self) -> int:
        found: dict[str, Any] = self.ask(self.servers[0], "INFO", "replication") or {}
        return str(found).count("'state': 'online'")

    def _is_informed(self, port: int) -> bool:
        with self.client(port) as client:
            try:
                state = client.sentinel_master(SERVICE)
            except RedisError:
                return False
            return state["num-slaves"] == 2 and state["num-other-sentinels"] == 2

    def signal(self, port: int, what: signal.Signals) -> None:
        """Send one of them a signal."""
        self._processes[port].send_signal(what)

    def kill(self, port: int) -> None:
        """End one of them as a power cut would."""
        process = self._processes.pop(port)
        process.kill()
        process.wait()

    def kill_all(self) -> None:
        """End what is left."""
        for port in list(self._processes):
            self.kill(port)
