"""One start of a node at work: real handlers and a real outbox, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from node_samples import DEADLINE_S, REGISTER, REGISTERED, ScriptedLink, assignment, kind_of, runner_for
from structlog.testing import capture_logs

from mediafleet.domain.frames import (
    AttemptRef,
    Heartbeat,
    JobAck,
    JobAssign,
    JobCancel,
    JobProgress,
    JobResultAck,
    JobResults,
    Misc,
    Outcome,
    Ping,
    Progress,
    SetLogLevels,
)
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import TaskResult
from mediafleet.node import duty as module
from mediafleet.node.connection import Connection
from mediafleet.node.duty import Duty
from mediafleet.node.outbox import Outbox
from mediafleet.node.progress import ProgressBoard
from mediafleet.node.state import AttemptTable
from mediafleet.ops.log_levels import apply_levels, forget_levels

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import pytest

    from mediafleet.kinds.seam import TaskContext

ONE = AttemptRef("j0-x.g1", "g1")


@dataclass
class HandClock:
    """Time that stands still until the test moves it."""

    now_s: float = 0.0

    def now_ms(self) -> int:
        """Return the wall clock; nobody asks."""
        raise NotImplementedError

    def monotonic(self) -> float:
        """Return the time that the test set."""
        return self.now_s


@dataclass
class Handlers:
    """What the handlers of one test saw and wait for."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def echo(self, context: TaskContext) -> TaskResult:
        """Return the payload."""
        return TaskResult(context.spec.payload)

    async def wait(self, context: TaskContext) -> TaskResult:
        """Wait for the gate."""
        context.report(0.5)
        self.began.set()
        await self.gate.wait()
        return TaskResult()

    async def resist(self, _: TaskContext) -> TaskResult:
        """Wait for the gate, whatever is asked meanwhile."""
        self.began.set()
        while not self.gate.is_set():
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                continue
        return TaskResult({"resisted": True})


@dataclass
class Work:
    """A duty and all that a test looks at."""

    duty: Duty
    handlers: Handlers
    clock: HandClock
    outbox: Path

    def assign(self, step: str, grant: str = "g1", **payload: Any) -> None:
        self.duty.handle(JobAssign((assignment(step, grant, **payload),)))

    async def idle(self) -> None:
        assert await self.duty.until(lambda: not self.duty.table.running, seconds=DEADLINE_S)

    @asynccontextmanager
    async def linked(self) -> AsyncGenerator[ScriptedLink]:
        """Link the duty and serve the link as long as the block lasts."""
        link = ScriptedLink(REGISTERED)
        connection = await Connection.register(link, REGISTER)
        self.duty.link(connection)
        serving = asyncio.create_task(
            connection.serve(handle=self.duty.handle, beat=lambda: None, board=ProgressBoard())
        )
        try:
            yield link
        finally:
            self.duty.unlink()
            serving.cancel()
            await asyncio.wait([serving])


@asynccontextmanager
async def on_duty(folder: Path, *, slots: int = 2) -> AsyncGenerator[Work]:
    handlers, clock = Handlers(), HandClock()
    kind = kind_of(echo=handlers.echo, wait=handlers.wait, resist=handlers.resist)
    table = AttemptTable([Executor("cpu", slots, ("kind:probe",))], find_missing=lambda _: "")
    outbox = Outbox(folder / "outbox")
    async with Duty(
        table, outbox=outbox, runner=runner_for(folder, kind), clock=clock, load=lambda: {"cpu": 0.5}
    ) as duty:
        yield Work(duty, handlers, clock, folder / "outbox")


def kept(folder: Path) -> list[Outcome]:
    return Outbox(folder).load()


# --- attempts ------------------------------------------------------------------------------


async def test_a_finished_attempt_frees_its_slot_and_lies_in_the_outbox(tmp_path: Path) -> None:
    async with on_duty(tmp_path, slots=1) as work:
        work.assign("echo", word="hello")
        assert work.duty.table.free_slots("cpu") == 0
        await work.idle()
        assert work.duty.table.free_slots("cpu") == 1
    assert kept(work.outbox) == [Outcome("j0-x.g1", "g1", result=TaskResult({"word": "hello"}))]


async def test_a_cancel_before_the_first_step_is_still_reported(tmp_path: Path) -> None:
    async with on_duty(tmp_path) as work:
        work.assign("wait")
        work.duty.handle(JobCancel((ONE,)))
        await work.idle()
        assert not work.handlers.began.is_set()
    assert kept(work.outbox) == [Outcome("j0-x.g1", "g1", cancelled=True)]


async def test_an_attempt_that_has_ended_sends_no_more_progress(tmp_path: Path) -> None:
    async with on_duty(tmp_path) as work:
        work.assign("wait")
        await work.handlers.began.wait()
        work.handlers.gate.set()
        await work.idle()
        work.duty.board.note(Progress("j0-x.g2", "g2", 0.1))
        assert await work.duty.board.next_frame() == JobProgress((Progress("j0-x.g2", "g2", 0.1),))


async def test_a_confirmed_outcome_leaves_the_outbox(tmp_path: Path) -> None:
    async with on_duty(tmp_path) as work:
        work.assign("echo")
        await work.idle()
        work.duty.handle(JobResultAck((ONE,)))
        assert work.duty.table.holding == ()
    assert kept(work.outbox) == []


# --- the end -------------------------------------------------------------------------------


