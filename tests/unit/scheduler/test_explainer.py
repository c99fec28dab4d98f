"""What an instance says of waiting work, from its store and from what its nodes told it."""

from __future__ import annotations

from running_instances import Instances, answer, ended, given, join, submit, until

from mediafleet.domain.explanation import Explanation, Simulation, StartEstimate, Waiting
from mediafleet.domain.frames import Heartbeat, JobAck, JobProgress, Progress
from mediafleet.domain.insight import KindTally
from mediafleet.domain.job import Submission
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.scheduler.service import Scheduler

MINUTE = 60_000


async def why(fleet: Scheduler, job: str) -> Explanation:
    (task,) = (await fleet.why(job)).tasks
    assert task.explanation
    return task.explanation


async def begun(fleet: Scheduler, job: str) -> int:
    """Return when a job began, once it has."""

    async def is_processing() -> bool:
        return (await fleet.job(job)).status is JobStatus.PROCESSING

    await until(is_processing)
    return (await fleet.job(job)).started_ms or 0


async def test_the_second_of_two_tasks_on_one_slot_starts_when_the_first_should_end(fleet: Scheduler) -> None:
    link = await join(fleet)
    # In one call: it begins its jobs in order, where those of three calls may be of the same millisecond.
    jobs = await fleet.submit([Submission("noop")] * 3, principal="local")
    first, second, third = [one.job.id for one in jobs]
    ref = await given(link)
    await fleet.receive(link, JobAck((ref,)))
    start = await begun(fleet, first)
    unknown = await why(fleet, second)
    assert unknown.waits_for is Waiting.ROOM
    assert unknown.estimate == StartEstimate(None, 0, "no task of the kind noop has ended lately")
    assert unknown.starts_ms is None
    # Two runs of a minute each: how long such tasks take is known from now on.
    await fleet.receive(link, Heartbeat(ran={"noop": KindTally(2, 0, 2 * MINUTE)}))
    assert (await why(fleet, second)).starts_ms == start + MINUTE
    assert (await why(fleet, third)).estimate == StartEstimate(start + 2 * MINUTE, 1)
    assert (await fleet.simulate(Simulation(("kind:noop",)))).starts_ms == start + 3 * MINUTE
    await fleet.receive(link, JobProgress((Progress(ref.task, ref.grant, 0.5, "noop", eta_ms=3 * MINUTE),)))

    async def is_told() -> bool:
        return ((await why(fleet, second)).starts_ms or 0) > start + 2 * MINUTE

    await until(is_told)
    await answer(fleet, link, ref)
    next_ref = await given(link, 2)
    assert next_ref.task.startswith(second)
    await fleet.receive(link, JobAck((next_ref,)))
    started = await begun(fleet, second)
    # It was placed: the third goes by it now.
    assert (await why(fleet, third)).starts_ms == started + MINUTE


async def test_an_instance_without_nodes_knows_from_the_store_how_long_jobs_took(instances: Instances) -> None:
    async with instances.run("i-1") as one, instances.run("i-2") as other:
        link = await join(one)
        done, running, waiting = [await submit(one) for _ in range(3)]
        await answer(one, link, await given(link))
        view = await ended(one, done)
        ref = await given(link, 2)
        await one.receive(link, JobAck((ref,)))
        await begun(one, running)
        assert view.finished_ms is not None
        assert view.started_ms is not None
        found = await why(other, waiting)
        assert found.estimate is not None
        assert found.estimate.reason == ""
        assert found.starts_ms is not None
