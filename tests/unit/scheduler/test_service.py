"""One instance as doors see it: jobs, nodes and links, from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from recording_link import RecordingLink
from running_instances import CPU, NODE, Instances, answer, ended, given, join, register, submit, until
from scheduler_parts import DEADLINE_S

from mediafleet import __version__
from mediafleet.artifacts.blobs import BlobStore
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.errors import IllegalTransition, InvalidRequest, NotFound, StoreUnavailable
from mediafleet.domain.explanation import Simulation, Waiting
from mediafleet.domain.frames import (
    PROTOCOL_VERSION,
    Drain,
    Heartbeat,
    JobAck,
    JobCancel,
    JobResultAck,
    JobResults,
    Misc,
    Outcome,
)
from mediafleet.domain.job import Job, Submission
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.node import MAX_SLOTS, Executor, NodeState
from mediafleet.domain.plan import Complete, Expand, FinishedTask, NewTask, Step, TaskResult
from mediafleet.kinds import KindRegistry
from mediafleet.kinds.noop import KIND
from mediafleet.kinds.seam import Kind
from mediafleet.ops.metrics import Metrics
from mediafleet.scheduler.admission import check_register
from mediafleet.scheduler.facade import OpenUpload, UploadAnnouncement
from mediafleet.scheduler.loops import end_loops
from mediafleet.scheduler.service import Resources, Scheduler
from mediafleet.store import Store
from mediafleet.store.connection import connect
from mediafleet.store.keys import Keys
from mediafleet.store.schema import SCHEMA


def test_a_node_that_says_what_it_is_may_register() -> None:
    check_register(register(executors=(CPU, Executor("gpu0", 2, ()))), "0")


def test_a_node_of_another_protocol_is_told_both_numbers() -> None:
    with pytest.raises(
        InvalidRequest, match=f"Protocol 9 is not supported here; this scheduler speaks {PROTOCOL_VERSION}"
    ):
        check_register(register(protocol=9), "0")


@pytest.mark.parametrize("node", ["", "a", "j0-a-1", "n1-a-1", "n0-a/cpu", "n0-" + "x" * 100])
def test_a_node_needs_an_id_of_this_cell(node: str) -> None:
    with pytest.raises(InvalidRequest, match="is no node id of the cell '0'"):
        check_register(register(node), "0")


@pytest.mark.parametrize("executors", [(), (CPU, CPU)])
def test_a_node_needs_executors_that_can_be_told_apart(executors: tuple[Executor, ...]) -> None:
    with pytest.raises(InvalidRequest, match="one executor or more, each with a name of its own"):
        check_register(register(executors=executors), "0")


@pytest.mark.parametrize("wrong", [{"slots": 0}, {"slots": MAX_SLOTS + 1}, {"name": "a/b"}, {"capabilities": ("x",)}])
def test_an_executor_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        check_register(register(executors=(msgspec.structs.replace(CPU, **wrong),)), "0")


async def test_a_job_goes_through_the_fleet(fleet: Scheduler) -> None:
    link = await join(fleet)
    job = await submit(fleet)
    ref = await given(link)
    await answer(fleet, link, ref)
    view = await ended(fleet, job)
    assert (view.status, view.result) == (JobStatus.COMPLETED, {"echo": "hi"})

    async def is_confirmed() -> bool:
        return link.of_type(JobResultAck) == [JobResultAck((ref,))]

    await until(is_confirmed)


async def test_a_job_waits_for_its_first_node(fleet: Scheduler) -> None:
    await submit(fleet)

    async def is_known_to_wait() -> bool:
        return bool(fleet._placer._waiting)

    await until(is_known_to_wait)
    await given(await join(fleet))


async def test_watchers_see_a_job_from_its_beginning_to_its_end(fleet: Scheduler) -> None:
    link = await join(fleet)
    job = await submit(fleet)
    await answer(fleet, link, await given(link))
    async with asyncio.timeout(DEADLINE_S):
        seen = [event.type async for event in fleet.events(after="0-0", job=job)]
    assert seen == ["job.accepted", "job.started", "job.completed"]


@pytest.mark.parametrize("name", ["j0-none", "n0-a-1", "", "../x", "x" * 5_000])
async def test_a_job_that_is_not_there_is_not_found(fleet: Scheduler, name: str) -> None:
    for asked in (fleet.job(name), fleet.cancel(name), fleet.retry(name)):
        with pytest.raises(NotFound, match="it may have passed its retention") as refused:
            await asked
        assert len(refused.value.message) < 200


@pytest.mark.parametrize("name", ["n0-none", "j0-x", ""])
async def test_a_node_that_is_not_there_is_not_found(fleet: Scheduler, name: str) -> None:
    for asked in (fleet.node(name), fleet.drain(name, draining=True)):
        with pytest.raises(NotFound, match="see `mediafleet nodes`"):
            await asked


async def test_jobs_come_in_pages(fleet: Scheduler) -> None:
    jobs = [await submit(fleet) for _ in range(3)]
    page = await fleet.jobs(status=JobStatus.PENDING, kind="noop", offset=1, limit=1)
    assert (page.total, page.offset, page.limit, len(page.jobs)) == (3, 1, 1, 1)
    assert page.jobs[0].id in jobs


async def test_a_job_is_cancelled_once(fleet: Scheduler) -> None:
    link = await join(fleet)
    job = await submit(fleet)
    ref = await given(link)
    assert (await fleet.cancel(job)).status is JobStatus.CANCELLED
    assert link.of_type(JobCancel) == [JobCancel((ref,), "the job has ended")]
    with pytest.raises(IllegalTransition, match=f"The job {job} is cancelled; 'cancel' is not possible"):
        await fleet.cancel(job)


async def test_a_cancelled_job_gets_another_go(fleet: Scheduler) -> None:
    job = await submit(fleet)
    await fleet.cancel(job)
    view = await fleet.retry(job)
    assert (view.status, view.tasks[0].state) == (JobStatus.PENDING, TaskState.NEW)
    await given(await join(fleet))


async def test_a_job_that_has_not_failed_cannot_be_retried(fleet: Scheduler) -> None:
    job = await submit(fleet)
    with pytest.raises(IllegalTransition, match=f"The job {job} is pending; 'retry' is not possible"):
        await fleet.retry(job)


async def test_a_node_is_told_what_the_fleet_expects_of_it(fleet: Scheduler) -> None:
    answer = await fleet.attach(RecordingLink(NODE), register())
    assert (answer.node, answer.heartbeat_ms, answer.lease_ms) == (NODE, 5_000, 15_000)
    assert (answer.keep, answer.drop, answer.draining) == ((), (), False)


async def test_a_node_keeps_its_work_over_a_new_link_and_the_old_one_is_closed(fleet: Scheduler) -> None:
    old = await join(fleet)
    await submit(fleet)
    ref = await given(old)
    await fleet.receive(old, JobAck((ref,)))
    new = RecordingLink(NODE)
    answer = await fleet.attach(new, register(running=(ref,)))
    assert answer.keep == (ref,)
    assert old.closed == [(4409, "the node registered on a newer link")]
    await fleet.detach(old)
    assert (await fleet.node(NODE)).state is NodeState.READY


async def test_a_result_that_nobody_wants_is_settled_when_its_node_comes_back(fleet: Scheduler) -> None:
    link = await join(fleet)
    job = await submit(fleet)
    ref = await given(link)
    await fleet.receive(link, JobAck((ref,)))

    async def is_confirmed() -> bool:
        return (await fleet.job(job)).tasks[0].state is TaskState.ACKED

    await until(is_confirmed)
    await fleet.detach(link)
    await fleet.cancel(job)
    assert (await fleet.stats())["slots"]["used"] == 1
    answer = await fleet.attach(RecordingLink(NODE), register(holding=(ref,)))
    assert answer.drop == (ref,)

    async def is_free() -> bool:
        return (await fleet.stats())["slots"] == {"total": 1, "used": 0}

    await until(is_free)


async def test_a_frame_of_a_link_that_was_replaced_changes_nothing(fleet: Scheduler) -> None:
    old = await join(fleet)
    await join(fleet)
    await fleet.receive(old, Misc("goodbye"))
    await fleet.receive(RecordingLink("n0-stranger"), Heartbeat())
    assert (await fleet.node(NODE)).state is NodeState.READY


async def test_a_link_that_closes_leaves_its_node_its_lease(fleet: Scheduler) -> None:
    link = await join(fleet)
    await fleet.detach(link)
    await fleet.detach(link)
    assert (await fleet.node(NODE)).state is NodeState.UNLINKED
    assert await fleet.pools() == [] or (await fleet.pools())[0].executors == 0


async def test_a_node_that_says_goodbye_gives_its_work_back(fleet: Scheduler) -> None:
    link = await join(fleet)
    job = await submit(fleet)
    await fleet.receive(link, JobAck((await given(link),)))
    other = await join(fleet, "n0-b-1")
    await fleet.receive(link, Misc("goodbye"))
    await given(other)
    assert (await fleet.node(NODE)).state is NodeState.OFFLINE
    assert (await fleet.job(job)).tasks[0].tries == 0


async def test_an_operator_drains_a_node_and_takes_it_back(fleet: Scheduler) -> None:
    link = await join(fleet)
    assert (await fleet.drain(NODE, draining=True)).state is NodeState.DRAINING
    await submit(fleet)
    assert (await fleet.drain(NODE, draining=False)).state is NodeState.READY
    await given(link)
    assert link.of_type(Drain) == [Drain(draining=True), Drain(draining=False)]


async def test_an_order_to_drain_outlasts_the_link_and_a_nodes_own_wish_does_not(fleet: Scheduler) -> None:
    link = await join(fleet)
    await fleet.receive(link, Misc("draining"))
    assert (await fleet.node(NODE)).state is NodeState.DRAINING
    assert (await fleet.attach(RecordingLink(NODE), register())).draining is False
    await fleet.drain(NODE, draining=True)
    assert (await fleet.attach(RecordingLink(NODE), register())).draining is True


async def test_what_a_node_logs_is_no_work(fleet: Scheduler) -> None:
    link = await join(fleet)
    await fleet.receive(link, Misc("log", {"line": "hello"}))
    await fleet.receive(link, Misc("something-new"))
    assert (await fleet.node(NODE)).state is NodeState.READY
    assert (link.frames, link.closed) == ([], [])


async def test_a_fleet_counts_what_it_has(fleet: Scheduler) -> None:
    await submit(fleet)
    await submit(fleet)
    link = await join(fleet)
    await given(link)
    stats = await fleet.stats()
    assert stats["slots"] == {"total": 1, "used": 1}
    assert (stats["nodes"], stats["queued_tasks"]) == ({"ready": 1}, 1)
    assert stats["jobs"][JobStatus.PENDING] == 2
    assert [node.id for node in await fleet.nodes()] == [NODE]
    assert [(pool.slots, pool.executors) for pool in await fleet.pools()] == [(1, 1)]


async def test_every_live_instance_is_listed_and_one_that_ends_leaves_at_once(instances: Instances) -> None:
    async with instances.run("i-2") as first:
        async with instances.run("i-1"):

            async def are_both() -> bool:
                return [one["id"] for one in (await first.cluster())["instances"]] == ["i-1", "i-2"]

            await until(are_both)
        cluster = await first.cluster()
    (left,) = cluster["instances"]
    assert (left["id"], left["version"], left["leads"], left["nodes"]) == ("i-2", __version__, True, 0)
    assert (cluster["leader"], cluster["store"]) == ("i-2", {"reachable": True, "schema": SCHEMA})


async def test_an_instance_that_ends_closes_its_links(instances: Instances) -> None:
    async with instances.run() as fleet:
        link = await join(fleet)
    assert link.closed == [(1001, "the scheduler is stopping")]
    assert all(loop.done() for loop in fleet._loops)


async def test_nodes_of_an_instance_that_died_get_no_work_until_they_are_back(instances: Instances) -> None:
    async with instances.run("i-dead") as dead:
        await join(dead)
        await end_loops(dead._loops)
        await instances.store.retire("i-dead")
    async with instances.run("i-next") as next_one:
        assert (await next_one.node(NODE)).state is NodeState.UNLINKED
        link = await join(next_one)
        await submit(next_one)
        await given(link)


async def test_another_instance_takes_over_what_one_accepted(instances: Instances) -> None:
    async with instances.run("i-1") as first:
        job = await submit(first)
    async with instances.run("i-2") as second:
        link = await join(second)
        await answer(second, link, await given(link))
        assert (await ended(second, job)).status is JobStatus.COMPLETED


async def test_bytes_that_were_sent_can_be_opened_and_discarded(fleet: Scheduler) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"film"

    artifact = await fleet.announce_upload(UploadAnnouncement("film.mkv", 4), principal="ann")
    ref = await fleet.receive_upload(artifact.ref.id, offset=0, length=4, chunks=chunks())
    found = await fleet.open_artifact(ref.id)
    assert b"".join([piece async for piece in found.read(0, 4)]) == b"film"
    await fleet.discard_upload(ref.id)
    with pytest.raises(NotFound):
        await fleet.open_artifact(ref.id)


async def test_an_instance_says_whether_its_store_answers_and_ends_without_it(
    instances: Instances, fleet: Scheduler
) -> None:
    await fleet.check_ready()
    client: Any = connect(f"unix://{instances.folder}/none.sock", prefix="test")
    lost = Scheduler(
        "i-lost",
        instances.settings,
        Resources(
            Store(client, Keys("test", "0")),
            BlobStore(instances.folder),
            KindRegistry([KIND]),
            SystemClock(),
            Metrics(),
        ),
    )
    with pytest.raises(StoreUnavailable):
        await lost.check_ready()
    await lost.__aexit__(None, None, None)
    await client.aclose()


async def test_a_job_that_is_cancelled_while_it_uploads_leaves_no_bytes(instances: Instances) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"fi"

    kinds = KindRegistry([replace(KIND, inputs=(1, 1))])
    blobs = BlobStore(instances.folder / "blobs")
    resources = Resources(instances.store, blobs, kinds, SystemClock(), Metrics())
    async with Scheduler("i-1", instances.settings, resources) as fleet:
        name = (await fleet.announce_upload(UploadAnnouncement("film.mkv", 4), principal="ann")).ref.id
        left = await fleet.receive_upload(name, offset=0, length=2, chunks=chunks())
        assert await fleet.find_upload(name) == left == OpenUpload(name, 2, 2)
        (accepted,) = await fleet.submit([Submission("noop", f"artifact:{name}")], principal="ann")
        assert accepted.job.status is JobStatus.UPLOADING
        await fleet.cancel(accepted.job.id)
        with pytest.raises(NotFound):
            await fleet.find_upload(name)
    assert not [*instances.folder.rglob(f"*{name}*")]


async def test_a_task_that_lost_two_nodes_is_a_dead_letter_that_can_be_tried_again(fleet: Scheduler) -> None:
    job = await submit(fleet)
    for node in ("n0-a-1", "n0-b-2"):
        link = await join(fleet, node)
        await fleet.receive(link, JobAck((await given(link),)))
        await until(lambda: is_running(fleet, job))
        await join(fleet, node, incarnation="another", executors=(Executor("cpu", 1, ("kind:none",)),))
    error = (await ended(fleet, job)).error
    assert error is not None
    assert error.code == "poison"
    (letter,) = (await fleet.dead.page()).letters
    assert (letter.job, len(letter.ends)) == (job, 2)
    assert (await fleet.dead.retry(letter.task)).status is JobStatus.PENDING
    with pytest.raises(NotFound, match="no dead letter"):
        await fleet.dead.drop(letter.task)
    with pytest.raises(NotFound, match="no dead letter"):
        await fleet.dead.show(letter.task)


async def is_running(fleet: Scheduler, job: str) -> bool:
    return (await fleet.job(job)).tasks[0].state is TaskState.ACKED


async def test_a_job_that_does_not_end_by_its_deadline_fails(fleet: Scheduler) -> None:
    """Real time, since the instance's own loops are what is tested."""
    deadline = SystemClock().now_ms() + 200
    job = (await fleet.submit([Submission("noop", deadline=deadline)], principal="ann"))[0].job.id
    view = await ended(fleet, job)
    assert view.error is not None
    assert (view.status, view.error.code) == (JobStatus.FAILED, "deadline-exceeded")

    async def is_listed() -> bool:
        return (await fleet.dead.page()).total == 1

    await until(is_listed)
    assert (await fleet.job(job)).tasks[0].state is TaskState.CANCELLED


