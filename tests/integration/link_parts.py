"""A real scheduler and a real node agent in one loop, over real sockets with a proxy between them, on either link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from cut_proxy import CutProxy
from probe_kind import Probe

from mediafleet.artifacts.blobs import BlobStore
from mediafleet.domain.capability import Requirement
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.frames import JobResultAck, SchedulerFrame
from mediafleet.domain.job import Job, JobView, Submission
from mediafleet.domain.node import NodeView
from mediafleet.domain.plan import Expand, FinishedTask, NewTask, Step
from mediafleet.domain.push import PushNode
from mediafleet.doors.http.application import build_application
from mediafleet.doors.http.server import HttpServer
from mediafleet.doors.push.keeper import Caller, PushKeeper
from mediafleet.doors.push.messages import LinkTimes
from mediafleet.doors.push.node_api import listening
from mediafleet.doors.websocket.link import SocketLink
from mediafleet.kinds import KindRegistry
from mediafleet.node import Farewell, NodeAgent, Surroundings, WebSocketLink
from mediafleet.ops.metrics import Metrics
from mediafleet.ops.settings import NodeSettings, SchedulerSettings, ServerSettings, Settings
from mediafleet.scheduler.service import Resources, Scheduler
from mediafleet.store import Store

DEADLINE_S = 30.0
RULES = SchedulerSettings(
    reservation_ms=2_000, heartbeat_ms=400, node_lease_ms=4_000, reap_ms=100, outage_gap_ms=1_000, backstop_ms=300
)


class StepParams(msgspec.Struct, frozen=True):
    """Which of the probe's handlers a job runs."""

    step: str = "echo"


def plan_step(job: Job, finished: Sequence[FinishedTask]) -> Step:
    """One task that runs the step of the params."""
    del finished
    step = str(job.params["step"])
    return Expand((NewTask(name=step, step=step, requirement=Requirement(slots=1)),), outcome_of=step)


@dataclass
class LinkedFleet:
    """One scheduler, one node, and what lies between them."""

    scheduler: Scheduler
    proxy: CutProxy
    probe: Probe
    running: asyncio.Task[Farewell]
    agent: NodeAgent
    data: Path

    async def submit(self, step: str = "echo") -> str:
        """Submit a job of one task; return its id."""
        accepted = await self.scheduler.submit([Submission("probe", params={"step": step})], principal="ann")
        return accepted[0].job.id

    async def ended(self, job: str) -> JobView:
        """Return a job once it has ended."""
        await until(lambda: self._has_ended(job))
        return await self.scheduler.job(job)

    async def _has_ended(self, job: str) -> bool:
        return (await self.scheduler.job(job)).finished_ms is not None

    async def started(self, count: int = 1) -> None:
        """Wait until the node's handlers were begun so often, and the scheduler knows of each."""
        await until(lambda: _given(len(self.probe.started) >= count))
        await until(lambda: self._runs(count))

    async def _runs(self, count: int) -> bool:
        counts = {task.state for job in (await self.scheduler.jobs()).jobs for task in await self._tasks(job.id)}
        return "ACKED" in counts or count == 0

    async def _tasks(self, job: str) -> Sequence[Any]:
        return (await self.scheduler.job(job)).tasks

    async def node(self) -> NodeView:
        """Return the one node."""
        (view,) = await self.scheduler.nodes()
        return view

    async def in_state(self, *states: str) -> NodeView:
        """Return the node once it is in one of the states."""

        async def holds() -> bool:
            nodes = await self.scheduler.nodes()
            return len(nodes) == 1 and nodes[0].state in states

        await until(holds)
        return await self.node()

    async def idle(self) -> None:
        """Wait until no slot is held and the node's outbox is empty."""

        async def holds() -> bool:
            stats = await self.scheduler.stats()
            return stats["slots"]["used"] == 0 and not list((self.data / "outbox").glob("*"))

        await until(holds)


