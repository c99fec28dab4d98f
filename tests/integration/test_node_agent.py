"""A node agent against a scripted scheduler over real sockets, with real children."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_scheduler import DEADLINE_S, FakeScheduler, assignment
from probe_kind import Probe
from process_state import is_alive

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import ConfigError, DataDirectoryInUse, SchedulerUnavailable, Unauthorized
from mediafleet.domain.frames import (
    AttemptRef,
    Drain,
    Heartbeat,
    JobAssign,
    JobCancel,
    JobProgress,
    JobReject,
    JobResults,
    Misc,
    Ping,
    Register,
)
from mediafleet.kinds.registry import KindRegistry
from mediafleet.node import Farewell, NodeAgent, Surroundings, WebSocketLink
from mediafleet.ops.settings import NodeSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

SETTINGS = NodeSettings(slots=2, reconnect_min_ms=10, reconnect_max_ms=50, stop_grace_ms=500, labels=("studio-b",))


@dataclass
class Shelf:
    """Stores artifacts in memory; is away for as many calls as a test says."""

    away: int = 0
    calls: int = 0

    async def resolve(self, ref: ArtifactRef, workspace: Path, /, **_: object) -> Path:
        raise NotImplementedError

    async def upload(
        self, path: Path, *, name: str, grant: str, on_progress: Callable[[int], None] | None = None
    ) -> ArtifactRef:
        self.calls += 1
        if self.calls <= self.away:
            raise SchedulerUnavailable("Nobody answers.")
        return ArtifactRef(f"a0-{grant}", name, size=_size(path))


@dataclass
class Node:
    """A running agent and what its handlers saw."""

    agent: NodeAgent
    probe: Probe
    running: asyncio.Task[Farewell]
    data: Path

    async def ended(self) -> Farewell:
        async with asyncio.timeout(DEADLINE_S):
            return await self.running

    @property
    def leftovers(self) -> list[Path]:
        return list((self.data / "work").iterdir())


@asynccontextmanager
async def running_node(
    scheduler: FakeScheduler, data: Path, *, settings: NodeSettings = SETTINGS, shelf: Shelf | None = None
) -> AsyncGenerator[Node]:
    probe = Probe()
    dial = partial(WebSocketLink.open, scheduler.address, token="word")  # noqa: S106 - a word for the test
    around = Surroundings(KindRegistry([probe.kind()]), dial, shelf or Shelf())
    agent = NodeAgent(replace(settings, scheduler=scheduler.address), data, around)
    running = asyncio.create_task(agent.run())
    try:
        yield Node(agent, probe, running, data)
    finally:
        agent.abort()
        await asyncio.wait([running], timeout=DEADLINE_S)


@pytest.fixture
async def scheduler() -> AsyncGenerator[FakeScheduler]:
    async with FakeScheduler() as fake:
        yield fake


async def until(claim: Callable[[], object]) -> None:
    """Wait for something that only the system knows: a process, a file of another process."""
    async with asyncio.timeout(DEADLINE_S):
        while not claim():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.01)


def _size(path: Path) -> int:
    return path.stat().st_size


async def test_registers_with_what_it_offers(scheduler: FakeScheduler, tmp_path: Path) -> None:
    async with running_node(scheduler, tmp_path):
        frame = await scheduler.expect(Register)
    (cpu,) = frame.executors
    assert (cpu.name, cpu.slots, cpu.capabilities) == ("cpu", 2, ("kind:probe", "label:studio-b"))
    assert frame.running == frame.holding == ()
    assert frame.facts["cores"] >= 1
    assert scheduler.credentials == ["Bearer word"]


async def test_keeps_its_id_over_restarts_but_is_a_new_incarnation(scheduler: FakeScheduler, tmp_path: Path) -> None:
    async with running_node(scheduler, tmp_path):
        first = await scheduler.expect(Register)
    async with running_node(scheduler, tmp_path):
        second = await scheduler.expect(Register)
    assert first.node == second.node
    assert first.incarnation != second.incarnation


async def test_two_agents_on_one_data_directory_give_a_clear_error(scheduler: FakeScheduler, tmp_path: Path) -> None:
    async with running_node(scheduler, tmp_path):
        await scheduler.expect(Register)
        async with running_node(scheduler, tmp_path) as second:
            with pytest.raises(DataDirectoryInUse, match="--data"):
                await second.ended()


async def test_a_refused_token_ends_a_node_that_never_joined(scheduler: FakeScheduler, tmp_path: Path) -> None:
    scheduler.status = 401
    async with running_node(scheduler, tmp_path) as node:
        with pytest.raises(Unauthorized, match="--token-file"):
            await node.ended()


async def test_an_unsupported_protocol_ends_a_node_that_never_joined(scheduler: FakeScheduler, tmp_path: Path) -> None:
    scheduler.close_with = (4426, "speaks 2")
    async with running_node(scheduler, tmp_path) as node:
        with pytest.raises(ConfigError, match="upgrade"):
            await node.ended()


async def test_waits_for_a_scheduler_that_comes_later(tmp_path: Path) -> None:
    scheduler = FakeScheduler()
    await scheduler.start()
    await scheduler.stop()
    async with running_node(scheduler, tmp_path):
        await scheduler.start()
        await scheduler.expect(Register)
        await scheduler.stop()


async def test_heartbeats_name_what_runs_and_a_ping_brings_one_at_once(
    scheduler: FakeScheduler, tmp_path: Path
) -> None:
    scheduler.heartbeat_ms = 3_600_000
    async with running_node(scheduler, tmp_path):
        await scheduler.expect(Register)
        await scheduler.assign("wait", "g1")
        await scheduler.expect_ack("g1")
        await scheduler.send(Ping())
        beat = await scheduler.expect(Heartbeat)
    assert beat.running == (AttemptRef("j0-x.g1", "g1"),)


async def test_regular_heartbeats_tell_the_load(scheduler: FakeScheduler, tmp_path: Path) -> None:
    async with running_node(scheduler, tmp_path):
        beat = await scheduler.expect(Heartbeat)
    assert {"cpu", "cpu_own", "memory", "disk"} <= beat.load.keys()
    assert all(0 <= share <= 1 for name, share in beat.load.items() if not name.endswith("_gb"))


# --- running -------------------------------------------------------------------------------


async def test_runs_what_it_is_assigned_and_cleans_up(scheduler: FakeScheduler, tmp_path: Path) -> None:
    async with running_node(scheduler, tmp_path) as node:
        await scheduler.expect(Register)
        await scheduler.assign("echo", "g1", word="hello")
        await scheduler.expect_ack("g1")
        outcome = await scheduler.expect_outcome("g1")
        assert outcome.result
        assert outcome.result.result == {"word": "hello"}
        assert len(node.probe.workspaces) == 1
        assert node.leftovers == []


@pytest.mark.parametrize(
    ("step", "code", "retryable"),
    [
        ("reject", "unreadable-media", False),
        ("crash", "transient-failure", True),
        ("leave", "transient-failure", True),
    ],
)
async def test_a_failing_handler_costs_only_its_attempt(
    step: str, code: str, *, retryable: bool, scheduler: FakeScheduler, tmp_path: Path
) -> None:
    """Bad input, a fault in a handler, and a handler that calls exit() all leave the node running."""
    async with running_node(scheduler, tmp_path) as node:
        await scheduler.expect(Register)
        await scheduler.assign(step, "g1")
        error = (await scheduler.expect_outcome("g1")).error
        assert error
        assert (error.code, error.retryable) == (code, retryable)
        assert node.leftovers == []
        await scheduler.assign("echo", "g2")
        assert (await scheduler.expect_outcome("g2")).result


async def test_progress_reaches_the_scheduler(scheduler: FakeScheduler, tmp_path: Path) -> None:
    async with running_node(scheduler, tmp_path):
        await scheduler.expect(Register)
        await scheduler.assign("wait", "g1")
        (update,) = (await scheduler.expect(JobProgress)).updates
    assert (update.grant, update.fraction, update.stage) == ("g1", 0.5, "waiting")


async def test_slots_are_never_exceeded(scheduler: FakeScheduler, tmp_path: Path) -> None:
    """Two slots: the third of a batch is refused, and its place is free again when one has ended."""
    async with running_node(scheduler, tmp_path) as node:
        await scheduler.expect(Register)
        await scheduler.send(JobAssign(tuple(assignment("wait", grant) for grant in ("g1", "g2", "g3"))))
        reject = await scheduler.expect(JobReject)
        assert (reject.grant, reject.reason) == ("g3", "no slot")
        node.probe.gate.set()
        await scheduler.expect_outcome("g1")
        await scheduler.expect_outcome("g2")
        await scheduler.assign("wait", "g4", cost=2)
        await scheduler.expect_outcome("g4")
        assert node.probe.most_at_once == 2


async def test_an_unknown_kind_or_step_is_rejected_by_name(scheduler: FakeScheduler, tmp_path: Path) -> None:
    async with running_node(scheduler, tmp_path):
        await scheduler.expect(Register)
        await scheduler.assign("echo", "g1", kind="dance")
        assert (await scheduler.expect(JobReject)).missing == "kind:dance"
        await scheduler.assign("jump", "g2")
        assert (await scheduler.expect(JobReject)).missing == "kind:probe/jump"


async def test_a_repeated_assignment_is_acknowledged_but_started_once(scheduler: FakeScheduler, tmp_path: Path) -> None:
    scheduler.confirms = False
    async with running_node(scheduler, tmp_path) as node:
        await scheduler.expect(Register)
        for _ in range(2):
            await scheduler.assign("wait", "g1")
            await scheduler.expect_ack("g1")
        node.probe.gate.set()
        await scheduler.expect_outcome("g1")
        await scheduler.assign("wait", "g1")
        await scheduler.expect_ack("g1")
        await scheduler.expect_outcome("g1")
        assert node.probe.started == ["g1"]


async def test_cancelling_stops_the_child_cleans_up_and_confirms(scheduler: FakeScheduler, tmp_path: Path) -> None:
    report = tmp_path / "report"
    async with running_node(scheduler, tmp_path / "data") as node:
        await scheduler.expect(Register)
        await scheduler.assign("sleep", "g1", report=str(report))
        await until(report.exists)
        await scheduler.send(JobCancel((AttemptRef("j0-x.g1", "g1"),)))
        assert (await scheduler.expect_outcome("g1")).cancelled
        assert not is_alive(int(report.read_text().split()[0]))
        assert node.leftovers == []


async def test_cancelling_at_once_after_assigning_still_confirms(scheduler: FakeScheduler, tmp_path: Path) -> None:
    """The cancel may come before the handler has taken its first step."""
    async with running_node(scheduler, tmp_path):
        await scheduler.expect(Register)
        await scheduler.assign("wait", "g1")
        await scheduler.send(JobCancel((AttemptRef("j0-x.g1", "g1"), AttemptRef("j0-x.g9", "g9"))))
        assert (await scheduler.expect_outcome("g1")).cancelled
        assert (await scheduler.expect_outcome("g9")).cancelled


async def test_a_frame_that_cannot_be_read_is_left_out(scheduler: FakeScheduler, tmp_path: Path) -> None:
    async with running_node(scheduler, tmp_path):
        await scheduler.expect(Register)
        for text in ("{", '{"type": "future"}', '{"type": "job_assign", "assignments": 7}'):
            await scheduler.send_text(text)
        await scheduler.assign("echo", "g1")
        assert (await scheduler.expect_outcome("g1")).result


# --- surviving -----------------------------------------------------------------------------


async def test_a_lost_scheduler_loses_no_work(scheduler: FakeScheduler, tmp_path: Path) -> None:
    """What runs is announced again on reconnect, and what finished meanwhile is announced as held and delivered."""
    async with running_node(scheduler, tmp_path) as node:
        await scheduler.expect(Register)
        await scheduler.assign("wait", "g1")
        await scheduler.expect_ack("g1")
        await scheduler.stop()
        await scheduler.start()
        assert (await scheduler.expect(Register)).running == (AttemptRef("j0-x.g1", "g1"),)
        await scheduler.stop()
        node.probe.gate.set()
        await until(lambda: list((tmp_path / "outbox").glob("*.json")))
        await scheduler.start()
        frame = await scheduler.expect(Register)
        assert (frame.running, frame.holding) == ((), (AttemptRef("j0-x.g1", "g1"),))
        assert (await scheduler.expect_outcome("g1")).result
        assert node.probe.started == ["g1"]


async def test_an_attempt_that_is_no_longer_wanted_is_stopped_on_reconnect(
    scheduler: FakeScheduler, tmp_path: Path
) -> None:
    async with running_node(scheduler, tmp_path) as node:
        await scheduler.expect(Register)
        await scheduler.assign("wait", "g1")
        await scheduler.expect_ack("g1")
        scheduler.drop = (AttemptRef("j0-x.g1", "g1"),)
        await scheduler.stop()
        await scheduler.start()
        assert (await scheduler.expect_outcome("g1")).cancelled
        assert node.probe.at_once == 0


async def test_an_unconfirmed_result_survives_a_restart(scheduler: FakeScheduler, tmp_path: Path) -> None:
    scheduler.confirms = False
    async with running_node(scheduler, tmp_path):
        await scheduler.expect(Register)
        await scheduler.assign("echo", "g1", word="kept")
        await scheduler.expect_outcome("g1")
        await until(lambda: list((tmp_path / "outbox").glob("*.json")))
    scheduler.unread.clear()
    scheduler.confirms = True
    async with running_node(scheduler, tmp_path) as node:
        assert (await scheduler.expect(Register)).holding == (AttemptRef("j0-x.g1", "g1"),)
        outcome = await scheduler.expect_outcome("g1")
        assert outcome.result
        assert outcome.result.result == {"word": "kept"}
        assert node.probe.started == []
        node.agent.drain()
        assert await node.ended() is Farewell.DRAINED
    assert list((tmp_path / "outbox").iterdir()) == []


async def test_a_result_that_is_not_confirmed_is_sent_again(scheduler: FakeScheduler, tmp_path: Path) -> None:
    """The link is up but the store was away when the result came."""
    scheduler.confirms = False
    scheduler.lease_ms = 300
    async with running_node(scheduler, tmp_path):
        await scheduler.expect(Register)
        await scheduler.assign("echo", "g1")
        await scheduler.expect_outcome("g1")
        await scheduler.expect_outcome("g1")


async def test_publishing_waits_for_a_scheduler_that_is_away(scheduler: FakeScheduler, tmp_path: Path) -> None:
    """A finished encode is not lost because nobody takes it just now."""
    shelf = Shelf(away=5)
    async with running_node(scheduler, tmp_path, shelf=shelf):
        await scheduler.expect(Register)
        await scheduler.assign("publish", "g1")
        outcome = await scheduler.expect_outcome("g1")
    assert outcome.result
    assert outcome.result.outputs == (ArtifactRef("a0-g1", "out.txt", size=4),)
    assert shelf.calls == 6


# --- ending --------------------------------------------------------------------------------


async def test_draining_finishes_delivers_and_says_goodbye(scheduler: FakeScheduler, tmp_path: Path) -> None:
    async with running_node(scheduler, tmp_path) as node:
        await scheduler.expect(Register)
        await scheduler.assign("wait", "g1")
        await scheduler.expect_ack("g1")
        node.agent.drain()
        assert (await scheduler.expect(Misc)).event == "draining"
        await scheduler.assign("echo", "g2")
        assert (await scheduler.expect(JobReject)).reason == "draining"
        node.probe.gate.set()
        assert (await scheduler.expect_outcome("g1")).result
        assert (await scheduler.expect(Misc)).event == "goodbye"
        assert await node.ended() is Farewell.DRAINED


async def test_a_drain_by_the_operator_refuses_work_until_it_is_taken_back(
    scheduler: FakeScheduler, tmp_path: Path
) -> None:
    async with running_node(scheduler, tmp_path) as node:
        await scheduler.expect(Register)
        await scheduler.send(Drain())
        await scheduler.assign("echo", "g1")
        assert (await scheduler.expect(JobReject)).reason == "draining"
        await scheduler.send(Drain(draining=False))
        await scheduler.assign("echo", "g2")
        assert (await scheduler.expect_outcome("g2")).result
        assert not node.running.done()


async def test_aborting_stops_work_at_once_and_reports_no_outcome(scheduler: FakeScheduler, tmp_path: Path) -> None:
    """The work is not cancelled: it goes elsewhere, so the node only says goodbye."""
    report = tmp_path / "report"
    async with running_node(scheduler, tmp_path / "data") as node:
        await scheduler.expect(Register)
        await scheduler.assign("sleep", "g1", report=str(report))
        await until(report.exists)
        node.agent.drain()
        await scheduler.expect(Misc)
        node.agent.abort()
        assert await node.ended() is Farewell.ABORTED
        assert (await scheduler.expect(Misc)).event == "goodbye"
        assert not any(isinstance(frame, JobResults) for frame in scheduler.unread)
        assert not is_alive(int(report.read_text().split()[0]))
        assert node.leftovers == []


async def test_cancelling_the_agent_leaves_nothing_behind(scheduler: FakeScheduler, tmp_path: Path) -> None:
    report = tmp_path / "report"
    async with running_node(scheduler, tmp_path / "data") as node:
        await scheduler.expect(Register)
        await scheduler.assign("sleep", "g1", report=str(report))
        await until(report.exists)
        node.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await node.ended()
        assert not is_alive(int(report.read_text().split()[0]))
        assert node.leftovers == []


@asynccontextmanager
async def node_process(scheduler: FakeScheduler, data: Path, guard: str) -> AsyncGenerator[subprocess.Popen[bytes]]:
    script = Path(__file__).with_name("node_process.py")
    process = subprocess.Popen(  # noqa: ASYNC220 - starting takes milliseconds
        [sys.executable, str(script), scheduler.address, str(data), guard], stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        await asyncio.to_thread(process.wait)
        if process.stdout:
            process.stdout.close()


@pytest.mark.parametrize("guard", ["watchdog", "default"])
async def test_kill_9_of_the_node_takes_its_children_along(
    guard: str, scheduler: FakeScheduler, tmp_path: Path
) -> None:
    """After the restart nothing is announced, and the workspace of the killed attempt is gone."""
    report = tmp_path / "report"
    async with node_process(scheduler, tmp_path / "data", guard) as process:
        await scheduler.expect(Register)
        await scheduler.assign("sleep", "g1", report=str(report))
        await until(report.exists)
        child, workspace = report.read_text().split()
        assert is_alive(int(child))
        is_there = Path(workspace).exists
        assert is_there()
        process.kill()
        await until(lambda: not is_alive(int(child)))
    async with node_process(scheduler, tmp_path / "data", guard) as process:
        frame = await scheduler.expect(Register)
        assert frame.running == frame.holding == ()
        assert not is_there()


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "drained"), (signal.SIGINT, "aborted")])
async def test_signals_end_a_node_process_cleanly(
    number: signal.Signals, word: str, scheduler: FakeScheduler, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    async with node_process(scheduler, tmp_path / "data", "watchdog") as process:
        await scheduler.expect(Register)
        if number is signal.SIGINT:
            await scheduler.assign("sleep", "g1", report=str(report))
            await until(report.exists)
        process.send_signal(number)
        assert process.stdout
        output = await asyncio.to_thread(process.stdout.read)
    assert output.decode().strip().endswith(word)
    assert list((tmp_path / "data" / "work").iterdir()) == []
    if report.exists():
        assert not is_alive(int(report.read_text().split()[0]))
