"""What the store is given for a plan: every task by its own id, in pieces that a script may take."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.capability import Requirement
from mediafleet.domain.errors import ErrorInfo, InvalidRequest
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.domain.node import MAX_SLOTS
from mediafleet.domain.plan import Complete, Expand, Fail, NewTask, Step, TaskLimits, TaskResult, TaskSpec, Wait
from mediafleet.kinds.noop import KIND
from mediafleet.scheduler import tasks
from mediafleet.scheduler.tasks import MAX_TASK_BYTES, MAX_TASKS, PIECE
from mediafleet.store.records import JobRecord, QueueSpec, SubmittedJob

INPUT = ArtifactRef("a0-in", "in.mkv", "file:///in.mkv", 5)
JOB = Job("j0-x", "0", "ann", "local", "noop", 1, "clip", (INPUT,), {"echo": "hi"}, PriorityClass.INTERACTIVE, 7_000)
ERROR = ErrorInfo("stuck", "Nothing is left to do.")


def many(count: int) -> Expand:
    return Expand(tuple(NewTask(f"t{number}", "noop") for number in range(count)), outcome_of="t0")


def job_record(step: Step, *, key: str = "") -> tuple[JobRecord, dict[str, str]]:
    return tasks.job_record(JOB, step, KIND, key=key, waits=[], retention_ms=60_000)


def test_a_task_requires_its_kind_beside_what_it_names_itself() -> None:
    task = NewTask("run", "noop", Requirement(("label:studio", "encoder:x", "label:studio"), 3))
    wanted = tasks.requirement_of(task, KIND)
    assert wanted == Requirement(("encoder:x", "kind:noop", "label:studio"), 3)


def test_a_task_requires_the_version_of_its_job() -> None:
    newer = replace(KIND, version=3, continues=(1, 2))
    job = msgspec.structs.replace(JOB, kind_version=2)
    _, queue = tasks.task_record(job, NewTask("run", "noop"), newer, waits=[])
    assert queue.requirement == Requirement(("kind:noop@2",), 1)
    _, queue = tasks.task_record(JOB, NewTask("run", "noop"), newer, waits=[])
    assert queue.requirement == Requirement(("kind:noop",), 1)


@pytest.mark.parametrize("slots", [0, -1])
def test_a_task_takes_at_least_one_slot(slots: int) -> None:
    with pytest.raises(InvalidRequest, match=rf"The task 'run' asks for {slots} slots; it needs 1 or more"):
        tasks.requirement_of(NewTask("run", "noop", Requirement((), slots)), KIND)


def test_a_task_cannot_ask_for_more_slots_than_an_executor_may_have() -> None:
    with pytest.raises(InvalidRequest, match="more slots than an executor may have"):
        tasks.requirement_of(NewTask("run", "noop", Requirement((), MAX_SLOTS + 1)), KIND)
    assert tasks.requirement_of(NewTask("run", "noop", Requirement((), MAX_SLOTS)), KIND).slots == MAX_SLOTS


def test_a_task_that_requires_what_is_no_capability_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="is not a capability"):
        tasks.requirement_of(NewTask("run", "noop", Requirement(("gpu",))), KIND)


def test_a_plan_that_wants_too_many_tasks_is_taken_for_a_mistake() -> None:
    with pytest.raises(InvalidRequest, match=rf"wants {MAX_TASKS + 1} tasks; a job has at most {MAX_TASKS}"):
        tasks.check_tasks([NewTask("same", "noop")] * (MAX_TASKS + 1), KIND)
    tasks.check_tasks([NewTask(f"t{number}", "noop") for number in range(MAX_TASKS)], KIND)


def test_a_task_with_a_step_that_the_kind_has_not_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"'noop' has no step 'nap' for its task 'run'"):
        tasks.check_tasks([NewTask("run", "nap")], KIND)


@pytest.mark.parametrize("name", ["", "Two Words", "a.b", "x" * 41])
def test_a_task_whose_name_cannot_be_part_of_an_id_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="is no name for a task"):
        tasks.check_tasks([NewTask(name, "noop")], KIND)


def test_a_record_says_of_its_task_all_that_the_scripts_go_by() -> None:
    limits = TaskLimits(max_tries=5, total_ms=9_000)
    task = NewTask("join", "noop", Requirement((), 2), after=("a", "b"), weight=0.5, limits=limits)
    record, queue = tasks.task_record(JOB, task, KIND, waits=[])
    assert queue == QueueSpec(Requirement(("kind:noop",), 2), PriorityClass.INTERACTIVE)
    assert (record.id, record.name, record.job, record.queue) == ("j0-x.join", "join", "j0-x", queue.id)
    assert (record.tenant, record.cost, record.score, record.weight) == ("ann", 2, JOB.created_ms, 0.5)
    assert (record.after, record.max_tries, record.total_ms) == (["j0-x.a", "j0-x.b"], 5, 9_000)


def test_tasks_of_one_plan_are_placed_in_its_order() -> None:
    found, _ = tasks.task_records(JOB, [NewTask(name, "noop") for name in ("sound", "c-7", "c-0")], KIND)
    assert [record.score for record in found] == [JOB.created_ms, JOB.created_ms + 1, JOB.created_ms + 2]


def test_a_node_is_told_everything_that_the_plan_said_of_a_task() -> None:
    task = NewTask("run", "noop", inputs=(INPUT,), payload={"part": 3}, weight=2.0, limits=TaskLimits(total_ms=1))
    record, _ = tasks.task_record(JOB, task, KIND, waits=[])
    spec = msgspec.json.decode(record.doc, type=TaskSpec)
    assert spec == TaskSpec(
        "noop", 1, "noop", "run", "ann", (INPUT,), {"part": 3}, {"echo": "hi"}, 2.0, TaskLimits(total_ms=1)
    )


def test_a_task_waits_only_for_those_open_uploads_that_it_reads() -> None:
    task = NewTask("run", "noop", inputs=(INPUT,))
    assert tasks.task_record(JOB, task, KIND, waits=["a0-other", "a0-in"])[0].waits == ["a0-in"]
    assert tasks.task_record(JOB, NewTask("run", "noop"), KIND, waits=["a0-in"])[0].waits == []


def test_parameters_that_no_frame_could_carry_are_refused_when_they_are_submitted() -> None:
    task = NewTask("run", "noop", payload={"text": "x" * MAX_TASK_BYTES})
    with pytest.raises(InvalidRequest, match=r"'run' take 512 KiB; 512 KiB are possible.*artifact"):
        tasks.task_record(JOB, task, KIND, waits=[])
    fits = NewTask("run", "noop", payload={"text": "x" * (MAX_TASK_BYTES - 1_000)})
    assert len(tasks.task_record(JOB, fits, KIND, waits=[])[0].doc) < MAX_TASK_BYTES


def test_parameters_are_measured_in_bytes_whatever_they_are_written_in() -> None:
    task = NewTask("run", "noop", payload={"text": "漢" * (MAX_TASK_BYTES // 2)})
    with pytest.raises(InvalidRequest, match="512 KiB are possible"):
        tasks.task_record(JOB, task, KIND, waits=[])


def test_tasks_with_the_same_needs_share_one_queue() -> None:
    big = NewTask("big", "noop", Requirement((), 4))
    found, queues = tasks.task_records(JOB, [NewTask("a", "noop"), big, NewTask("b", "noop")], KIND)
    assert found[0].queue == found[2].queue != found[1].queue
    assert set(queues) == {record.queue for record in found}
    assert all(msgspec.json.decode(doc, type=QueueSpec).id == queue for queue, doc in queues.items())


@given(st.integers(0, 3 * PIECE + 1))
def test_a_plan_of_any_size_is_applied_whole_in_pieces_of_which_one_is_the_last(count: int) -> None:
    pieces = tasks.expand_pieces(JOB, 4, many(count), KIND)
    assert [record.name for piece in pieces for record in piece.tasks] == [f"t{n}" for n in range(count)]
    assert all(len(piece.tasks) <= PIECE for piece in pieces)
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert {(piece.job, piece.version, piece.outcome_of) for piece in pieces} == {("j0-x", 4, "t0")}
    assert all({record.queue for record in piece.tasks} <= set(piece.queues) for piece in pieces)


def test_a_plan_without_new_tasks_still_takes_the_job_off_the_list_of_those_to_look_at() -> None:
    (piece,) = tasks.expand_pieces(JOB, 4, Expand(()), KIND)
    assert (piece.tasks, piece.last, piece.outcome) == ([], True, None)


def test_a_plan_that_waits_changes_nothing_but_is_answered() -> None:
    (piece,) = tasks.expand_pieces(JOB, 9, Wait(), KIND)
    assert (piece.version, piece.tasks, piece.last, piece.outcome) == (9, [], True, None)


def test_a_completed_job_names_its_result_and_its_outputs() -> None:
    done = Complete({"frames": 3}, (INPUT,), ("The sound was left out.",))
    (piece,) = tasks.expand_pieces(JOB, 2, done, KIND)
    assert piece.outcome
    assert (piece.outcome.status, piece.outcome.field, piece.outcome.outputs) == ("completed", "result", ["a0-in"])
    told = msgspec.json.decode(piece.outcome.text, type=TaskResult)
    assert told == TaskResult({"frames": 3}, (INPUT,), ("The sound was left out.",))
    assert piece.outcome.data == piece.outcome.text


def test_a_failed_job_keeps_the_sentence_and_has_no_outputs() -> None:
    outcome = tasks.failed_outcome(ERROR)
    assert tasks.expand_pieces(JOB, 2, Fail(ERROR), KIND)[0].outcome == outcome
    assert (outcome.status, outcome.field, outcome.outputs) == (JobStatus.FAILED, "error", [])
    assert msgspec.json.decode(outcome.text, type=ErrorInfo) == ERROR


def test_a_job_is_accepted_together_with_the_tasks_of_its_first_plan() -> None:
    step = Expand((NewTask("a", "noop", weight=1.5), NewTask("b", "noop", weight=2.0)), outcome_of="b")
    record, queues = job_record(step, key="once")
    assert (record.id, record.kind, record.key, record.tenant, record.created) == ("j0-x", "noop", "once", "ann", 7_000)
    assert (record.outcome_of, record.weight, record.inputs, record.retention_ms) == ("b", 3.5, ["a0-in"], 60_000)
    assert [task.id for task in record.tasks] == ["j0-x.a", "j0-x.b"]
    assert set(queues) == {record.tasks[0].queue}
    assert msgspec.json.decode(record.doc, type=Job) == JOB


def test_a_first_plan_whose_tasks_prefer_something_is_left_to_the_planner() -> None:
    record, queues = job_record(Expand((NewTask("a", "noop", prefers=("label:b",)),)))
    assert (record.tasks, queues) == ([], {})


def test_what_is_still_to_come_counts_from_the_first_plan_on() -> None:
    step = Expand((NewTask("a", "noop", weight=1.5),), whole=12.0)
    assert job_record(step)[0].weight == 12.0
    step = msgspec.structs.replace(many(PIECE + 1), whole=400.0)
    assert [piece.whole for piece in tasks.expand_pieces(JOB, 2, step, KIND)] == [400.0, 400.0]


def test_a_first_plan_that_is_too_large_for_one_call_is_left_to_the_planner() -> None:
    fits, _ = job_record(many(PIECE))
    large, queues = job_record(many(PIECE + 1))
    assert len(fits.tasks) == PIECE
    assert (large.tasks, large.outcome_of, large.weight, queues) == ([], "", 0, {})


@pytest.mark.parametrize("step", [Wait(), Complete({}), Fail(ERROR)])
def test_a_first_plan_that_names_no_tasks_is_left_to_the_planner(step: Step) -> None:
    record, queues = job_record(step)
    assert (record.tasks, queues) == ([], {})


def test_a_step_that_no_handler_has_is_found_when_the_job_is_submitted() -> None:
    broken = replace(KIND, handlers={})
    with pytest.raises(InvalidRequest, match="has no step"):
        tasks.job_record(JOB, many(1), broken, key="", waits=[], retention_ms=1)


def test_a_job_just_accepted_is_shown_before_the_store_is_read() -> None:
    view = tasks.fresh_view(JOB, SubmittedJob(JOB.id, created=True), uploading=False)
    assert (view.status, view.progress, view.version, view.name) == (JobStatus.PENDING, 0.0, 1, "clip")
    assert (view.inputs, view.params, view.tenant, view.created_ms) == ((INPUT,), {"echo": "hi"}, "ann", 7_000)
    assert tasks.fresh_view(JOB, SubmittedJob(JOB.id, created=True), uploading=True).status is JobStatus.UPLOADING


def test_a_result_is_kept_as_it_came_with_the_ids_of_its_artifacts() -> None:
    result = TaskResult({"a": 1}, (INPUT, msgspec.structs.replace(INPUT, id="a0-two")))
    text, outputs = tasks.decode_outputs(result)
    assert msgspec.json.decode(text, type=TaskResult) == result
    assert outputs == ["a0-in", "a0-two"]
