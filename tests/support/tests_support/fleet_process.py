"""Real `mediafleet` processes on a folder of a test's own, to be killed and started again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from redis import Redis

PATIENCE_S = 60.0
LOOK_EVERY_S = 0.05

SHORT_TIMES = {
    "MEDIAFLEET_SCHEDULER__RESERVATION_MS": "1000",
    "MEDIAFLEET_SCHEDULER__HEARTBEAT_MS": "500",
    "MEDIAFLEET_SCHEDULER__NODE_LEASE_MS": "2500",
    "MEDIAFLEET_SCHEDULER__REAP_MS": "100",
    "MEDIAFLEET_SCHEDULER__OUTAGE_GAP_MS": "1000",
    "MEDIAFLEET_SCHEDULER__BACKSTOP_MS": "500",
    "MEDIAFLEET_NODE__RECONNECT_MAX_MS": "500",
    "MEDIAFLEET_NODE__SLOTS": "1",
    # What else runs on the machine of the tests must not keep work from their nodes.
    "MEDIAFLEET_NODE__HEADROOM": "cpu:0,memory:0,disk:0,gpu:0",
}


def wait_for(
    condition: Callable[[], Any],
    what: str,
    *,
    patience_s: float = PATIENCE_S,
    explain: Callable[[], Any] = str,
) -> Any:
    """Return what the condition gives once it is true; fail with `what`, explained, after the patience."""
    deadline = time.monotonic() + patience_s
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what} {explain()}"
        pause.wait(LOOK_EVERY_S)  # nobody sets it: another process cannot wake us
    return found


def let_time_pass(seconds: float) -> None:
    """Wait: how long something is away is what the test is about, so this cannot be an event."""
    threading.Event().wait(seconds)


@contextmanager
def running_fleet(folder: Path, **settings: str) -> Generator[FleetProcesses]:
    """Start a scheduler and yield its fleet; at the end no process is left, whatever happened in between."""
    fleet = FleetProcesses(folder, **settings)
    try:
        fleet.start_scheduler()
        yield fleet
        fleet.close()
    finally:
        fleet.kill_all()
    assert "Traceback" not in fleet.logs()


class FleetProcesses:
    """A scheduler and nodes, each a process; `close` leaves none behind. `running_fleet` makes one."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.node_scheduler = self.url
        # What is installed on this machine is no part of a test that does not ask for it.
        self.environment = {
            "MEDIAFLEET_ENGINES__ENABLED": "false",
            **os.environ,
            **SHORT_TIMES,
            **settings,
            "MEDIAFLEET_LOG__LEVEL": "info",
        }
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self.accepted: list[str] = []
        """Jobs that were accepted here, without repeats."""

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        """Start the scheduler with its private store, and wait until it serves."""
        words = ("scheduler", "--data", str(self.folder / "fleet"), "--port", str(self.port))
        self.scheduler = self._start("scheduler", *words)
        wait_for(lambda: self.get("/ready", default=None), "the scheduler to be ready")
        return self.scheduler

    def start_node(
        self, name: str, *, until: str = "ready", via: str = "", **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a node with settings of its own, and wait until it is ready, or in another state.

        `via` is the address that it dials in place of the usual ones.
        """
        scheduler = via or self.node_scheduler
        words = ("node", "--scheduler", scheduler, "--data", str(self.folder / name), "--name", name)
        self.nodes[name] = self._start(name, *words, **environment)
        wait_for(lambda: self.node_state(name) == until, f"node {name} to be {until}")
        return self.nodes[name]

    def _start(self, name: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "mediafleet.cli", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment | environment,
                start_new_session=True,
            )

    def kill_scheduler(self) -> None:
        """End the scheduler as a power cut would."""
        assert self.scheduler
        self.scheduler.kill()
        self.scheduler.wait()

    def kill_node(self, name: str) -> None:
        """End a node as a power cut would."""
        process = self.nodes.pop(name)
        process.kill()
        process.wait()

    def kill_store_and_scheduler(self) -> None:
        """End both as a power cut would: neither sees the other go."""
        assert self.scheduler
        os.kill(self.scheduler.pid, signal.SIGSTOP)
        os.kill(self.redis_pid(), signal.SIGKILL)
        self.kill_scheduler()

    def redis_pid(self) -> int:
        """Process id of the scheduler's private store."""
        assert self.scheduler
        (child,) = [p for p in psutil.Process(self.scheduler.pid).children() if "redis" in p.name()]
        return child.pid

    def store_client(self) -> Any:
        """Return a client of the store, which redis-py types as something between its two worlds; close it."""
        if url := self.environment.get("MEDIAFLEET_STORE__REDIS_URL"):
            return Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType] - redis-py leaves its options untyped
        return Redis(unix_socket_path=str(self.folder / "fleet" / "redis" / "redis.sock"))

    def keys(self) -> set[str]:
        """Names of all keys in the private store, but for those of tenants' virtual time, which expires by itself."""
        with self.store_client() as client:
            names = {name.decode() for name in client.keys("*")}
            return {name for name in names if ":vtime:" not in name or client.ttl(name) == -1}

    def node_state(self, name: str) -> str:
        """State of the node with that host name, "" if the scheduler knows none."""
        return next((node["state"] for node in self.get("/api/v1/nodes", default=[]) if node["host"] == name), "")

    def get(self, path: str, default: Any = ...) -> Any:
        """Return the JSON of a route, or the default where nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return json.load(response)
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            if default is ...:
                raise
            return default

    def post(self, path: str, body: Any) -> Any:
        """Send JSON and return the answer's."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: Any = json.load(response)
        if path == "/api/v1/jobs":
            self._note_accepted(answer if isinstance(body, list) else [answer])
        return answer

    def _note_accepted(self, views: Any) -> None:
        self.accepted += [view["id"] for view in views if view["id"] not in self.accepted]

    def delete(self, path: str) -> int:
        """Send DELETE; return the status of the answer."""
        with urllib.request.urlopen(urllib.request.Request(self.url + path, method="DELETE"), timeout=30) as response:
            return response.status

    def upload(self, artifact: str, content: bytes) -> None:
        """Send all bytes of an upload."""
        path = f"{self.url}/api/v1/artifacts/{artifact}?offset=0"
        with urllib.request.urlopen(urllib.request.Request(path, content, method="PUT"), timeout=60) as response:
            assert response.status == 200

    def download(self, artifact: str) -> bytes:
        """Return the bytes of an artifact."""
        with urllib.request.urlopen(f"{self.url}/api/v1/artifacts/{artifact}", timeout=60) as response:
            return response.read()

    def events(self, path: str, *, after: str = "0-0") -> Iterator[tuple[str, Any]]:
        """Yield position and content of the events after one, until the stream ends."""
        request = urllib.request.Request(self.url + path, headers={"Last-Event-ID": after})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            position = ""
            for line in response:
                if line.startswith(b"id: "):
                    position = line.decode().removeprefix("id: ").strip()
                elif line.startswith(b"data: "):
                    yield position, json.loads(line.removeprefix(b"data: "))

    def submit(self, kind: str, *, source: Path | None = None, **params: Any) -> str:
        """Submit a job; return its id."""
        body = {"kind": kind, "params": params} | ({"input": source.as_uri()} if source else {})
        return self.post("/api/v1/jobs", body)["id"]

    def job(self, job: str) -> Any:
        """Return a job's view, or an empty one where nobody answers."""
        return self.get(f"/api/v1/jobs/{job}", default={"status": "", "stage": "", "tasks": []})

    def wait_status(self, job: str, *statuses: str) -> Any:
        """Wait until a job has one of the statuses; return its view."""
        return wait_for(
            lambda: view if (view := self.job(job))["status"] in statuses else None, f"job {job} to be {statuses}"
        )

    def wait_stage(self, job: str, stage: str) -> Any:
        """Wait until a job is at a stage."""
        return wait_for(lambda: view if (view := self.job(job))["stage"] == stage else None, f"{job} to be {stage}")

    def wait_idle(self) -> None:
        """Wait until no slot is held."""
        wait_for(lambda: self.get("/api/v1/stats", default={"slots": {"used": 1}})["slots"]["used"] == 0, "free slots")

    def ffmpegs(self) -> list[psutil.Process]:
        """FFmpeg processes that work below this folder."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter(["cmdline"]):
            words: list[str] = process.info["cmdline"] or []
            if words and "ffmpeg" in words[0] and any(str(self.folder) in word for word in words):
                found.append(process)
        return found

    def logs(self) -> str:
        """All that the processes wrote."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))

    def close(self) -> None:
        """End all processes in order, nodes first, and see that none is left."""
        for process in self.started():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(PATIENCE_S)
        left = self.processes()
        assert not left, f"processes left behind: {left}"

    def kill_all(self) -> None:
        """End whatever still runs, for a test that failed; what they started dies with them."""
        for process in self.started():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait(PATIENCE_S)
        psutil.wait_procs(self.processes(), timeout=PATIENCE_S)

    def started(self) -> list[subprocess.Popen[bytes]]:
        """Return what was started and not killed, nodes first."""
        return [*self.nodes.values(), *([self.scheduler] if self.scheduler else [])]

    def processes(self) -> list[psutil.Process]:
        """Return all processes that work on this folder."""
        return [p for p in psutil.process_iter(["cmdline"]) if str(self.folder) in " ".join(p.info["cmdline"] or [])]


def free_port() -> int:
    """Return a port that nobody listens on, below those that systems give to outgoing connections.

    It may be needed long after it was chosen: by a server that is started anew.
    """
    for _ in range(1000):
        port = random.SystemRandom().randrange(22_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