async def test_a_job_that_waits_says_why_and_a_task_can_be_simulated(fleet: Scheduler) -> None:
    job = await submit(fleet)
    assert (await fleet.why(job)).sentence == "The task noop waits: The fleet has no executors now."
    await given(await join(fleet))
    assert "has not confirmed it yet" in (await fleet.why(job)).sentence
    assert (await fleet.simulate(Simulation(("kind:noop",)))).waits_for is Waiting.ROOM
    with pytest.raises(NotFound):
        await fleet.why("j0-none")


@pytest.mark.parametrize("wish", [Simulation(slots=0), Simulation(slots=MAX_SLOTS + 1), Simulation(("x",))])
async def test_what_no_task_could_ask_for_is_not_simulated(fleet: Scheduler, wish: Simulation) -> None:
    with pytest.raises(InvalidRequest):
        await fleet.simulate(wish)


async def test_a_job_can_be_waited_for_until_it_is_final(fleet: Scheduler) -> None:
    job = await submit(fleet)
    waiting = asyncio.create_task(fleet.wait(job))
    link = await join(fleet)
    ref = await given(link)
    assert not waiting.done()
    await fleet.receive(link, JobResults((Outcome(ref.task, ref.grant, result=TaskResult({"n": 1})),)))
    async with asyncio.timeout(DEADLINE_S):
        assert (await waiting).result == {"n": 1}
        assert (await fleet.wait(job)).status is JobStatus.COMPLETED
    with pytest.raises(NotFound):
        await fleet.wait("j0-none")


