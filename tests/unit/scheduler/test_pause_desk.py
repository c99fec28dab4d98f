"""Pauses as a scheduler carries them out: nodes are told, what waits goes on, and `why` says what is the matter."""

from __future__ import annotations

import pytest
from cells_of_a_fleet import NODES, Cells
from cells_of_a_fleet import in_cell as submit_in
from cells_of_a_fleet import join as join_cell
from running_instances import Instances, answer, ended, given, join, submit, until

from mediafleet.domain.errors import IllegalTransition, NotFound
from mediafleet.domain.explanation import Simulation, Waiting
from mediafleet.domain.frames import JobAck, JobCancel
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.node import NodeState
from mediafleet.domain.pause import NOT_PAUSED
from mediafleet.scheduler.service import Scheduler


async def test_a_paused_job_begins_only_when_it_is_resumed(fleet: Scheduler) -> None:
    job = await submit(fleet)
    assert (await fleet.pauses.pause_job(job)).status is JobStatus.PAUSED
    link = await join(fleet)
    other = await submit(fleet)
    await answer(fleet, link, await given(link))
    assert (await ended(fleet, other)).status is JobStatus.COMPLETED
    assert (await fleet.job(job)).tasks[0].attempt == 0
    assert (await fleet.pauses.resume_job(job)).status is JobStatus.PENDING
    await answer(fleet, link, await given(link, count=2))
    assert (await ended(fleet, job)).status is JobStatus.COMPLETED


async def test_a_node_is_told_to_stop_what_is_paused_at_once(fleet: Scheduler) -> None:
    link = await join(fleet)
    job = await submit(fleet)
    ref = await given(link)
    await fleet.receive(link, JobAck((ref,)))
    view = await fleet.pauses.pause_job(job, now=True)
    assert (view.status, view.finishing, view.tasks[0].state) == (JobStatus.PAUSED, 0, TaskState.NEW)
    (told,) = link.of_type(JobCancel)
    assert (told.attempts, told.reason) == ((ref,), "the job is paused")


async def test_a_paused_job_tells_what_of_it_finishes_still(fleet: Scheduler) -> None:
    link = await join(fleet)
    job = await submit(fleet)
    ref = await given(link)
    assert (await fleet.pauses.pause_job(job)).finishing == 1
    await answer(fleet, link, ref)
    assert (await ended(fleet, job)).finishing == 0


async def test_what_has_ended_or_never_was_is_not_paused(fleet: Scheduler) -> None:
    job = await submit(fleet)
    await fleet.pauses.pause_job(job)
    assert (await fleet.cancel(job)).status is JobStatus.CANCELLED
    for asked in (fleet.pauses.pause_job, fleet.pauses.resume_job):
        with pytest.raises(IllegalTransition, match="cancelled"):
            await asked(job)
        with pytest.raises(NotFound):
            await asked("j0-none")
    with pytest.raises(NotFound):
        await fleet.pauses.pause_node("n0-none")


async def test_why_says_that_the_job_is_paused(fleet: Scheduler) -> None:
    await join(fleet)
    await fleet.pauses.pause_fleet()
    job = await submit(fleet)
    await fleet.pauses.pause_job(job)
    why = await fleet.why(job)
    (task,) = why.tasks
    assert task.explanation is not None
    assert task.explanation.waits_for is Waiting.PAUSE
    assert "Its job is paused" in why.sentence


async def test_why_and_a_simulation_say_that_the_fleet_is_paused(fleet: Scheduler) -> None:
    await join(fleet)
    await fleet.pauses.pause_fleet()
    job = await submit(fleet)
    assert "The fleet is paused" in (await fleet.why(job)).sentence
    found = await fleet.simulate(Simulation(("kind:noop",)))
    assert (found.waits_for, found.starts_ms) == (Waiting.PAUSE, None)
    assert (await fleet.stats())["paused"]["paused"] is True


async def test_why_names_a_node_that_is_paused(fleet: Scheduler) -> None:
    link = await join(fleet)
    assert (await fleet.pauses.pause_node(link.node)).state is NodeState.PAUSED
    job = await submit(fleet)
    (task,) = (await fleet.why(job)).tasks
    assert task.explanation is not None
    (executor,) = task.explanation.executors
    assert (executor.verdict, "paused" in executor.reason) == ("paused", True)


async def test_a_resumed_node_gets_what_waited_for_it(fleet: Scheduler) -> None:
    link = await join(fleet)
    await fleet.pauses.pause_node(link.node)
    job = await submit(fleet)
    assert (await fleet.pauses.resume_node(link.node)).state is NodeState.READY
    await answer(fleet, link, await given(link))
    assert (await ended(fleet, job)).status is JobStatus.COMPLETED


async def test_work_of_a_node_that_is_stopped_goes_elsewhere(fleet: Scheduler) -> None:
    link = await join(fleet)
    job = await submit(fleet)
    ref = await given(link)
    other = await join(fleet, "n0-b-1")
    await fleet.pauses.pause_node(link.node, now=True)
    assert [told.attempts for told in link.of_type(JobCancel)] == [(ref,)]
    await answer(fleet, other, await given(other))
    assert (await ended(fleet, job)).tasks[0].tries == 0


async def test_a_paused_fleet_stays_so_over_all_restarts(instances: Instances) -> None:
    async with instances.run("i-1") as fleet:
        await fleet.pauses.pause_fleet()
        job = await submit(fleet)
    async with instances.run("i-2") as fleet:
        assert (await fleet.pauses.fleet()).paused
        link = await join(fleet)
        assert (await fleet.job(job)).status is JobStatus.PENDING
        assert await fleet.pauses.resume_fleet() == NOT_PAUSED
        await answer(fleet, link, await given(link))
        assert (await ended(fleet, job)).tasks[0].attempt == 1


async def test_a_fleet_that_is_stopped_at_once_tells_all_its_nodes(fleet: Scheduler) -> None:
    links = [await join(fleet, name) for name in ("n0-a-1", "n0-b-1")]
    for _ in links:
        await submit(fleet)
    for link in links:
        await given(link)
    assert (await fleet.pauses.pause_fleet(now=True)).now

    async def are_told() -> bool:
        return all(link.of_type(JobCancel) for link in links)

    await until(are_told)


async def test_each_cell_has_its_jobs_and_nodes_and_the_fleet_has_them_all(cells: Cells) -> None:
    async with cells.run() as fleet:
        for cell, node in NODES.items():
            link = await join_cell(fleet, cell)
            await fleet.pauses.pause_node(node)
            job = await submit_in(fleet, cell)
            assert (await fleet.pauses.pause_job(job.id)).status is JobStatus.PAUSED
            assert (await fleet.pauses.resume_node(node)).state is NodeState.READY
            await fleet.pauses.resume_job(job.id)
            await given(link)
        assert await fleet.pauses.fleet() == NOT_PAUSED
        await fleet.pauses.pause_fleet()
        assert [(await store.fleet_pause()).paused for store in cells.stores] == [True, True]
        assert (await fleet.pauses.fleet()).paused
        await fleet.pauses.resume_fleet()
        assert await fleet.pauses.fleet() == NOT_PAUSED