async def test_leaving_stops_all_work_without_a_word_about_it(tmp_path: Path) -> None:
    """The scheduler places it elsewhere, so an outcome would only be in the way."""
    async with on_duty(tmp_path) as work:
        work.assign("wait", "g1")
        work.assign("wait", "g2")
        await work.handlers.began.wait()
    assert work.duty.table.running == ()
    assert kept(work.outbox) == []
    assert list((tmp_path / "work").iterdir()) == []


async def test_leaving_waits_until_a_result_is_on_disk(tmp_path: Path) -> None:
    async with on_duty(tmp_path) as work:
        work.assign("resist")
        await work.handlers.began.wait()
        work.handlers.gate.set()
    assert kept(work.outbox) == [Outcome("j0-x.g1", "g1", result=TaskResult({"resisted": True}))]


async def test_a_handler_that_resists_its_cancel_is_given_up_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_GIVE_UP_S", 0.01)
    with capture_logs() as said:
        async with on_duty(tmp_path) as work:
            work.assign("resist")
            await work.handlers.began.wait()
    assert [line["tasks"] for line in said if "given up" in line["event"]] == [["attempt j0-x.g1"]]
    work.handlers.gate.set()
    await work.idle()


# --- waiting -------------------------------------------------------------------------------


async def test_a_claim_that_holds_already_is_not_waited_for(tmp_path: Path) -> None:
    async with on_duty(tmp_path) as work:
        assert await work.duty.until(lambda: True, seconds=0)


async def test_a_claim_that_does_not_come_true_in_time_is_said_so(tmp_path: Path) -> None:
    async with on_duty(tmp_path) as work:
        assert not await work.duty.until(lambda: False, seconds=0.01)


async def test_a_claim_is_looked_at_again_after_a_frame_and_after_a_note(tmp_path: Path) -> None:
    truths: list[bool] = []
    async with on_duty(tmp_path) as work:
        waiting = asyncio.create_task(work.duty.until(lambda: len(truths) == 2, seconds=DEADLINE_S))
        for change in (lambda: work.duty.handle(Ping()), work.duty.note_change):
            await asyncio.sleep(0)
            truths.append(True)
            change()
        assert await waiting


async def test_a_part_that_fails_is_logged_and_leaves_the_rest_running(tmp_path: Path) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with capture_logs() as said:
        async with on_duty(tmp_path) as work:
            work.duty._own(fail(), name="keep j0-x.a")
            work.assign("echo")
            await work.idle()
    assert [(line["part"], line["log_level"]) for line in said if "part" in line] == [("keep j0-x.a", "error")]


# --- the link ------------------------------------------------------------------------------


async def test_without_a_link_nothing_waits_to_be_sent(tmp_path: Path) -> None:
    async with on_duty(tmp_path) as work:
        work.duty.post(Misc("lost"))
        await work.duty.flush()
        async with work.linked() as link:
            work.duty.post(Misc("sent"))
            await work.duty.flush()
            assert [link.sent.get_nowait() for _ in range(2)] == [REGISTER, Misc("sent")]


async def test_an_outcome_that_no_link_took_is_sent_on_the_next(tmp_path: Path) -> None:
    async with on_duty(tmp_path) as work:
        async with work.linked() as first:
            pass
        work.assign("echo")
        await work.idle()
        async with work.linked() as second:
            assert [one.grant for one in (await second.expect(JobResults)).outcomes] == ["g1"]
        assert first.sent.qsize() == 1


async def test_an_assignment_over_the_link_is_acknowledged_before_its_outcome(tmp_path: Path) -> None:
    async with on_duty(tmp_path) as work, work.linked() as link:
        link.incoming.put_nowait(JobAssign((assignment("echo"),)))
        assert await link.expect(JobAck) == JobAck((ONE,))
        assert [one.grant for one in (await link.expect(JobResults)).outcomes] == ["g1"]


async def test_a_beat_tells_the_load_and_repeats_what_half_a_lease_did_not_confirm(tmp_path: Path) -> None:
    async with on_duty(tmp_path) as work, work.linked() as link:
        work.assign("echo")
        await link.expect(JobResults)
        for now_s, repeats in ((0.4, 0), (0.5, 1)):
            work.clock.now_s = now_s
            work.duty.beat()
            assert (await link.expect(Heartbeat)).load == {"cpu": 0.5}
            await work.duty.flush()
            assert link.sent.qsize() == repeats


async def test_a_disk_that_refuses_does_not_keep_an_outcome_from_its_scheduler(tmp_path: Path) -> None:
    async with on_duty(tmp_path) as work, work.linked() as link:
        work.outbox.rmdir()
        with capture_logs() as said:
            work.assign("echo")
            assert [one.grant for one in (await link.expect(JobResults)).outcomes] == ["g1"]
            await work.duty.until(lambda: not work.duty._owned, seconds=DEADLINE_S)
        assert [line["task"] for line in said if "outbox" in line["event"]] == ["j0-x.g1"]


async def test_log_levels_follow_what_the_scheduler_says(tmp_path: Path) -> None:
    logger = logging.getLogger("mediafleet.node.agent")
    try:
        async with on_duty(tmp_path) as work:
            work.duty.handle(SetLogLevels({logger.name: "debug"}))
            assert logger.level == logging.DEBUG
            # While there was no link, they were set back.
            work.duty.handle(REGISTERED)
            assert logger.level == logging.NOTSET
            work.duty.handle(msgspec.structs.replace(REGISTERED, log_levels={logger.name: "error"}))
            assert logger.level == logging.ERROR
    finally:
        apply_levels({})
        forget_levels()
