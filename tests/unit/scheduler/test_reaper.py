"""What is due ends within a tick, and everybody who has to know is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scheduler_parts import DEADLINE_S, NODE, Parts, assigned, is_asked, kind_with, refs
from structlog.testing import capture_logs
from tests_support.store_driver import LEASE_MS, RESERVE_MS, RETENTION_MS
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.artifact import Artifact, ArtifactRef, ArtifactState
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.frames import Heartbeat, JobAck, JobCancel, JobResults, Outcome
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.limits import TaskLimits
from mediafleet.domain.plan import Complete
from mediafleet.ops.settings import SchedulerSettings
from mediafleet.scheduler.outcomes import QUEUE_TIMEOUT, STALLED, TASK_DEADLINE_EXCEEDED
from mediafleet.scheduler.reaper import LIMITS, NODE_RETENTION_MS, Reaper, Recovery
from mediafleet.scheduler.settler import TIMED_OUT
from mediafleet.store import Store
from mediafleet.store.records import FailureRecord
from mediafleet.store.scripts import as_text

SETTINGS = SchedulerSettings(reap_ms=1, backstop_ms=1_000)


def reaper_of(parts: Parts, settings: SchedulerSettings = SETTINGS) -> Reaper:
    recovery = Recovery(parts.placer, parts.planner, parts.links, parts.metrics)
    return Reaper(parts.store, settings, retention=parts.retention, recovery=recovery)


@pytest.fixture
async def reaper(parts: Parts) -> Reaper:
    """A reaper that has ticked before, so that no outage lies behind it."""
    reaper = reaper_of(parts)
    await reaper.tick()
    return reaper


class Passing:
    """Time that passes while the reaper ticks, as it does where there is no outage."""

    def __init__(self, reaper: Reaper, clock: VirtualTime) -> None:
        self._reaper, self._clock = reaper, clock

    async def __call__(self, ms: int) -> None:
        """Let time pass, a tick each second."""
        while ms > 0:
            self._clock.advance(min(ms, 1_000))
            ms -= 1_000
            await self._reaper.tick()


@pytest.fixture
async def passing(reaper: Reaper, virtual_time: VirtualTime) -> Passing:
    """Time with ticks; past the grace that follows the first of them."""
    passing = Passing(reaper, virtual_time)
    await passing(LEASE_MS)
    return passing


async def placed(parts: Parts, **changes: Any) -> str:
    job = await parts.driver.submit_one("only", **changes)
    await parts.placer.sweep()
    await parts.placer.step()
    return job


async def test_a_task_that_its_node_never_confirmed_is_placed_again(parts: Parts, passing: Passing) -> None:
    link = await parts.link(slots=2)
    job = await placed(parts)
    await passing(RESERVE_MS)
    await parts.placer.step()
    (summary,) = (await parts.job(job)).tasks
    assert (summary.attempt, summary.tries, len(assigned(link))) == (2, 0, 2)
    assert parts.counted("attempts_lost", reason="reserve") == 1


async def test_a_silent_node_is_lost_and_its_work_waits_for_another(parts: Parts, passing: Passing) -> None:
    link = await parts.link()
    job = await placed(parts)
    await parts.say(NODE, JobAck(refs(link)))
    await passing(LEASE_MS)
    assert (await parts.job(job)).tasks[0].state is TaskState.NEW
    assert parts.counted("attempts_lost", reason="node") == 1
    assert is_asked(parts.placer)


async def test_an_attempt_that_takes_too_long_is_stopped_and_tried_again(parts: Parts, passing: Passing) -> None:
    link = await parts.link()
    job = await placed(parts, total_ms=2_000)
    await parts.say(NODE, JobAck(refs(link)))
    await passing(2_000)
    assert link.of_type(JobCancel) == [JobCancel(refs(link), "the attempt took too long")]
    (summary,) = (await parts.job(job)).tasks
    assert (summary.tries, summary.error) == (1, TIMED_OUT)
    assert parts.counted("attempts_lost", reason="deadline") == 1


async def test_a_task_that_always_takes_too_long_fails_its_job_with_a_sentence(parts: Parts, passing: Passing) -> None:
    link = await parts.link()
    job = await placed(parts, total_ms=2_000, max_tries=1)
    await parts.say(NODE, JobAck(refs(link)))
    await passing(2_000)
    view = await parts.job(job)
    assert (view.status, view.error) == (JobStatus.FAILED, TIMED_OUT)
    assert "took longer than its kind allows" in TIMED_OUT.message


async def test_an_attempt_that_stands_still_is_cancelled_on_its_node_and_counted(
    parts: Parts, passing: Passing
) -> None:
    link = await parts.link()
    job = await placed(parts, limits=TaskLimits(progress_ms=2_000))
    await parts.say(NODE, JobAck(refs(link)))
    await passing(2_000)
    assert link.of_type(JobCancel) == [JobCancel(refs(link), "the attempt took too long")]
    (summary,) = (await parts.job(job)).tasks
    assert (summary.tries, summary.error) == (1, STALLED)
    assert parts.counted("attempts_lost", reason="stalled") == 1
    assert parts.counted("limits_reached", reason="progress") == 1


@pytest.mark.parametrize(
    ("limits", "error", "reason"),
    [
        (TaskLimits(queue_ms=2_000), QUEUE_TIMEOUT, "queue"),
        (TaskLimits(deadline_ms=1), TASK_DEADLINE_EXCEEDED, "deadline"),
    ],
)
async def test_a_task_that_nobody_began_in_time_fails_its_job_with_a_sentence(
    parts: Parts, passing: Passing, virtual_time: VirtualTime, limits: TaskLimits, error: ErrorInfo, reason: str
) -> None:
    if limits.deadline_ms:
        limits = TaskLimits(deadline_ms=virtual_time() + 1_000)
    job = await placed(parts, limits=limits)
    await passing(3_000)
    view = await parts.job(job)
    assert (view.status, view.error) == (JobStatus.FAILED, error)
    assert parts.counted("limits_reached", reason=reason) == 1


async def test_every_limit_of_a_task_is_counted_by_its_name() -> None:
    assert set(LIMITS.values()) == {"accept", "queue", "progress", "total", "deadline"}


async def test_a_task_whose_back_off_is_over_is_placed_again(parts: Parts, passing: Passing) -> None:
    link = await parts.link()
    await placed(parts)
    (ref,) = refs(link)
    await parts.store.fail([FailureRecord(ref.task, ref.grant, "lost", delay_ms=900)])
    await passing(1_000)
    await parts.placer.step()
    assert len(assigned(link)) == 2


async def test_after_an_outage_nodes_get_time_to_come_back(
    parts: Parts, passing: Passing, reaper: Reaper, virtual_time: VirtualTime
) -> None:
    link = await parts.link()
    job = await placed(parts)
    await parts.say(NODE, JobAck(refs(link)))
    virtual_time.advance(10 * LEASE_MS)
    await reaper.tick()
    assert (await parts.job(job)).tasks[0].state is TaskState.ACKED
    await parts.say(NODE, Heartbeat(refs(link)))
    await passing(LEASE_MS // 2)
    assert (await parts.job(job)).tasks[0].attempt == 1


async def test_more_than_one_call_ends_is_ended_in_one_tick(parts: Parts, passing: Passing) -> None:
    for number in range(205):
        record = Artifact(ArtifactRef(f"a0-late{number}", "x"), ArtifactState.OPEN, "0", "default", "local", 1)
        await parts.store.open_artifact(record.ref.id, doc=as_text(record), state="open", retention_ms=500)
    await passing(1_000)
    assert [name for name in await parts.driver.key_names() if "late" in name] == []


async def test_very_much_that_is_due_is_left_to_the_next_step_which_comes_at_once(
    parts: Parts, passing: Passing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The looks at queues and plans that a step makes as well are not put off until all has ended."""
    monkeypatch.setattr("mediafleet.scheduler.reaper.CALLS_A_TICK", 1)
    monkeypatch.setattr(parts.planner, "ask", lambda: asked.append(len(asked)))
    asked: list[int] = []
    for number in range(205):
        record = Artifact(ArtifactRef(f"a0-late{number}", "x"), ArtifactState.OPEN, "0", "default", "local", 1)
        await parts.store.open_artifact(record.ref.id, doc=as_text(record), state="open", retention_ms=500)
    await passing(1_000)
    assert len([name for name in await parts.driver.key_names() if "late" in name]) == 5
    assert asked, "plans were not looked at"
    slow = reaper_of(parts, SchedulerSettings(reap_ms=3_600_000))
    slow._asked = passing._reaper._asked
    async with asyncio.timeout(DEADLINE_S):
        await slow.step()
    assert [name for name in await parts.driver.key_names() if "late" in name] == []


