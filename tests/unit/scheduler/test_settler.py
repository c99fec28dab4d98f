"""What nodes say is written down once, in order, and each of them learns what it must stop or may forget."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording_link import RecordingLink
from scheduler_parts import NODE, Parts, assigned, refs
from tests_support.store_driver import LEASE_MS
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.artifact import ArtifactRef, ArtifactState
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.frames import (
    AttemptRef,
    Heartbeat,
    JobAck,
    JobCancel,
    JobProgress,
    JobReject,
    JobResultAck,
    JobResults,
    Misc,
    NodeFrame,
    Outcome,
    Progress,
)
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.plan import TaskResult
from mediafleet.domain.retry import LONGEST_DELAY_MS, back_off_table
from mediafleet.scheduler import settler
from mediafleet.scheduler.links import LinkedNode
from mediafleet.scheduler.settler import REJECT_DELAY_MS, failure_of, progress_record
from mediafleet.store.records import FailureRecord, NodeAttempts, ResultRecord
from mediafleet.store.scripts import as_text

BROKEN = ErrorInfo("task-failed", "It failed.", retryable=True)
UNREADABLE = ErrorInfo("unreadable-media", "The file is no media.")


def sorted_out(*frames: NodeFrame) -> settler._Tick:
    tick = settler._Tick()
    for frame in frames:
        settler._sort(tick, NODE, 7, frame)
    return tick


def test_an_attempt_that_was_stopped_when_told_to_only_frees_its_slots() -> None:
    assert failure_of(Outcome("t", "g", cancelled=True), draws=()) == FailureRecord("t", "g", "stopped")


def test_a_capability_that_is_missing_is_no_fault_of_the_task() -> None:
    missing = ErrorInfo("capability-missing", "This node cannot.", retryable=True)
    expected = FailureRecord("t", "g", "lost", error=as_text(missing), delay_ms=REJECT_DELAY_MS)
    assert failure_of(Outcome("t", "g", error=missing), draws=(0.5,)) == expected


@pytest.mark.parametrize("error", [BROKEN, UNREADABLE])
def test_a_fault_is_kept_with_its_sentence_and_its_waits(error: ErrorInfo) -> None:
    failure = failure_of(Outcome("t", "g", error=error), draws=(0.5, 0.5))
    assert (failure.how, failure.retryable, failure.delays) == ("failed", error.retryable, [250, 500])
    assert msgspec.json.decode(failure.error, type=ErrorInfo) == error


def test_drawn_waits_never_exceed_the_longest() -> None:
    draws = settler.draw_delays()
    assert len(draws) == settler.LONGEST_BACK_OFF_TABLE
    assert all(0 <= wait < LONGEST_DELAY_MS for wait in back_off_table(draws))


@given(st.floats())
def test_progress_stays_between_nothing_and_all_whatever_a_node_says(fraction: float) -> None:
    assert 0.0 <= progress_record(Progress("t", "g", fraction)).fraction <= 1.0


@given(st.floats(0.0, 1.0))
def test_progress_inside_its_bounds_is_kept(fraction: float) -> None:
    assert progress_record(Progress("t", "g", fraction)).fraction == fraction


def test_progress_tells_stage_speed_and_time_left_to_the_store_and_to_watchers() -> None:
    record = progress_record(Progress("t", "g", 0.5, "encoding", 2.5, 800))
    assert (record.stage, record.speed, record.eta_ms) == ("encoding", 2.5, 800)
    assert msgspec.json.decode(record.about) == {"stage": "encoding", "speed": 2.5}


def test_of_many_words_on_one_attempt_in_a_tick_the_latest_counts() -> None:
    tick = sorted_out(
        JobProgress((Progress("t", "g1", 0.1), Progress("t", "g2", 0.2))), JobProgress((Progress("t", "g1", 0.9),))
    )
    assert {grant: record.fraction for grant, record in tick.progress.items()} == {"g1": 0.9, "g2": 0.2}


async def test_of_many_heartbeats_in_a_tick_the_latest_counts(parts: Parts) -> None:
    await parts.link()
    for cpu in (0.1, 0.5):
        parts.settler.take(NODE, parts.driver.epochs[NODE], Heartbeat(load={"cpu": cpu}))
    await parts.settler.step()
    node = await parts.store.read.node(NODE)
    assert node
    assert node.load == {"cpu": 0.5}


def test_an_ack_keeps_the_epoch_of_the_link_that_it_came_over() -> None:
    assert sorted_out(JobAck((AttemptRef("t", "g"),))).acks == [NodeAttempts(NODE, 7, (AttemptRef("t", "g"),))]


def test_a_reject_sends_the_task_elsewhere_after_a_moment() -> None:
    tick = sorted_out(JobReject("t", "g", "full"))
    refusal = as_text(ErrorInfo("rejected", "full"))
    assert tick.failures == [FailureRecord("t", "g", "lost", error=refusal, delay_ms=REJECT_DELAY_MS)]
    assert tick.settled == {}


def test_results_and_failures_of_one_frame_are_told_apart_and_all_are_settled() -> None:
    result, made = TaskResult({"n": 1}), TaskResult({}, (ArtifactRef("a0-out", "out.mp4"),))
    outcomes = (Outcome("t", "g1", result), Outcome("u", "g2", error=BROKEN), Outcome("v", "g3", made))
    tick = sorted_out(JobResults(outcomes))
    text = msgspec.json.encode(result).decode()
    assert tick.results == [ResultRecord("t", "g1", text, [])]
    assert tick.made == [outcomes[2]]
    assert [failure.grant for failure in tick.failures] == ["g2"]
    assert tick.settled == {NODE: [AttemptRef("t", "g1"), AttemptRef("u", "g2"), AttemptRef("v", "g3")]}


def test_a_frame_that_says_nothing_of_work_changes_nothing() -> None:
    assert sorted_out(Misc("log", {"line": "hello"})) == settler._Tick()


async def running(parts: Parts, *names: str, slots: int = 4, **changes: int) -> tuple[str, RecordingLink]:
    link = await parts.link(slots=slots)
    job = await parts.driver.submit_one(*names or ("only",), **changes)
    await parts.placer.sweep()
    await parts.placer.step()
    return job, link


def note_calls(parts: Parts) -> list[str]:
    """Return a list that the names of the scripts that run from here on are added to."""
    called: list[str] = []

    def note(name: str, _: float) -> None:
        called.append(name)

    parts.store._observe = note
    return called


def outcome(ref: AttemptRef, **how: ErrorInfo | TaskResult | bool) -> JobResults:
    return JobResults((msgspec.convert({"task": ref.task, "grant": ref.grant, **msgspec.to_builtins(how)}, Outcome),))


async def test_a_job_runs_once_its_node_has_said_so(parts: Parts) -> None:
    job, link = await running(parts)
    assert (await parts.job(job)).status is JobStatus.PENDING
    await parts.say(NODE, JobAck(refs(link)))
    view = await parts.job(job)
    assert (view.status, view.tasks[0].state) == (JobStatus.PROCESSING, TaskState.ACKED)


async def test_a_result_completes_the_job_and_leaves_the_outbox(parts: Parts) -> None:
    job, link = await running(parts)
    (ref,) = refs(link)
    await parts.say(NODE, outcome(ref, result=TaskResult({"n": 1})))
    assert (await parts.job(job)).result == {"n": 1}
    assert link.of_type(JobResultAck) == [JobResultAck((ref,))]
    assert parts.final == 1
    assert parts.counted("tasks_finished", outcome="done") == 1


async def test_an_ack_and_a_result_of_one_tick_are_written_in_that_order(parts: Parts) -> None:
    job, link = await running(parts)
    (ref,) = refs(link)
    await parts.say(NODE, outcome(ref, result=TaskResult()), JobAck((ref,)))
    view = await parts.job(job)
    assert (view.status, view.started_ms) == (JobStatus.COMPLETED, view.finished_ms)
    assert [kind for kind in await parts.event_types() if kind.startswith("job.")] == [
        "job.accepted",
        "job.started",
        "job.completed",
    ]
    assert link.of_type(JobCancel) == []


def test_what_nodes_confirmed_is_left_out_where_it_is_done_already() -> None:
    one, two = AttemptRef("t", "g1"), AttemptRef("u", "g2")
    acks = [NodeAttempts(NODE, 7, (one, two)), NodeAttempts("n0-b-1", 8, (one,))]
    assert list(settler.unfinished(acks, {"g1"})) == [NodeAttempts(NODE, 7, (two,))]
    assert list(settler.unfinished(acks, set())) == acks


async def test_results_and_acks_of_one_tick_are_written_in_one_call(parts: Parts) -> None:
    job, link = await running(parts, "a", "b")
    first, second = refs(link)
    called = note_calls(parts)
    await parts.say(NODE, JobAck((first,)), outcome(first, result=TaskResult()))
    assert called == ["finish"]
    await parts.say(NODE, JobAck((second,)))
    assert called == ["finish", "commit"]
    view = await parts.job(job)
    assert [task.state for task in view.tasks] == [TaskState.DONE, TaskState.ACKED]
    assert view.status is JobStatus.PROCESSING


@pytest.mark.parametrize("how", ["error", "refused outputs"])
async def test_an_ack_and_a_failure_of_one_tick_start_the_job_and_end_it(parts: Parts, how: str) -> None:
    job, link = await running(parts, max_tries=1)
    (ref,) = refs(link)
    lost = TaskResult({}, (ArtifactRef("a0-gone", "film.mp4"),))
    failed = outcome(ref, error=BROKEN) if how == "error" else outcome(ref, result=lost)
    await parts.say(NODE, failed, JobAck((ref,)))
    view = await parts.job(job)
    assert (view.status, view.tasks[0].state, view.tasks[0].tries) == (JobStatus.FAILED, TaskState.FAILED, 1)
    assert view.started_ms == view.finished_ms is not None
    assert [kind for kind in await parts.event_types() if kind.startswith("job.")] == [
        "job.accepted",
        "job.started",
        "job.failed",
    ]
    assert await parts.driver.used(f"{NODE}/cpu") == 0
    assert link.of_type(JobCancel) == []
    assert link.of_type(JobResultAck) == [JobResultAck((ref,))]


async def test_outputs_and_an_ack_of_one_tick_start_the_job_and_complete_it(parts: Parts) -> None:
    job, link = await running(parts)
    (ref,) = refs(link)
    film = ArtifactRef("a0-film", "film.mp4", "file:///store/a0-film", 6)
    recorded = await parts.record_artifact(film, grant=ref.grant)
    await parts.say(NODE, JobAck((ref,)), outcome(ref, result=TaskResult({}, (recorded,))))
    view = await parts.job(job)
    assert (view.status, view.outputs, view.started_ms) == (JobStatus.COMPLETED, (recorded,), view.finished_ms)
    assert view.started_ms is not None


async def test_a_task_whose_outputs_are_refused_in_the_tick_of_its_ack_is_done_again(parts: Parts) -> None:
    job, link = await running(parts)
    (ref,) = refs(link)
    await parts.say(NODE, JobAck((ref,)), outcome(ref, result=TaskResult({}, (ArtifactRef("a0-gone", "film.mp4"),))))
    view = await parts.job(job)
    assert (view.status, view.tasks[0].state, view.tasks[0].tries) == (JobStatus.PROCESSING, TaskState.NEW, 1)
    assert await parts.driver.used(f"{NODE}/cpu") == 0
    leases = [entry.decode() for entry in await parts.driver.redis.zrange(parts.store.keys.due, 0, -1)]
    assert not any(ref.grant in entry for entry in leases), "no timer of the attempt is left"


async def test_a_result_that_comes_twice_counts_once_and_is_confirmed_twice(parts: Parts) -> None:
    job, link = await running(parts)
    (ref,) = refs(link)
    await parts.say(NODE, outcome(ref, result=TaskResult({"n": 1})))
    await parts.say(NODE, outcome(ref, result=TaskResult({"n": 2})))
    assert (await parts.job(job)).result == {"n": 1}
    assert len(link.of_type(JobResultAck)) == 2
    assert parts.counted("tasks_finished", outcome="done") == 1
    assert parts.counted("duplicate_results") == 1
    assert parts.counted("stale_messages", kind="result") == 0, "it is no fault of anybody"


async def test_a_result_that_comes_again_after_its_job_was_forgotten_is_confirmed_all_the_same(parts: Parts) -> None:
    job, link = await running(parts)
    (ref,) = refs(link)
    await parts.say(NODE, outcome(ref, result=TaskResult({"n": 1})))
    assert await parts.store.forget(job, inputs=[])
    await parts.say(NODE, outcome(ref, result=TaskResult({"n": 1})))
    assert len(link.of_type(JobResultAck)) == 2
    assert (parts.counted("duplicate_results"), parts.counted("stale_messages", kind="result")) == (0, 1)
    assert await parts.driver.used(f"{NODE}/cpu") == 0


async def test_slots_that_a_result_frees_are_given_to_the_next_task(parts: Parts) -> None:
    _, link = await running(parts, "a", "b", slots=1)
    await parts.say(NODE, outcome(refs(link)[0], result=TaskResult()))
    await parts.placer.step()
    assert len(assigned(link)) == 2


async def test_a_fault_that_may_pass_is_tried_again_and_counted(parts: Parts) -> None:
    job, link = await running(parts)
    await parts.say(NODE, outcome(refs(link)[0], error=BROKEN))
    view = await parts.job(job)
    assert (view.status, view.tasks[0].state, view.tasks[0].tries) == (JobStatus.PENDING, TaskState.NEW, 1)
    assert parts.counted("tasks_finished", outcome="retried") == 1
    assert link.of_type(JobResultAck)


async def test_a_fault_that_cannot_pass_ends_the_job_with_its_sentence(parts: Parts) -> None:
    job, link = await running(parts)
    await parts.say(NODE, outcome(refs(link)[0], error=UNREADABLE))
    view = await parts.job(job)
    assert (view.status, view.error) == (JobStatus.FAILED, UNREADABLE)
    assert parts.counted("tasks_finished", outcome="failed") == 1
    assert parts.final == 1


async def test_a_failure_of_an_attempt_that_nobody_knows_is_confirmed_and_counted_as_stale(parts: Parts) -> None:
    _, link = await running(parts)
    unknown = AttemptRef("j0-none.only", "never-given")
    await parts.say(NODE, outcome(unknown, error=BROKEN))
    assert link.of_type(JobResultAck) == [JobResultAck((unknown,))]
    assert parts.counted("stale_messages", kind="outcome") == 1


async def test_a_rejected_task_spends_no_try_and_goes_to_another_node(parts: Parts, virtual_time: VirtualTime) -> None:
    job, link = await running(parts)
    (ref,) = refs(link)
    await parts.say(NODE, JobReject(ref.task, ref.grant, "busy"))
    other = await parts.link("n0-b-1", slots=4)
    virtual_time.advance(REJECT_DELAY_MS)
    parts.placer.ask((await parts.driver.reap()).queues)
    await parts.placer.step()
    assert (await parts.job(job)).tasks[0].tries == 0
    assert [given.task for given in assigned(other)] == [ref.task]


async def test_progress_shows_in_the_job(parts: Parts) -> None:
    job, link = await running(parts)
    (ref,) = refs(link)
    told = JobProgress((Progress(ref.task, ref.grant, 0.25, "encoding", 2.0, 900),))
    await parts.say(NODE, told, JobAck((ref,)))
    view = await parts.job(job)
    assert (view.progress, view.stage, view.speed, view.eta_ms) == (0.25, "encoding", 2.0, 900)
    assert parts.final == 0


async def test_progress_of_an_attempt_that_is_over_is_counted_as_stale(parts: Parts) -> None:
    await running(parts)
    await parts.say(NODE, JobProgress((Progress("j0-none.only", "never-given", 0.5),)))
    assert parts.counted("stale_messages", kind="progress") == 1


async def test_a_node_that_confirms_what_is_no_longer_its_own_is_told_to_stop(parts: Parts) -> None:
    job, link = await running(parts)
    await parts.planner.cancel(job)
    link.frames = link.frames[:1]
    await parts.say(NODE, JobAck(refs(link)))
    assert link.of_type(JobCancel) == [JobCancel(refs(link), "the attempt was given to another node")]


async def test_a_node_that_runs_what_is_no_longer_its_own_is_told_so_at_each_heartbeat(parts: Parts) -> None:
    job, link = await running(parts)
    await parts.say(NODE, JobAck(refs(link)))
    await parts.planner.cancel(job)
    link.frames = link.frames[:1]
    await parts.say(NODE, Heartbeat(refs(link)))
    assert link.of_type(JobCancel) == [JobCancel(refs(link), "the attempt was given to another node")]


async def test_a_heartbeat_keeps_the_node_and_its_work(parts: Parts, virtual_time: VirtualTime) -> None:
    job, link = await running(parts)
    await parts.driver.reap()
    await parts.say(NODE, JobAck(refs(link)))
    for _ in range(10):
        virtual_time.advance(LEASE_MS // 6)
        await parts.say(NODE, Heartbeat(refs(link), {"cpu": 0.5}))
        await parts.driver.reap()
    node = await parts.store.read.node(NODE)
    assert node
    assert (node.state, node.seen_ms, node.load) == ("ready", virtual_time.ms, {"cpu": 0.5})
    assert (await parts.job(job)).tasks[0].attempt == 1


async def test_a_part_of_a_frame_keeps_the_node_and_what_it_said_last(parts: Parts, virtual_time: VirtualTime) -> None:
    job, link = await running(parts)
    await parts.driver.reap()
    await parts.say(NODE, JobAck(refs(link)))
    await parts.say(NODE, Heartbeat(refs(link), {"cpu": 0.5}))
    for _ in range(10):
        virtual_time.advance(LEASE_MS // 2)
        parts.settler.keep(NODE, parts.driver.epochs[NODE])
        await parts.settler.step()
        await parts.driver.reap()
    node = await parts.store.read.node(NODE)
    assert node
    assert (node.state, node.seen_ms, node.load) == ("ready", virtual_time.ms, {"cpu": 0.5})
    assert (await parts.job(job)).tasks[0].attempt == 1


async def test_a_heartbeat_counts_beside_a_part_of_a_frame_of_the_same_tick(parts: Parts) -> None:
    await parts.link()
    epoch = parts.driver.epochs[NODE]
    parts.settler.keep(NODE, epoch)
    parts.settler.take(NODE, epoch, Heartbeat((), {"cpu": 0.7}))
    parts.settler.keep(NODE, epoch)
    await parts.settler.step()
    node = await parts.store.read.node(NODE)
    assert node
    assert node.load == {"cpu": 0.7}


async def test_a_node_whose_lease_has_ended_must_register_again(parts: Parts) -> None:
    link = await parts.link()
    await parts.store.unlink(NODE, parts.driver.epochs[NODE], goodbye=False, retention_ms=60_000)
    await parts.say(NODE, Heartbeat())
    assert link.closed == [(4409, "the node's lease has ended; register again")]


async def test_a_late_heartbeat_of_an_older_link_does_not_close_the_newer_one(parts: Parts) -> None:
    await parts.link()
    link = RecordingLink(NODE)
    parts.links.put(NODE, LinkedNode(link, parts.driver.epochs[NODE] + 1))
    await parts.store.unlink(NODE, parts.driver.epochs[NODE], goodbye=False, retention_ms=60_000)
    await parts.say(NODE, Heartbeat())
    assert link.closed == []


async def test_frames_that_came_while_one_batch_was_written_form_the_next(parts: Parts) -> None:
    _, link = await running(parts, "a", "b", "c")
    for ref in refs(link):
        parts.settler.take(NODE, parts.driver.epochs[NODE], outcome(ref, result=TaskResult()))
    await parts.settler.step()
    await parts.settler.ack_step()
    assert link.of_type(JobResultAck) == [JobResultAck(refs(link))]
    assert parts.final == 1


async def test_outputs_of_a_result_are_kept_as_they_are_recorded(parts: Parts) -> None:
    job, link = await running(parts)
    film = ArtifactRef("a0-film", "film.mp4", "file:///store/a0-film", 6)
    recorded = await parts.record_artifact(film, grant=refs(link)[0].grant)
    said = ArtifactRef(recorded.id, "../../elsewhere", "file:///etc/passwd", 9)
    await parts.say(NODE, outcome(refs(link)[0], result=TaskResult({}, (said,))))
    view = await parts.job(job)
    assert (view.status, view.outputs) == (JobStatus.COMPLETED, (recorded,))


async def test_an_output_of_another_job_is_refused_and_stays_the_other_jobs(parts: Parts) -> None:
    job, link = await running(parts)
    film = await parts.record_artifact(ArtifactRef("a0-film", "film.mp4"), grant="another")
    await parts.say(NODE, outcome(refs(link)[0], result=TaskResult({}, (film,))))
    view = await parts.job(job)
    assert (view.status, view.outputs) == (JobStatus.FAILED, ())
    assert view.error is not None
    assert view.error.code == "output-rejected"
    assert not await parts.driver.redis.exists(f"{parts.store.keys.artifact('a0-film')}:jobs")


async def test_what_an_earlier_attempt_of_the_task_published_is_its_own(parts: Parts) -> None:
    job, link = await running(parts)
    (first,) = refs(link)
    film = await parts.record_artifact(ArtifactRef("a0-film", "film.mp4"), grant=first.grant)
    await parts.say(NODE, outcome(first, error=msgspec.structs.replace(BROKEN, code="capability-missing")))
    await parts.driver.redis.zadd(parts.store.keys.due, {f"hold|{first.task}": 0})
    await parts.driver.reap()
    await parts.placer.sweep()
    await parts.placer.step()
    again = refs(link)[-1]
    assert again.grant != first.grant
    await parts.say(NODE, JobAck((again,)), outcome(again, result=TaskResult({}, (film,))))
    assert (await parts.job(job)).outputs == (film,)


async def test_what_the_job_has_as_input_may_be_named_as_its_output(parts: Parts) -> None:
    film = await parts.record_artifact(ArtifactRef("a0-film", "film.mp4"))
    record = parts.driver.job_record({"noop": ()}, inputs=[film.id])
    doc = msgspec.structs.replace(msgspec.json.decode(record.doc, type=Job), inputs=(film,))
    await parts.driver.submit(msgspec.structs.replace(record, doc=as_text(doc)))
    link = await parts.link()
    await parts.placer.sweep()
    await parts.placer.step()
    await parts.say(NODE, JobAck(refs(link)), outcome(refs(link)[0], result=TaskResult({}, (film,))))
    assert (await parts.job(record.id)).outputs == (film,)


async def test_an_output_that_names_something_else_than_an_artifact_is_not_there(parts: Parts) -> None:
    job, link = await running(parts)
    await parts.record_artifact(ArtifactRef("a0-film", "film.mp4"))
    await parts.driver.redis.sadd(f"{parts.store.keys.artifact('a0-film')}:jobs", "j0-1")
    said = ArtifactRef("a0-film:jobs", "film.mp4")
    await parts.say(NODE, outcome(refs(link)[0], result=TaskResult({}, (said,))))
    assert (await parts.job(job)).tasks[0].tries == 1


@pytest.mark.parametrize("state", [ArtifactState.OPEN, None])
async def test_a_result_without_its_bytes_is_made_again(parts: Parts, state: ArtifactState | None) -> None:
    job, link = await running(parts)
    output = ArtifactRef("a0-film", "film.mp4")
    if state:
        await parts.record_artifact(output, state)
    await parts.say(NODE, outcome(refs(link)[0], result=TaskResult({}, (output,))))
    view = await parts.job(job)
    assert (view.tasks[0].state, view.tasks[0].tries) == (TaskState.NEW, 1)
    assert view.tasks[0].error is not None
    assert "'film.mp4', but its bytes are not here" in view.tasks[0].error.message
