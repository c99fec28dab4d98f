"""An agent from its start to its end, on links whose other side is the test."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from node_samples import DEADLINE_S, REGISTERED, ScriptedLink, Shelf, assignment, kind_of
from tests_support.children import children_with

from mediafleet.domain.errors import (
    Conflict,
    DataDirectoryInUse,
    MediafleetError,
    SchedulerUnavailable,
    StoreUnavailable,
    Unauthorized,
)
from mediafleet.domain.frames import AttemptRef, JobAck, JobAssign, JobResults, Misc, Outcome, Register
from mediafleet.domain.plan import TaskResult
from mediafleet.kinds.registry import KindRegistry
from mediafleet.kinds.seam import Detected
from mediafleet.node import Farewell, NodeAgent, Surroundings
from mediafleet.node import agent as module
from mediafleet.node.guard import choose_guard
from mediafleet.node.identity import claim_identity
from mediafleet.node.outbox import Outbox
from mediafleet.ops.settings import NodeSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from mediafleet.kinds.seam import DetectContext, Kind, TaskContext
    from mediafleet.node.guard import Guard

SETTINGS = NodeSettings(name="studio", slots=2, reconnect_min_ms=1, reconnect_max_ms=2, stop_grace_ms=100, drain_s=20)
GONE = SchedulerUnavailable("Nobody answers.")


class Switchboard:
    """Answers each dial with what the test said: a link, or an error."""

    def __init__(self, *answers: ScriptedLink | Exception) -> None:
        self.answers = list(answers)
        self.dials = 0
        self.moves = 0

    def move_on(self) -> None:
        """Count that the node would rather dial another."""
        self.moves += 1

    async def __call__(self) -> ScriptedLink:
        """Return the next link; the last answer is given for ever."""
        self.dials += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class Steps:
    """Handlers and a detection that wait for the test."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    pids: list[int] = field(default_factory=list[int])

    async def echo(self, context: TaskContext) -> TaskResult:
        """Return the payload."""
        return TaskResult(context.spec.payload)

    async def wait(self, context: TaskContext) -> TaskResult:
        """Run a child until the gate opens."""
        self.pids.append((await context.start_process(["sleep", "1000"])).pid)
        self.began.set()
        await self.gate.wait()
        return TaskResult()

    async def detect(self, context: DetectContext) -> Detected:
        """Run a child until the gate opens."""
        self.pids.append((await context.start_process(["sleep", "1000"])).pid)
        self.began.set()
        await self.gate.wait()
        return Detected()

    def kind(self) -> Kind:
        """Return a kind that detects nothing."""
        return kind_of(echo=self.echo, wait=self.wait)

    def slow_kind(self) -> Kind:
        """Return a kind whose detection waits."""
        return replace(self.kind(), detect=self.detect)


@dataclass
class Running:
    """An agent and the task in which it runs."""

    agent: NodeAgent
    task: asyncio.Task[Farewell]

    async def ended(self) -> Farewell:
        async with asyncio.timeout(DEADLINE_S):
            return await self.task


@asynccontextmanager
async def running(
    data: Path, dial: Switchboard, kind: Kind | None = None, settings: NodeSettings = SETTINGS
) -> AsyncGenerator[Running]:
    around = Surroundings(KindRegistry([kind or Steps().kind()]), dial, Shelf(), dial.move_on, cell="7")
    agent = NodeAgent(settings, data, around)
    task = asyncio.create_task(agent.run())
    try:
        yield Running(agent, task)
    finally:
        agent.abort()
        await asyncio.wait([task], timeout=DEADLINE_S)


