"""Several scheduler instances on one store, each a process, and nodes that know all of them."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import psutil

from tests_support.fleet_process import FleetProcesses, free_port, wait_for
from tests_support.redis_server import RedisServer

NO_SETTINGS: Mapping[str, str] = {}


@contextmanager
def running_cluster(
    folder: Path,
    *names: str,
    settings: Mapping[str, str] = NO_SETTINGS,
    store_options: Sequence[str] = (),
    starts: bool = True,
    **more: str,
) -> Generator[ClusterProcesses]:
    """Start a store and, unless the test wants to, instances of these names; at the end no process is left."""
    with (
        RedisServer(folder, options=store_options) as redis,
        running_instances(folder, redis, *names, settings=settings, starts=starts, **more) as cluster,
    ):
        yield cluster


@contextmanager
def running_instances(
    folder: Path,
    store: StoreServer,
    *names: str,
    settings: Mapping[str, str] = NO_SETTINGS,
    starts: bool = True,
    **more: str,
) -> Generator[ClusterProcesses]:
    """Start instances of these names on a store that runs; at the end none is left."""
    shared = {"MEDIAFLEET_STORE__REDIS_URL": store.url, "MEDIAFLEET_ARTIFACTS__ROOT": str(folder / "artifacts")}
    cluster = ClusterProcesses(folder, names, store, **shared | {**settings, **more})
    try:
        for name in names if starts else ():
            cluster.start_instance(name)
        yield cluster
        cluster.close()
    finally:
        cluster.kill_all()
    assert "Traceback" not in cluster.logs()


class StoreServer(Protocol):
    """A store that instances share."""

    @property
    def url(self) -> str:
        """Its address, as settings have it."""
        ...

    @property
    def pids(self) -> Collection[int]:
        """Its processes."""
        ...

    def client(self) -> Any:
        """Return a client of it."""
        ...


class ClusterProcesses(FleetProcesses):
    """Instances by name. What is asked goes to the instance that `url` names; nodes are given all addresses."""

    def __init__(self, folder: Path, names: tuple[str, ...], store: Any, **settings: str) -> None:
        super().__init__(folder, **settings)
        self.store = store
        self.ports = {name: free_port() for name in names}
        self.instances: dict[str, subprocess.Popen[bytes]] = {}
        self.use(names[0])
        self.node_scheduler = ",".join(self.url_of(name) for name in names)

    def url_of(self, name: str) -> str:
        """Address of an instance."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def use(self, name: str) -> None:
        """Ask this instance from now on."""
        self.url = self.url_of(name)

    def start_instance(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start an instance, and wait until it serves."""
        self.spawn_instance(name, **environment)
        self.use(name)
        wait_for(lambda: self.get("/ready", default=None), f"instance {name} to be ready")
        return self.instances[name]

    def spawn_instance(self, name: str, **environment: str) -> None:
        """Start an instance, and wait for nothing."""
        words = ("scheduler", "--data", str(self.folder / name), "--port", str(self.ports[name]))
        self.instances[name] = self._start(name, *words, **environment)

    def kill_instance(self, name: str) -> None:
        """End an instance as a power cut would."""
        process = self.instances.pop(name)
        process.kill()
        process.wait()

    def store_client(self) -> Any:
        """Return a client of the store."""
        return self.store.client()

    def started(self) -> list[subprocess.Popen[bytes]]:
        """Return what was started and not killed, nodes first."""
        return [*self.nodes.values(), *self.instances.values()]

    def processes(self) -> list[psutil.Process]:
        """Return all processes that work on this folder, but for the store: it is the test's own."""
        return [process for process in super().processes() if process.pid not in self.store.pids]