async def test_a_finished_job_is_forgotten_when_its_time_is_over(parts: Parts, passing: Passing) -> None:
    job = await parts.driver.submit_one("only")
    await parts.planner.cancel(job)
    await passing(1_000)
    assert (await parts.job(job)).status is JobStatus.CANCELLED
    await passing(RETENTION_MS)
    assert await parts.store.read.job(job) is None


async def test_a_job_that_another_instance_left_to_plan_is_planned(store: Store, tmp_path: Path) -> None:
    parts = Parts(store, tmp_path, kinds=[kind_with(lambda _, __: Complete({"ok": 1}))])
    job = await parts.submit()
    assert not is_asked(parts.planner)
    await reaper_of(parts).tick()
    await parts.planner.step()
    assert (await parts.job(job)).status is JobStatus.COMPLETED


async def test_the_first_step_looks_for_forgotten_queues_and_the_next_ones_do_not(parts: Parts) -> None:
    reaper = reaper_of(parts, SchedulerSettings(reap_ms=1, backstop_ms=1_000))
    await parts.link()
    await parts.driver.submit_one("a", "b")
    await reaper.step()
    await parts.placer.step()
    await parts.driver.submit_one("only")
    await reaper.step()
    assert not is_asked(parts.placer), "the queue is known to wait: only free slots help it"


