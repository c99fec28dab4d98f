"""Several scheduler instances on one store, each a process, and nodes that know all of them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests_support.fleet_process import PATIENCE_S, FleetProcesses, free_port, wait_for
from tests_support.redis_server import RedisServer


@contextmanager
def running_cluster(folder: Path, *names: str, **settings: str) -> Generator[ClusterProcesses]:
    """Start a store and instances of these names; at the end no process is left."""
    with RedisServer(folder) as redis:
        shared = {"MEDIAFLEET_STORE__REDIS_URL": redis.url, "MEDIAFLEET_ARTIFACTS__ROOT": str(folder / "artifacts")}
        cluster = ClusterProcesses(folder, names, **shared | settings)
        try:
            for name in names:
                cluster.start_instance(name)
            yield cluster
            cluster.close()
        finally:
            cluster.kill_all()
        assert "Traceback" not in cluster.logs()


class ClusterProcesses(FleetProcesses):
    """Instances by name. What is asked goes to the instance that `url` names; nodes are given all addresses."""

    def __init__(self, folder: Path, names: tuple[str, ...], **settings: str) -> None:
        super().__init__(folder, **settings)
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

    def start_instance(self, name: str) -> subprocess.Popen[bytes]:
        """Start an instance, and wait until it serves."""
        words = ("scheduler", "--data", str(self.folder / name), "--port", str(self.ports[name]))
        self.instances[name] = self._start(name, *words)
        self.use(name)
        wait_for(lambda: self.get("/ready", default=None), f"instance {name} to be ready")
        return self.instances[name]

    def kill_instance(self, name: str) -> None:
        """End an instance as a power cut would."""
        process = self.instances.pop(name)
        process.kill()
        process.wait()

    def close(self) -> None:
        """End all processes in order, nodes first, and see that none is left."""
        for process in [*self.nodes.values(), *self.instances.values()]:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(PATIENCE_S)
        left = self._processes()
        assert not left, f"processes left behind: {left}"

    def _processes(self) -> list[psutil.Process]:
        # The store is the test's own, and outlives the cluster.
        return [process for process in super()._processes() if "redis" not in process.name()]

    def kill_all(self) -> None:
        """End whatever still runs, for a test that failed."""
        for process in self.instances.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait(PATIENCE_S)
        super().kill_all()
