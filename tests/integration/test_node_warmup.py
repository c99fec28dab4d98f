"""An agent that takes long to find out what it can do, and one that finds something else later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from fake_scheduler import DEADLINE_S, FakeScheduler
from probe_kind import Probe

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.frames import JobReject, Misc, Register
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.seam import DetectContext, Detected
from mediafleet.node import Farewell, NodeAgent, Surroundings, WebSocketLink
from mediafleet.ops.settings import NodeSettings

SETTINGS = NodeSettings(slots=2, reconnect_min_ms=10, reconnect_max_ms=50, stop_grace_ms=500, warmup_after_ms=20)


class Detector:
    """Finds what a test says, once it is let."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.found = frozenset({"model:a"})
        self.looks = 0

    async def __call__(self, context: DetectContext) -> Detected:
        self.looks += 1
        await self.gate.wait()
        return Detected(self.found)


class NoArtifacts:
    """Stores nothing: no step that is run here has files."""

    async def resolve(self, ref: ArtifactRef, workspace: Path, /, **_: object) -> Path:
        raise NotImplementedError

    async def upload(self, path: Path, *, name: str, grant: str, on_progress: object = None) -> ArtifactRef:
        raise NotImplementedError


@asynccontextmanager
async def running_node(scheduler: FakeScheduler, data: Path, detector: Detector) -> AsyncGenerator[NodeAgent]:
    kind = replace(Probe().kind(), detect=detector)
    around = Surroundings(KindRegistry([kind]), partial(WebSocketLink.open, scheduler.address), NoArtifacts())
    agent = NodeAgent(replace(SETTINGS, scheduler=scheduler.address), data, around)
    running = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        agent.abort()
        await asyncio.wait([running], timeout=DEADLINE_S)
        assert running.result() is Farewell.DRAINED


@pytest.fixture
async def scheduler() -> AsyncGenerator[FakeScheduler]:
    async with FakeScheduler() as fake:
        yield fake


async def test_a_node_that_looks_for_long_joins_as_warming_up_and_says_when_it_is_ready(
    scheduler: FakeScheduler, tmp_path: Path
) -> None:
    detector = Detector()
    async with running_node(scheduler, tmp_path, detector):
        first = await scheduler.expect(Register)
        assert (first.state, first.executors[0].capabilities) == ("warmup", ())
        detector.gate.set()
        ready = await scheduler.expect(Misc)
        assert (ready.event, ready.data["state"]) == ("state", "ready")
        assert ready.executors[0].capabilities == ("kind:probe", "model:a")
        await scheduler.assign("echo", "g1", word="hello")
        assert (await scheduler.expect_outcome("g1")).result
        await scheduler.stop()
        await scheduler.start()
        again = await scheduler.expect(Register)
        assert (again.state, again.executors) == ("", ready.executors)


async def test_a_node_that_finds_out_soon_joins_ready(scheduler: FakeScheduler, tmp_path: Path) -> None:
    detector = Detector()
    detector.gate.set()
    async with running_node(scheduler, tmp_path, detector):
        frame = await scheduler.expect(Register)
    assert (frame.state, frame.executors[0].capabilities) == ("", ("kind:probe", "model:a"))
    assert {"cpu", "memory", "disk"} <= frame.load.keys(), "limits hold from the first moment"


async def test_a_node_may_be_ended_while_it_warms_up(scheduler: FakeScheduler, tmp_path: Path) -> None:
    async with running_node(scheduler, tmp_path, Detector()):
        await scheduler.expect(Register)


async def test_a_node_tells_what_has_changed_when_it_looks_again_and_only_then(
    scheduler: FakeScheduler, tmp_path: Path
) -> None:
    detector = Detector()
    detector.gate.set()
    async with running_node(scheduler, tmp_path, detector) as agent:
        await scheduler.expect(Register)
        for found in (frozenset({"model:a"}), frozenset({"model:b"})):
            detector.found = found
            looks = detector.looks
            agent.look_again()
            async with asyncio.timeout(DEADLINE_S):
                while detector.looks == looks:  # noqa: ASYNC110 - the agent sets no event of ours
                    await asyncio.sleep(0.01)
        news = await scheduler.expect(Misc)
        assert (news.event, news.executors[0].capabilities) == ("executors", ("kind:probe", "model:b"))
        assert not [frame for frame in scheduler.unread if isinstance(frame, Misc | JobReject)]