async def test_a_queue_that_began_to_wait_elsewhere_is_noticed_at_the_next_step(parts: Parts) -> None:
    reaper = reaper_of(parts, SchedulerSettings(reap_ms=1, backstop_ms=1_000))
    link = await parts.link()
    await reaper.step()
    await parts.placer.step()
    await parts.driver.submit_one("only")
    await reaper.step()
    await parts.placer.step()
    assert len(assigned(link)) == 1


async def test_queues_are_looked_at_again_once_the_backstop_is_over(parts: Parts) -> None:
    reaper = reaper_of(parts, SchedulerSettings(reap_ms=1, backstop_ms=2))
    await parts.driver.submit_one("only")
    await reaper.step()
    await parts.placer.step()
    assert not is_asked(parts.placer)
    for _ in range(3):
        await reaper.step()
    assert is_asked(parts.placer)


def test_the_store_is_told_how_long_to_wait_after_each_try(parts: Parts) -> None:
    rules = reaper_of(parts, SchedulerSettings(outage_gap_ms=7, node_lease_ms=9))._rules()
    assert (rules.gap_ms, rules.grace_ms, rules.retention_ms) == (7, 9, NODE_RETENTION_MS)
    assert msgspec.json.decode(rules.timeout_error, type=ErrorInfo) == TIMED_OUT
    assert len(rules.delays) > 3


# --- what is counted -----------------------------------------------------------------------


def labelled(parts: Parts, name: str, **labels: str) -> float:
    return parts.metrics.registry.get_sample_value(f"mediafleet_{name}", labels) or 0.0


async def test_a_reservation_that_nobody_confirms_is_an_ack_timeout(parts: Parts, passing: Passing) -> None:
    await parts.link()
    await parts.driver.submit_one("only")
    await parts.placer.sweep()
    await parts.placer.step()
    await passing(RESERVE_MS + 1_000)
    assert parts.counted("ack_timeouts") == 1
    assert labelled(parts, "attempts_lost_total", reason="reserve") == 1


async def test_a_task_that_takes_too_long_is_a_retry_first_and_a_dead_letter_at_last(
    parts: Parts, passing: Passing, virtual_time: VirtualTime
) -> None:
    link = await parts.link()
    record = parts.driver.job_record({"only": ()})
    (task,) = record.tasks
    limited = msgspec.structs.replace(task, total_ms=2_000, max_tries=2)
    await parts.driver.submit(msgspec.structs.replace(record, tasks=[limited]))
    counts: list[tuple[float, float]] = []
    for attempt in range(1, 3):
        while len(assigned(link)) < attempt:
            await passing(1_000)
            await parts.placer.sweep()
            await parts.placer.step()
        ref = refs(link)[-1]
        await parts.say(NODE, JobAck((ref,)), Heartbeat((ref,)))
        with capture_logs() as lines:
            await passing(3_000)
        assert [line["task"] for line in lines if line["event"] == "attempt took too long"] == [ref.task]
        # The node confirms that it has stopped, which gives its slot back.
        await parts.say(NODE, Heartbeat(), JobResults((Outcome(ref.task, ref.grant, cancelled=True),)))
        counts.append((parts.counted("retries"), labelled(parts, "dead_letters_total", reason="timed-out")))
    assert counts == [(1, 0), (1, 1)]