async def until(claim: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Wait for something that two processes' worth of loops make true."""
    async with asyncio.timeout(DEADLINE_S):
        while not await claim():  # noqa: ASYNC110 - no event tells of all that must have happened
            await asyncio.sleep(0.01)


async def _given(claim: bool) -> bool:  # noqa: FBT001 - a value as a coroutine
    return claim


class NoArtifacts:
    """Stores nothing: no step that is run here has files."""

    async def resolve(self, *_: object, **__: object) -> Path:
        raise NotImplementedError

    async def upload(self, *_: object, **__: object) -> Any:
        raise NotImplementedError


def link_kinds() -> list[str]:
    """Return the kinds of links that the conformance tests run on."""
    return ["websocket", "push"]


@asynccontextmanager
async def linked_fleet(kind: str, store: Store, folder: Path, *, token: str = "") -> AsyncGenerator[LinkedFleet]:
    """Run a scheduler and a node that is linked to it, by that kind of link."""
    probe = Probe()
    kinds = KindRegistry([replace_kind(probe)])
    settings = Settings(data=folder, scheduler=RULES, server=ServerSettings(port=0, token=token))
    async with AsyncExitStack() as stack:
        scheduler = Scheduler(
            "i-1", settings, Resources(store, BlobStore(folder / "b"), kinds, SystemClock(), Metrics())
        )
        await stack.enter_async_context(scheduler)
        application = build_application(scheduler, settings.server)
        if kind == "push":
            listener, url = await stack.enter_async_context(listening("127.0.0.1:0", settings.server))
            dial: Any = listener.accept
            proxy = await stack.enter_async_context(CutProxy(int(url.rpartition(":")[2])))
            keeper = PushKeeper(
                [PushNode(f"http://127.0.0.1:{proxy.port}")], caller(scheduler, store, application, token)
            )
            await stack.enter_async_context(keeper)
            await stack.enter_async_context(HttpServer(application, host="127.0.0.1", port=0))
        else:
            server = await stack.enter_async_context(HttpServer(application, host="127.0.0.1", port=0))
            proxy = await stack.enter_async_context(CutProxy(server.port))
            dial = partial(WebSocketLink.open, f"http://127.0.0.1:{proxy.port}", token=token)
        node = NodeSettings(slots=2, reconnect_min_ms=10, reconnect_max_ms=50, stop_grace_ms=500)
        agent = NodeAgent(node, folder / "node", Surroundings(kinds, dial, NoArtifacts()))
        running = asyncio.create_task(agent.run())
        fleet = LinkedFleet(scheduler, proxy, probe, running, agent, folder / "node")
        try:
            await fleet.in_state("ready")
            yield fleet
        finally:
            proxy.thaw()
            agent.abort()
            await asyncio.wait([running], timeout=DEADLINE_S)


def caller(scheduler: Scheduler, store: Store, application: Any, token: str = "") -> Caller:
    """Return what calls nodes for an instance."""
    times = LinkTimes(RULES.heartbeat_ms / 1000)
    claim = partial(store.claim_push, scheduler.instance)
    return Caller(scheduler.instance, claim, application.nodes, token, times, ask_every_s=0.05)


def replace_kind(probe: Probe) -> Any:
    """Return the probe's kind with params and a plan."""
    return replace(probe.kind(), params=StepParams, plan=plan_step, inputs=(0, 0))


@dataclass
class LostAcks:
    """Loses the confirmations of results on their way to the node, as many as a test says."""

    left: int = 0
    lost: list[JobResultAck] = field(default_factory=list[JobResultAck])

    def install(self, monkeypatch: Any) -> None:
        """Stand between the scheduler and all links."""
        send = SocketLink.send

        def lose(link: SocketLink, frame: SchedulerFrame) -> bool:
            if isinstance(frame, JobResultAck) and self.left:
                self.left -= 1
                self.lost.append(frame)
                return True
            return send(link, frame)

        monkeypatch.setattr(SocketLink, "send", lose)