def is_alive(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- before it is linked -------------------------------------------------------------------


@pytest.mark.parametrize(("order", "farewell"), [("drain", Farewell.DRAINED), ("abort", Farewell.ABORTED)])
async def test_an_agent_told_to_end_while_it_detects_ends_at_once(
    order: str, farewell: Farewell, tmp_path: Path
) -> None:
    steps, dial = Steps(), Switchboard(GONE)
    async with running(tmp_path, dial, steps.slow_kind()) as node:
        await steps.began.wait()
        getattr(node.agent, order)()
        assert await node.ended() is farewell
    assert not any(map(is_alive, steps.pids))
    assert list((tmp_path / "work").iterdir()) == []
    assert dial.dials == 0


async def test_an_agent_told_to_end_before_it_runs_dials_nobody(tmp_path: Path) -> None:
    dial = Switchboard(GONE)
    agent = NodeAgent(SETTINGS, tmp_path, Surroundings(KindRegistry([]), dial, Shelf()))
    agent.drain()
    assert await agent.run() is Farewell.DRAINED
    assert dial.dials == 0


async def test_a_start_clears_away_what_a_killed_agent_left(tmp_path: Path) -> None:
    (tmp_path / "work" / "j0-x.a-1-old").mkdir(parents=True)
    link = ScriptedLink(REGISTERED)
    async with running(tmp_path, Switchboard(link)):
        await link.expect(Register)
        assert list((tmp_path / "work").iterdir()) == []


async def test_a_node_introduces_itself_with_all_that_a_scheduler_must_know(tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    await Outbox(tmp_path / "outbox").put(Outcome("j0-x.a", "old", result=TaskResult()))
    link = ScriptedLink(REGISTERED)
    async with running(tmp_path, Switchboard(link)):
        frame = await link.expect(Register)
    assert (frame.host, frame.protocol, frame.draining) == ("studio", 1, False)
    assert frame.node.startswith("n7-studio-")
    assert [(one.name, one.slots, one.capabilities) for one in frame.executors] == [("cpu", 2, ("kind:probe",))]
    assert (frame.running, frame.holding) == ((), (AttemptRef("j0-x.a", "old"),))
    assert frame.facts["missing"] == {}


async def test_a_node_without_a_name_goes_by_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "attic")
    link = ScriptedLink(REGISTERED)
    async with running(tmp_path, Switchboard(link), settings=replace(SETTINGS, name="")):
        assert (await link.expect(Register)).host == "attic"


# --- linking -------------------------------------------------------------------------------


async def test_a_scheduler_that_is_away_is_dialled_until_it_is_there(tmp_path: Path) -> None:
    link = ScriptedLink(REGISTERED)
    dial = Switchboard(*[GONE] * 30, StoreUnavailable("Redis is away."), link)
    async with running(tmp_path, dial):
        await link.expect(Register)
    assert (dial.dials, dial.moves) == (32, 31), "each that did not take it was moved on from"


@pytest.mark.parametrize("refusal", [Unauthorized("Wrong token."), Conflict("Another node has this id.")])
async def test_a_node_that_was_refused_from_the_first_ends_with_the_reason(
    refusal: MediafleetError, tmp_path: Path
) -> None:
    dial = Switchboard(refusal)
    async with running(tmp_path, dial) as node:
        with pytest.raises(type(refusal), match=refusal.message):
            await node.ended()
    assert (dial.dials, dial.moves) == (1, 1)
    with claim_identity(tmp_path, cell="7", host="studio"):
        pass


@pytest.mark.parametrize("refusal", [Unauthorized("Wrong token."), Conflict("A newer link took over.")])
async def test_a_node_that_was_ever_accepted_keeps_on_whatever_refuses_it_later(
    refusal: MediafleetError, tmp_path: Path
) -> None:
    """An operator who changes the token must not end the work of the whole fleet."""
    first, second, steps = ScriptedLink(REGISTERED), ScriptedLink(REGISTERED), Steps()
    first.end = refusal
    async with running(tmp_path, Switchboard(first, refusal, refusal, second), steps.kind()) as node:
        first.incoming.put_nowait(JobAssign((assignment("wait"),)))
        await steps.began.wait()
        await first.close()
        assert (await second.expect(Register)).running == (AttemptRef("j0-x.g1", "g1"),)
        assert not node.task.done()


async def test_each_new_link_is_told_the_same_node_and_incarnation(tmp_path: Path) -> None:
    first, second = ScriptedLink(REGISTERED), ScriptedLink(REGISTERED)
    async with running(tmp_path, Switchboard(first, second)):
        one = await first.expect(Register)
        await first.close()
        other = await second.expect(Register)
    assert (one.node, one.incarnation) == (other.node, other.incarnation)


# --- ending --------------------------------------------------------------------------------


async def test_a_drain_that_takes_too_long_becomes_an_abort(tmp_path: Path) -> None:
    link, steps = ScriptedLink(REGISTERED), Steps()
    async with running(tmp_path, Switchboard(link), steps.kind(), replace(SETTINGS, drain_s=0)) as node:
        link.incoming.put_nowait(JobAssign((assignment("wait"),)))
        await steps.began.wait()
        node.agent.drain()
        assert await node.ended() is Farewell.ABORTED
    assert [(await link.expect(Misc)).event for _ in range(2)] == ["draining", "goodbye"]
    assert not any(map(is_alive, steps.pids))
    assert Outbox(tmp_path / "outbox").load() == []


async def test_a_result_that_nobody_confirms_holds_up_no_drain_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DELIVER_S", 0.01)
    link = ScriptedLink(REGISTERED)
    async with running(tmp_path, Switchboard(link)) as node:
        link.incoming.put_nowait(JobAssign((assignment("echo", word="kept"),)))
        await link.expect(JobResults)
        node.agent.drain()
        assert await node.ended() is Farewell.DRAINED
    (outcome,) = Outbox(tmp_path / "outbox").load()
    assert outcome.result == TaskResult({"word": "kept"})


async def test_a_second_order_to_end_cuts_a_drain_short(tmp_path: Path) -> None:
    link, steps = ScriptedLink(REGISTERED), Steps()
    async with running(tmp_path, Switchboard(link), steps.kind()) as node:
        link.incoming.put_nowait(JobAssign((assignment("wait"),)))
        await steps.began.wait()
        node.agent.drain()
        await link.expect(Misc)
        node.agent.abort()
        assert await node.ended() is Farewell.ABORTED


async def test_an_idle_node_leaves_nothing_undone_however_it_ends(tmp_path: Path) -> None:
    link = ScriptedLink(REGISTERED)
    async with running(tmp_path, Switchboard(link)) as node:
        await link.expect(Register)
        node.agent.abort()
        assert await node.ended() is Farewell.DRAINED


async def test_a_node_that_no_scheduler_answers_still_ends_when_told(tmp_path: Path) -> None:
    async with running(tmp_path, Switchboard(GONE)) as node:
        node.agent.drain()
        assert await node.ended() is Farewell.DRAINED


async def test_a_scheduler_that_does_not_read_holds_up_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FLUSH_S", 0.01)

    class DeafLink(ScriptedLink):
        async def send(self, frame: object) -> None:
            self.sent.put_nowait(frame)  # pyright: ignore[reportArgumentType] - only registered ones are looked at
            if not isinstance(frame, Register):
                await asyncio.Event().wait()

    link = DeafLink(REGISTERED)
    async with running(tmp_path, Switchboard(link)) as node:
        await link.expect(Register)
        node.agent.drain()
        assert await node.ended() is Farewell.DRAINED


async def test_a_cancelled_agent_stops_its_work_and_gives_its_directory_back(tmp_path: Path) -> None:
    link, steps = ScriptedLink(REGISTERED), Steps()
    async with running(tmp_path, Switchboard(link), steps.kind()) as node:
        link.incoming.put_nowait(JobAssign((assignment("wait"),)))
        await link.expect(JobAck)
        await steps.began.wait()
        with pytest.raises(DataDirectoryInUse), claim_identity(tmp_path, cell="7", host="studio"):
            pass
        node.task.cancel()
        await asyncio.wait([node.task])
        assert node.task.cancelled()
    assert not any(map(is_alive, steps.pids))
    assert list((tmp_path / "work").iterdir()) == []
    with claim_identity(tmp_path, cell="7", host="studio"):
        pass


@pytest.mark.parametrize("refusal", [None, Unauthorized("Wrong token.")])
async def test_the_guard_is_closed_once_however_the_agent_ends(refusal: Exception | None, tmp_path: Path) -> None:
    closed: list[Guard] = []

    def make_guard() -> Guard:
        guard = choose_guard()
        guard.close = lambda: closed.append(guard)
        return guard

    link = ScriptedLink(REGISTERED)
    around = Surroundings(KindRegistry([]), Switchboard(refusal or link), Shelf(), make_guard=make_guard)
    agent = NodeAgent(SETTINGS, tmp_path, around)
    task = asyncio.create_task(agent.run())
    if refusal is None:
        await link.expect(Register)
        agent.drain()
    await asyncio.wait([task], timeout=DEADLINE_S)
    assert task.exception() is refusal
    assert len(closed) == 1


# --- children that wait for work -----------------------------------------------------------


async def until(claim: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not claim():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.01)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script that waits for its line for ever."""
    path = tmp_path / "reader.py"
    path.write_text("import sys; sys.stdin.readline()")
    return path


async def test_scripts_of_a_kind_wait_from_the_start_of_a_node_to_its_end(tmp_path: Path, script: Path) -> None:
    kind = replace(Steps().kind(), scripts=(script,))
    settings = replace(SETTINGS, spare_children=3)
    async with running(tmp_path, Switchboard(GONE), kind, settings) as node:
        # On Linux what forks them runs the same script.
        await until(lambda: len(children_with(str(script))) == 3 + (sys.platform == "linux"))
        node.agent.drain()
        assert await node.ended() is Farewell.DRAINED
    assert children_with(str(script)) == []


async def test_nothing_waits_any_more_while_a_drain_lets_work_finish(tmp_path: Path, script: Path) -> None:
    link, steps = ScriptedLink(REGISTERED), Steps()
    async with running(tmp_path, Switchboard(link), replace(steps.kind(), scripts=(script,))) as node:
        link.incoming.put_nowait(JobAssign((assignment("wait"),)))
        await steps.began.wait()
        await until(lambda: children_with(str(script)))
        node.agent.drain()
        await until(lambda: not children_with(str(script)))
        assert all(map(is_alive, steps.pids))
        steps.gate.set()
        await link.expect(JobResults)


async def test_a_node_may_be_told_to_keep_nothing_waiting(tmp_path: Path, script: Path) -> None:
    link, kind = ScriptedLink(REGISTERED), replace(Steps().kind(), scripts=(script,))
    async with running(tmp_path, Switchboard(link), kind, replace(SETTINGS, spare_children=0)):
        link.incoming.put_nowait(JobAssign((assignment("echo"),)))
        await link.expect(JobResults)
        assert children_with(str(script)) == []