async def test_a_job_of_a_kind_that_one_instance_lacks_is_done_by_those_that_have_it(instances: Instances) -> None:
    def plan(_: Job, finished: Sequence[FinishedTask]) -> Step:
        return Complete({"ok": True}) if finished else Expand((NewTask("one", "noop"),))

    def run(name: str, *kinds: Kind) -> Scheduler:
        known = KindRegistry([KIND, *kinds])
        blobs = BlobStore(instances.folder / "blobs")
        return Scheduler(name, instances.settings, Resources(instances.store, blobs, known, SystemClock(), Metrics()))

    good = replace(KIND, name="good", version=2, plan=plan)
    async with run("i-old") as old, run("i-new", good) as new:
        shown = {one["id"]: one["kinds"] for one in (await old.cluster())["instances"]}
        assert shown == {"i-old": {"noop": (1,)}, "i-new": {"good": (2,), "noop": (1,)}}
        # The result comes to the instance that cannot plan what follows from it.
        link = await join(old, executors=(Executor("cpu", 4, ("kind:good@2",)),))
        job = (await new.submit([Submission("good")], principal="ann"))[0].job.id
        ref = await given(link)
        await old.receive(link, JobResults((Outcome(ref.task, ref.grant, result=TaskResult()),)))
        assert (await ended(new, job)).status is JobStatus.COMPLETED
