"""What a plan weighs, and what its steps may take back: read from and applied to a real store."""

from __future__ import annotations

import msgspec
import pytest
from tests_support.store_driver import DEFAULT_QUEUE, RETENTION_MS, StoreDriver, spec

from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.domain.room import FreeSlots, Room
from mediafleet.store import Store, records
from mediafleet.store.scripts import as_text

CAPABILITY = "kind:noop"
BOTH = (CAPABILITY, "label:b")


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    return StoreDriver(store)


async def room(
    driver: StoreDriver, priority: PriorityClass = PriorityClass.BATCH, capability: str = CAPABILITY
) -> Room:
    return await driver.store.read.room(capability, priority)


def tasks_of(driver: StoreDriver, job: str, *names: str, weight: float = 1.0) -> list[records.TaskRecord]:
    made = driver.job_record(dict.fromkeys(names, ())).tasks
    return [msgspec.structs.replace(task, id=f"{job}.{task.name}", job=job, weight=weight) for task in made]


def piece(
    job: str, version: int, tasks: list[records.TaskRecord], *drop: str, weighed: bool = True
) -> records.ExpandPiece:
    return records.ExpandPiece(
        job,
        version,
        "",
        tasks,
        last=True,
        queues={DEFAULT_QUEUE.id: as_text(DEFAULT_QUEUE)},
        drop=[f"{job}.{name}" for name in drop],
        weighed=weighed,
    )


async def open_job(driver: StoreDriver, *names: str) -> str:
    return (await driver.submit(driver.job_record(dict.fromkeys(names, ()), outcome_of=""))).jobs[0].id


# --- room ------------------------------------------------------------------------------------


async def test_room_is_what_executors_that_can_do_it_have_left(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=4)
    await driver.join("n0-b-2", slots=2, capabilities=BOTH)
    await driver.join("n0-c-3", slots=8, capabilities=("kind:other",))
    await driver.submit_one("one")
    (placed,) = await driver.place_all()
    found = await room(driver)
    assert found.slots_by_node([CAPABILITY]) == {
        "n0-a-1": 4 - (placed.executor == "n0-a-1/cpu"),
        "n0-b-2": 2 - (placed.executor == "n0-b-2/cpu"),
    }
    assert set(found.slots_by_node(BOTH)) == {"n0-b-2"}
    assert (await room(driver, capability="kind:other")).free == (FreeSlots("n0-c-3", ("kind:other",), 8),)


async def test_who_is_full_has_no_room_and_what_is_kept_for_live_work_is_none(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=1)
    await driver.join("n0-b-2", slots=3, live_reserve=2)
    await driver.submit_one("one")
    await driver.submit_one("two")
    assert len(await driver.place_all()) == 2
    assert (await room(driver)).free == ()


async def test_what_waits_and_is_as_urgent_counts_as_waiting(driver: StoreDriver) -> None:
    await driver.join("n0-a-1", slots=1)
    await driver.submit_many(5)
    await driver.submit_many(3, spec(priority=PriorityClass.LIVE))
    await driver.submit_many(2, spec("kind:elsewhere"))
    assert (await room(driver)).waiting == 8
    assert (await room(driver, PriorityClass.INTERACTIVE)).waiting == 3


# --- steps that were weighed -----------------------------------------------------------------


async def test_of_two_steps_that_were_weighed_apart_one_is_applied(driver: StoreDriver) -> None:
    job = await open_job(driver)
    assert (await driver.store.expand(piece(job, 1, tasks_of(driver, job, "a-of-2", "b-of-2")))).applied
    assert not (await driver.store.expand(piece(job, 1, tasks_of(driver, job, "a-of-3")))).applied
    state = await driver.store.read.plan_state(job)
    assert state
    assert (state.version, state.names) == (2, {"a-of-2", "b-of-2"})


async def test_tasks_that_nobody_has_are_taken_back_with_all_their_traces(driver: StoreDriver) -> None:
    job = await open_job(driver, "first", "second", "third")
    keys = await driver.key_names()
    assert (await driver.store.expand(piece(job, 1, [], "first", "second"))).applied
    state = await driver.store.read.plan_state(job)
    assert state
    assert (state.names, state.open, state.status) == ({"third"}, 1, JobStatus.PENDING)
    gone = {name for name in keys - await driver.key_names() if ":task:" in name}
    assert {name.rpartition(".")[2] for name in gone} == {"first", "second"}
    await driver.join("n0-a-1", slots=4)
    assert [placed.task for placed in await driver.place_all()] == [f"{job}.third"]


async def test_what_is_taken_back_weighs_nothing_any_more(driver: StoreDriver) -> None:
    job = await open_job(driver, "first", "second", "third")
    await driver.join("n0-a-1", slots=1)
    (placed,) = await driver.place_all()
    others = [name for name in ("first", "second", "third") if not placed.task.endswith(name)]
    assert (await driver.store.expand(piece(job, 1, tasks_of(driver, job, "whole", weight=3.0), *others))).applied
    await driver.ack(placed)
    await driver.finish(placed)
    view = await driver.store.read.job(job)
    assert view
    assert view.progress == pytest.approx(1 / 4)


