"""A job whose tasks are final goes on, or ends; a plan at fault costs its own job and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from scheduler_parts import NODE, Parts, Plan, assigned, is_asked, kind_with, refs
from tests_support.redis_server import RedisServer
from tests_support.store_driver import announce
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.errors import ErrorInfo, InputError
from mediafleet.domain.frames import JobAck, JobCancel
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import JobStatus, PriorityClass, TaskState
from mediafleet.domain.plan import Complete, Expand, Fail, FinishedTask, NewTask, Step, TaskResult, Wait
from mediafleet.domain.room import FreeSlots, Room
from mediafleet.domain.rules import InstanceDocument
from mediafleet.kinds.noop import KIND
from mediafleet.kinds.seam import Kind
from mediafleet.scheduler import planner
from mediafleet.scheduler.explainer import Explainer
from mediafleet.scheduler.planner import BATCH
from mediafleet.scheduler.tasks import PIECE, job_record
from mediafleet.store import Store
from mediafleet.store.records import ResultRecord
from mediafleet.store.scripts import as_text


def steps(*names: str, outcome_of: str = "") -> Expand:
    return Expand(tuple(NewTask(name, "noop") for name in names), outcome_of)


def parts_with(store: Store, folder: Path, plan: Plan) -> Parts:
    return Parts(store, folder, kinds=[kind_with(plan)])


def two_stages(_: Job, finished: Sequence[FinishedTask]) -> Step:
    results = {task.name: task.result for task in finished}
    if "second" in results:
        return Complete(results)
    return steps("second") if "first" in results else steps("first")


def fails(error: Exception) -> Plan:
    def plan(_: Job, __: Sequence[FinishedTask]) -> Step:
        raise error

    return plan


async def plan_all(parts: Parts) -> None:
    parts.planner.ask()
    await parts.planner.step()


async def run_all(parts: Parts) -> None:
    for placed in await parts.driver.place_all():
        await parts.driver.ack(placed)
        await parts.driver.finish(placed, msgspec.json.encode(TaskResult({"of": placed.task[-6:]})).decode())


async def test_a_job_goes_from_stage_to_stage_until_its_plan_completes_it(store: Store, tmp_path: Path) -> None:
    parts = parts_with(store, tmp_path, two_stages)
    await parts.link(slots=4)
    job = await parts.submit()
    for _ in range(3):
        await plan_all(parts)
        await run_all(parts)
    view = await parts.job(job)
    assert (view.status, view.progress) == (JobStatus.COMPLETED, 1.0)
    assert view.result == {"first": {"of": ".first"}, "second": {"of": "second"}}


async def test_new_tasks_are_placed_at_once(store: Store, tmp_path: Path) -> None:
    parts = parts_with(store, tmp_path, two_stages)
    link = await parts.link()
    await parts.submit()
    await plan_all(parts)
    await parts.placer.step()
    assert [given.task for given in assigned(link)] == ["j0-made0.first"]


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_task_goes_to_a_node_with_what_it_prefers_if_there_is_one(
    store: Store, tmp_path: Path, *, is_there: bool
) -> None:
    parts = parts_with(store, tmp_path, lambda _, __: Expand((NewTask("a", "noop", prefers=("label:b",)),)))
    # Left to the policy it would be this one's: it has more room.
    roomy = await parts.link("n0-a-1", slots=8)
    able = await parts.link("n0-b-2", slots=1, capabilities=("kind:noop", "label:b" if is_there else "label:c"))
    await parts.submit()
    await plan_all(parts)
    await parts.placer.step()
    assert [given.task for given in assigned(able if is_there else roomy)] == ["j0-made0.a"]


async def test_a_plan_that_fails_the_job_gives_the_reason(store: Store, tmp_path: Path) -> None:
    error = ErrorInfo("no-sound", "The video has no sound.")
    parts = parts_with(store, tmp_path, lambda _, __: Fail(error))
    job = await parts.submit()
    await plan_all(parts)
    view = await parts.job(job)
    assert (view.status, view.error) == (JobStatus.FAILED, error)


async def test_a_plan_that_waits_for_nothing_is_stuck_and_says_so(store: Store, tmp_path: Path) -> None:
    parts = parts_with(store, tmp_path, lambda _, __: Wait())
    job = await parts.submit()
    await plan_all(parts)
    error = (await parts.job(job)).error
    assert error == ErrorInfo("stuck", "The plan of 'noop' waits, but no task of the job is left to run.")


async def test_a_plan_may_wait_while_a_task_of_the_job_is_left(store: Store, tmp_path: Path) -> None:
    parts = parts_with(store, tmp_path, lambda _, finished: Wait() if finished else steps("one", "two"))
    await parts.link()
    job = await parts.submit()
    await plan_all(parts)
    await run_all(parts)
    await plan_all(parts)
    assert (await parts.job(job)).status is JobStatus.PROCESSING


async def test_a_plan_that_raises_ends_its_job_and_the_next_job_goes_on(store: Store, tmp_path: Path) -> None:
    kinds = [kind_with(fails(KeyError("width")), name="bad"), kind_with(lambda _, __: Complete({"ok": 1}))]
    parts = Parts(store, tmp_path, kinds=kinds)
    bad, good = await parts.submit(kind="bad"), await parts.submit(number=1)
    await plan_all(parts)
    error = (await parts.job(bad)).error
    assert error
    assert error.message == "The plan of the job kind 'bad' failed: KeyError('width')."
    assert (await parts.job(good)).status is JobStatus.COMPLETED


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (None, "it returned None, which is no step"),
        (Complete({"at": object()}), "Encoding objects of type object is unsupported"),
        (Expand((NewTask("two", "noop", payload={"at": object()}),)), "Encoding objects of type object is unsupported"),
    ],
)
async def test_a_plan_that_nobody_can_carry_out_ends_its_job_and_the_next_job_goes_on(
    store: Store, tmp_path: Path, step: Any, said: str
) -> None:
    def plan(job: Job, finished: Sequence[FinishedTask]) -> Step:
        if not finished:
            return steps("first")
        return step if job.id == "j0-made0" else Complete({})

    parts = parts_with(store, tmp_path, plan)
    await parts.link(slots=4)
    bad, good = await parts.submit(number=0), await parts.submit(number=1)
    await plan_all(parts)
    await run_all(parts)
    await plan_all(parts)
    view = await parts.job(bad)
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert said in view.error.message
    assert (await parts.job(good)).status is JobStatus.COMPLETED
    assert await store.read.dirty_jobs(9) == []


async def test_a_sentence_that_a_plan_raises_reaches_the_user(store: Store, tmp_path: Path) -> None:
    parts = parts_with(store, tmp_path, fails(InputError("The playlist is empty.")))
    job = await parts.submit()
    await plan_all(parts)
    error = (await parts.job(job)).error
    assert error
    assert (error.message, error.retryable) == ("The playlist is empty.", False)


async def test_a_plan_that_names_a_step_without_a_handler_ends_its_job(store: Store, tmp_path: Path) -> None:
    parts = parts_with(store, tmp_path, lambda _, __: Expand((NewTask("one", "nap"),)))
    job = await parts.submit()
    await plan_all(parts)
    view = await parts.job(job)
    assert (view.status, view.tasks) == (JobStatus.FAILED, ())


async def test_a_plan_that_is_larger_than_one_call_is_applied_whole(store: Store, tmp_path: Path) -> None:
    names = [f"t{number}" for number in range(PIECE + 2)]
    parts = parts_with(store, tmp_path, lambda _, __: steps(*names))
    job = await parts.submit()
    await plan_all(parts)
    state = await store.read.plan_state(job)
    assert state
    assert state.open == len(names)
    assert await store.read.dirty_jobs(10) == []


async def test_all_jobs_are_worked_off_at_one_call(store: Store, tmp_path: Path) -> None:
    parts = parts_with(store, tmp_path, lambda _, __: Complete({}))
    for number in range(70):
        await parts.submit(number=number)
    await plan_all(parts)
    assert (await store.read.count_jobs())[JobStatus.COMPLETED] == 70
    assert not is_asked(parts.planner)


async def test_what_was_computed_from_an_older_state_of_the_job_is_not_applied(
    store: Store, tmp_path: Path, redis_server: RedisServer
) -> None:
    calls: list[str] = []
    client = redis.Redis(unix_socket_path=redis_server.url.removeprefix("unix://"))

    def plan(job: Job, _: Sequence[FinishedTask]) -> Step:
        calls.append(job.id)
        if len(calls) > 1:
            return Complete({"call": len(calls)})
        # Another instance moves the job on while this one thinks.
        client.hincrby(store.keys.job(job.id), "version", 1)
        return Complete({"call": "too late"})

    parts = parts_with(store, tmp_path, plan)
    job = await parts.submit()
    await plan_all(parts)
    client.close()
    assert (await parts.job(job)).result == {"call": 2}


async def test_a_plan_that_ends_the_job_early_stops_the_tasks_that_still_run(store: Store, tmp_path: Path) -> None:
    parts = parts_with(store, tmp_path, lambda _, finished: Complete({}) if finished else steps("one", "two"))
    link = await parts.link(slots=2)
    job = await parts.submit()
    await plan_all(parts)
    await parts.placer.step()
    await parts.say(NODE, JobAck(refs(link)))
    first, second = refs(link)
    await parts.store.finish([ResultRecord(first.task, first.grant, "{}", [])])
    await plan_all(parts)
    assert link.of_type(JobCancel) == [JobCancel((second,), "the job has ended")]
    assert [task.state for task in (await parts.job(job)).tasks] == [TaskState.DONE, TaskState.CANCELLED]


async def test_cancelling_a_job_stops_what_runs_and_drops_what_waits(parts: Parts) -> None:
    link = await parts.link(slots=1)
    job = await parts.driver.submit_one("one", "two")
    await parts.placer.sweep()
    await parts.placer.step()
    await parts.planner.cancel(job)
    view = await parts.job(job)
    assert view.status is JobStatus.CANCELLED
    assert {task.state for task in view.tasks} == {TaskState.CANCELLED}
    assert link.of_type(JobCancel) == [JobCancel(refs(link), "the job has ended")]


async def test_a_job_of_more_tasks_than_one_call_takes_is_cancelled_whole(store: Store, tmp_path: Path) -> None:
    parts = parts_with(store, tmp_path, lambda _, __: steps(*(f"t{number}" for number in range(2 * PIECE + 1))))
    job = await parts.submit()
    await plan_all(parts)
    await parts.planner.cancel(job)
    state = await store.read.plan_state(job)
    assert state
    assert (state.open, len(state.finished)) == (0, 2 * PIECE + 1)


async def test_what_an_interrupted_cancellation_left_open_is_swept(store: Store, tmp_path: Path) -> None:
    parts = parts_with(store, tmp_path, lambda _, __: steps(*(f"t{number}" for number in range(PIECE + 1))))
    job = await parts.submit()
    await plan_all(parts)
    await store.cancel(job, cursor=0, sweep=False)
    await plan_all(parts)
    state = await store.read.plan_state(job)
    assert state
    assert (state.status, state.open) == (JobStatus.CANCELLED, 0)
    assert await store.read.dirty_jobs(10) == []


async def test_a_job_that_is_gone_is_taken_off_the_list(parts: Parts) -> None:
    job = await parts.submit()
    await parts.driver.redis.delete(parts.store.keys.job(job))
    await plan_all(parts)
    assert await parts.store.read.dirty_jobs(10) == []


# --- plans that weigh what is free ------------------------------------------------------------


async def test_a_plan_that_weighs_sees_what_is_free_and_what_it_named_before(store: Store, tmp_path: Path) -> None:
    rooms: list[Room] = []

    def weigh(_: Job, finished: Sequence[FinishedTask], room: Room) -> Step:
        rooms.append(room)
        return Complete({}) if len(finished) > 1 else steps(*(f"part-{n}" for n in range(len(room.free))))

    kind = kind_with(lambda _, __: steps("look"), weigh=weigh)
    parts = Parts(store, tmp_path, kinds=[kind])
    await parts.link(slots=3)
    job = await parts.submit()
    await plan_all(parts)
    assert rooms == [], "nothing is done yet"
    await run_all(parts)
    await plan_all(parts)
    await run_all(parts)
    await plan_all(parts)
    assert (await parts.job(job)).status is JobStatus.COMPLETED
    first, second = rooms
    assert (first.free, first.tasks) == ((FreeSlots(NODE, (kind.capability,), 3),), {"look"})
    assert second.tasks == {"look", "part-0"}
    assert first.unplaced == second.unplaced == frozenset()


async def test_a_step_that_was_weighed_and_adds_tasks_moves_its_job_on(store: Store, tmp_path: Path) -> None:
    """Or another instance that sees other room could add its own tasks beside."""
    names = [f"t{number}" for number in range(PIECE + 2)]

    def weigh(_: Job, __: Sequence[FinishedTask], room: Room) -> Step:
        return steps(*(set(names) - room.tasks))

    parts = Parts(store, tmp_path, kinds=[kind_with(lambda _, __: steps("look"), weigh=weigh)])
    await parts.link(slots=1)
    job = await parts.submit()
    seen: list[tuple[int, int]] = []
    for _ in range(3):
        await plan_all(parts)
        state = await store.read.plan_state(job)
        assert state
        seen.append((state.version, len(state.names)))
        await run_all(parts)
    every = len(names) + 1
    assert seen == [(1, 1), (3, every), (4, every)], (
        "2 with the first task's end, 3 with the step; the last adds nothing"
    )
    assert await store.read.dirty_jobs(10) == [job], "the second task's end"


# --- kinds that not every instance has ------------------------------------------------------


def instance(store: Store, folder: Path, *kinds: Kind) -> Parts:
    return Parts(store, folder, kinds=[KIND, *kinds])


GOOD = kind_with(two_stages, name="good")
LATE = Job("j0-late", "0", "default", "local", "good", 1, "", (), {}, PriorityClass.BATCH, 1_000)


async def test_an_instance_without_a_kind_leaves_its_jobs_to_those_that_have_it(store: Store, tmp_path: Path) -> None:
    without, has = instance(store, tmp_path), instance(store, tmp_path, GOOD)
    job = await without.submit(kind="good")
    await plan_all(without)
    assert await store.read.dirty_jobs(9) == []
    assert (await without.job(job)).status is JobStatus.PENDING
    assert without.counted("plans_left", kind="good") == 1
    await without.planner.take_up()
    assert without.counted("plans_left", kind="good") == 1, "it does not look at it again"
    await has.planner.take_up()
    assert [task.id for task in (await has.job(job)).tasks] == [f"{job}.first"]
    assert await store.read.jobs_aside(9) == []


async def test_a_job_is_planned_by_its_own_version_or_one_that_continues_it(store: Store, tmp_path: Path) -> None:
    newer = instance(store, tmp_path, replace(GOOD, version=2))
    continues = instance(store, tmp_path, replace(GOOD, version=3, continues=(1, 2)))
    job = await newer.submit(kind="good")
    await plan_all(newer)
    await newer.planner.take_up()
    assert not (await newer.job(job)).tasks
    await continues.planner.take_up()
    assert [task.id for task in (await continues.job(job)).tasks] == [f"{job}.first"]
    (queue,) = (await store.read.queues()).values()
    assert queue.requirement.capabilities == ("kind:good",), "its tasks are still of the first version"


async def test_many_jobs_that_nobody_here_can_plan_hold_up_no_other(store: Store, tmp_path: Path) -> None:
    without = Parts(store, tmp_path, kinds=[kind_with(two_stages)])
    for number in range(BATCH + 1):
        await without.submit(kind="good", number=number)
    known = await without.submit(plan=None, number=BATCH + 1)
    await plan_all(without)
    assert (await without.job(known)).tasks
    assert len(await store.read.jobs_aside(1_000)) == BATCH + 1


async def test_jobs_behind_many_that_nobody_can_plan_are_taken_up_as_well(
    store: Store, tmp_path: Path, virtual_time: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "MOST_ASIDE", 5)
    without = Parts(store, tmp_path, kinds=[kind_with(two_stages)])
    has = instance(store, tmp_path, GOOD)
    for number in range(10):
        await without.submit(kind="gone", number=number)
    await plan_all(without)
    virtual_time.advance(1)
    mine = await without.submit(kind="good", number=10)
    await plan_all(without)
    for _ in range(3):
        await has.planner.take_up()
    assert [task.id for task in (await has.job(mine)).tasks] == [f"{mine}.first"]
    assert len(has.planner._beyond) == 10


async def test_a_job_without_an_instance_for_it_waits_says_why_and_ends_at_its_deadline(
    store: Store, tmp_path: Path, virtual_time: VirtualTime
) -> None:
    without = instance(store, tmp_path)
    record, _ = job_record(
        msgspec.structs.replace(LATE, deadline_ms=virtual_time.ms + 60_000),
        Wait(),
        KIND,
        key="",
        waits=[],
        retention_ms=60_000,
    )
    await store.submit([record], {})
    await plan_all(without)
    await announce(store, "i-1")
    why = await Explainer(store).why(await without.job(record.id))
    assert "of 1 living instance none has the job kind 'good' in version 1" in why.sentence
    doc = as_text(InstanceDocument("0", "host", 1, kinds={"good": (1,)}))
    await store.announce("i-2", doc=doc, ttl_ms=60_000)
    why = await Explainer(store).why(await without.job(record.id))
    assert why.sentence == "The job's plan waits for an instance that has the job kind 'good' in version 1: i-2."
    virtual_time.advance(60_000)
    await without.driver.reap()
    error = (await without.job(record.id)).error
    assert error is not None
    assert error.code == "deadline-exceeded"
    assert await store.read.jobs_aside(9) == []
