"""A private Redis Cluster for a test: real servers on free ports, every slot assigned, replicas where asked for."""

from __future__ import annotations

import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.cluster import ClusterNode as StartupNode

from mediafleet.store.server_binary import ServerBinary, find_server

SLOTS = 16384
MASTERS = 3
BUS_OFFSET = 10_000
"""Servers before 7.0 cannot be told another port for talking to each other."""
NODE_TIMEOUT_MS = 1_000
PATIENCE_S = 60.0


class ClusterNode:
    """One server of the cluster."""

    def __init__(self, folder: Path, binary: ServerBinary) -> None:
        self.folder, self.binary = folder, binary
        self.port = _free_port()
        self.client: Any = redis.Redis(port=self.port)
        self.process: subprocess.Popen[bytes] | None = None
        self.is_asked = True

    def start(self, **changes: str) -> None:
        """Start it, and wait until it answers; `changes` are options that differ."""
        self.folder.mkdir(exist_ok=True)
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "cluster-enabled": "yes",
            "cluster-node-timeout": NODE_TIMEOUT_MS,
            # A replica that was away for long may still take over: these tests kill at once, and have only one.
            "cluster-replica-validity-factor": 0,
            "save": "",
            "dir": self.folder,
        } | changes
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self.process = subprocess.Popen([str(self.binary.path), *words], stdout=subprocess.DEVNULL)
        wait_until(self._answers, f"the server on port {self.port}")

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def call(self, *words: Any) -> Any:
        """Run a command as it is written."""
        return self.client.execute_command(*words)

    @property
    def id(self) -> str:
        """Name of the node in the cluster."""
        return _text(self.call("CLUSTER", "MYID"))

    def signal(self, number: int) -> None:
        """Send its process a signal; it is not asked any more."""
        assert self.process
        self.process.send_signal(number)
        self.is_asked = False

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process:
            self.process.kill()
            self.process.wait()
        self.client.close()


class RedisCluster:
    """Three masters, the last of which has the slot of cell 0, and so many replicas of that one."""

    def __init__(self, folder: Path, binary: ServerBinary | None = None, *, replicas: int = 0) -> None:
        binary = binary or find_server()
        self.nodes = [ClusterNode(folder / f"node-{number}", binary) for number in range(MASTERS + replicas)]

    @property
    def url(self) -> str:
        """Address that names two of the servers."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])

    @property
    def pids(self) -> tuple[int, ...]:
        """Processes of its servers, those that were killed included."""
        return tuple(node.process.pid for node in self.nodes if node.process)

    def client(self) -> Any:
        """Return a client that finds each key, by those servers that live; close it."""
        living = [node for node in self.nodes if node.process and node.process.poll() is None]
        return redis.RedisCluster(startup_nodes=[StartupNode("127.0.0.1", node.port) for node in living])

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.start()
            self._join()
        except BaseException:
            self._kill()
            raise
        return self

    def _join(self) -> None:
        masters, replicas = self.nodes[:MASTERS], self.nodes[MASTERS:]
        size = -(-SLOTS // MASTERS)
        for epoch, (node, first) in enumerate(zip(masters, range(0, SLOTS, size), strict=True), 1):
            node.call("CLUSTER", "ADDSLOTS", *range(first, min(first + size, SLOTS)))
            node.call("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for node in self.nodes[1:]:
            node.call("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        wait_until(lambda: all(self._sees_all(node) for node in self.nodes), "the servers to know each other")
        for node in replicas:
            node.call("CLUSTER", "REPLICATE", masters[-1].id)
        wait_until(lambda: all(map(self._is_ready, self.nodes)), "the cluster to be complete")

    def _sees_all(self, node: ClusterNode) -> bool:
        return _info(node)["cluster_known_nodes"] == str(len(self.nodes))

    def _is_ready(self, node: ClusterNode) -> bool:
        replication = node.client.info("replication")
        in_step = replication["role"] == "master" or replication["master_link_status"] == "up"
        return in_step and _info(node)["cluster_state"] == "ok"

    def owner(self, slot: int) -> ClusterNode:
        """Return the master that has the slot, as those that live see it."""
        for node in self.nodes:
            if node.process is None or node.process.poll() is not None or not node.is_asked:
                continue
            for first, last, master, *_ in node.call("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return next(known for known in self.nodes if known.port == master[1])
        raise AssertionError(f"nobody has slot {slot}")

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._kill()

    def _kill(self) -> None:
        for node in self.nodes:
            node.kill()


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Return what the condition gives once it is true."""
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        pause.wait(0.02)
    return found


def _info(node: ClusterNode) -> dict[str, str]:
    return dict(line.split(":") for line in _text(node.call("CLUSTER", "INFO")).split())


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def _free_port() -> int:
    """Return a port that is free together with the one that the cluster's own connections take.

    Both are below those that systems give to outgoing connections, one of which might take them before the server does.
    """
    for _ in range(1000):
        port = random.SystemRandom().randrange(11_000, 22_000)
        with socket.socket() as probe, socket.socket() as bus:
            try:
                probe.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + BUS_OFFSET))
            except OSError:
                continue
            return port
    raise AssertionError("no two ports are free")