async def test_a_step_that_takes_back_what_has_begun_changes_nothing(driver: StoreDriver) -> None:
    job = await open_job(driver, "first", "second")
    await driver.join("n0-a-1", slots=1)
    (placed,) = await driver.place_all()
    assert not (await driver.store.expand(piece(job, 1, tasks_of(driver, job, "whole"), "first", "second"))).applied
    state = await driver.store.read.plan_state(job)
    assert state
    assert (state.names, state.open) == ({"first", "second"}, 2)
    assert await driver.finish(placed) == ["accepted"]


async def test_progress_stays_while_the_plan_thinks(driver: StoreDriver) -> None:
    """One task is done, and it was all there was: whether more comes, only the plan knows."""
    job = await open_job(driver, "look")
    await driver.join("n0-a-1", slots=1)
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await driver.finish(placed)
    view = await driver.store.read.job(job)
    assert view
    assert view.progress == 0
    assert (await driver.store.expand(piece(job, 2, tasks_of(driver, job, "work", weight=3.0)))).applied
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await driver.store.report([records.ProgressRecord(placed.task, placed.grant, 0.5, "", "{}")])
    view = await driver.store.read.job(job)
    assert view
    assert view.progress == pytest.approx((1 + 1.5) / 4)


async def test_progress_is_a_share_of_what_is_still_to_come_as_well(driver: StoreDriver) -> None:
    job = await open_job(driver, "look")
    await driver.join("n0-a-1", slots=1)
    shares: list[float] = []

    async def run() -> None:
        """Run the job's next task, and note how far the job is when it is half done and when it is done."""
        (placed,) = await driver.place_all()
        await driver.ack(placed)
        for share in (0.5, None):
            if share is None:
                await driver.finish(placed)
            else:
                await driver.store.report([records.ProgressRecord(placed.task, placed.grant, share, "", "{}")])
            view = await driver.store.read.job(job)
            assert view
            shares.append(view.progress)

    async def expand(version: int, name: str, *, weight: float, whole: float) -> None:
        step = piece(job, version, tasks_of(driver, job, name, weight=weight), weighed=False)
        assert (await driver.store.expand(msgspec.structs.replace(step, whole=whole))).applied

    (look,) = await driver.place_all()
    await driver.ack(look)
    await driver.finish(look)
    await expand(2, "work", weight=1.0, whole=5.0)
    await run()
    # By now the plan knows that it is less than it thought.
    await expand(3, "rest", weight=2.0, whole=4.0)
    await run()
    assert shares == pytest.approx([0.3, 0.4, 0.75, 0.75])


# --- what is made for other tasks ------------------------------------------------------------


async def made(driver: StoreDriver, *artifacts: str) -> str:
    """Return a job whose one task has made these."""
    job = await open_job(driver, "make")
    for artifact in artifacts:
        await driver.store.open_artifact(artifact, doc="{}", state="complete", retention_ms=RETENTION_MS)
    await driver.join("n0-a-1")
    (placed,) = await driver.place_all()
    await driver.ack(placed)
    await driver.store.finish([records.ResultRecord(placed.task, placed.grant, "{}", list(artifacts))])
    return job


@pytest.mark.parametrize(
    ("status", "kept"), [(JobStatus.COMPLETED, {"a0-film"}), (JobStatus.FAILED, {"a0-film", "a0-chunk"})]
)
async def test_what_a_job_that_is_done_does_not_give_is_removed(
    driver: StoreDriver, status: JobStatus, kept: set[str]
) -> None:
    job = await made(driver, "a0-film", "a0-chunk")
    field = "result" if status is JobStatus.COMPLETED else "error"
    outcome = records.OutcomeRecord(status, field, "{}", "{}", ["a0-film"] if field == "result" else [])
    end = msgspec.structs.replace(piece(job, 2, [], weighed=False), outcome=outcome)
    assert (await driver.store.expand(end)).applied
    due = set((await driver.reap()).artifacts)
    assert due == {"a0-film", "a0-chunk"} - kept
    members = await driver.redis.smembers(driver.store.keys.tag + f"job:{job}:outputs")
    assert {name.decode() for name in members} == kept


async def test_what_another_job_reads_stays(driver: StoreDriver) -> None:
    job = await made(driver, "a0-film", "a0-chunk")
    await driver.submit(driver.job_record({"read": ()}, inputs=["a0-chunk"]))
    outcome = records.OutcomeRecord(JobStatus.COMPLETED, "result", "{}", "{}", ["a0-film"])
    assert (
        await driver.store.expand(msgspec.structs.replace(piece(job, 2, [], weighed=False), outcome=outcome))
    ).applied
    assert (await driver.reap()).artifacts == []
