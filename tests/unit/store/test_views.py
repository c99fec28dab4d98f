"""What users and plans see of the stored hashes, field by field."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.capability import Signature
from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import FINAL_TASK_STATES, JobStatus, PriorityClass, TaskState
from mediafleet.domain.node import Executor, NodeState, RunningView
from mediafleet.domain.plan import FinishedTask, TaskResult, TaskSpec
from mediafleet.store import views
from mediafleet.store.records import NodeDocument
from mediafleet.store.scripts import as_text

REF = ArtifactRef("a0-1", "a.mkv")
JOB = Job("j0-1", "0", "studio", "local", "noop", 1, "a", (REF,), {"echo": "x"}, PriorityClass.LIVE, 17)
SPEC = TaskSpec("noop", 1, "encode", "part-1", "studio")
ERROR = ErrorInfo("task-failed", "No.")
RESULT = TaskResult({"frames": 9}, (REF,), ("Subtitles were dropped.",))


def job_hash(**changes: str) -> dict[str, str]:
    """Return a job as `submit` stores it, with changes."""
    return {"doc": as_text(JOB), "status": "pending", "version": "0", "open": "1"} | changes


def task_hash(**changes: str) -> dict[str, str]:
    """Return a task as `submit` stores it, with changes."""
    return {"doc": as_text(SPEC), "state": "NEW"} | changes


def test_a_job_that_was_just_accepted_shows_what_was_submitted_and_nothing_else() -> None:
    view = views.job_view(job_hash())
    assert (view.id, view.kind, view.name, view.tenant, view.created_ms) == ("j0-1", "noop", "a", "studio", 17)
    assert (view.inputs, view.params, view.priority) == ((REF,), {"echo": "x"}, PriorityClass.LIVE)
    assert (view.status, view.progress, view.stage, view.version) == (JobStatus.PENDING, 0.0, "", 0)
    assert (view.result, view.error, view.eta_ms, view.speed, view.started_ms, view.finished_ms) == (None,) * 6
    assert (view.outputs, view.warnings, view.tasks) == ((), (), ())


def test_a_job_that_runs_shows_how_far_it_is() -> None:
    moving = {"status": "processing", "stage": "encoding", "version": "3", "started": "20"}
    view = views.job_view(job_hash(**moving, progress="0.25", speed="1.5", eta_ms="900"))
    assert (view.status, view.stage, view.version, view.started_ms) == (JobStatus.PROCESSING, "encoding", 3, 20)
    assert (view.progress, view.speed, view.eta_ms) == (0.25, 1.5, 900)


def test_a_job_whose_node_fetches_the_source_is_uploading_still() -> None:
    view = views.job_view(job_hash(status="processing", stage="fetching 1 of 10 MB", started="20", eta_ms="900"))
    assert (view.status, view.stage, view.eta_ms) == (JobStatus.UPLOADING, "fetching 1 of 10 MB", 900)
    assert views.job_view(job_hash(status="completed", stage="fetching 1 of 10 MB")).status is JobStatus.COMPLETED


def test_a_completed_job_shows_its_result_in_parts() -> None:
    view = views.job_view(job_hash(status="completed", result=as_text(RESULT), finished="30"))
    assert (view.result, view.outputs, view.warnings) == ({"frames": 9}, (REF,), ("Subtitles were dropped.",))
    assert (view.finished_ms, view.error) == (30, None)


def test_a_failed_job_shows_its_error_and_no_result() -> None:
    view = views.job_view(job_hash(status="failed", error=as_text(ERROR)))
    assert (view.error, view.result) == (ERROR, None)


@pytest.mark.parametrize(("stored", "shown"), [("", 0.0), ("-0.1", 0.0), ("1.0000001", 1.0), ("1", 1.0), ("0.5", 0.5)])
def test_progress_never_leaves_its_range_whatever_rounding_did(stored: str, shown: float) -> None:
    assert views.job_view(job_hash(progress=stored)).progress == shown


@pytest.mark.parametrize("field", ["eta_ms", "started", "finished"])
def test_numbers_that_lua_wrote_as_floats_are_whole(field: str) -> None:
    """Lua has one kind of number, and writes some of them with an exponent."""
    view = views.job_view(job_hash(status="processing", **{field: "1.5e+12"}))
    assert 1_500_000_000_000 in (view.eta_ms, view.started_ms, view.finished_ms)


@pytest.mark.parametrize("status", ["pending", "paused", "completed"])
def test_the_remaining_time_of_what_does_not_run_is_not_told(status: str) -> None:
    assert views.job_view(job_hash(status=status, eta_ms="900")).eta_ms is None


def test_emptied_fields_are_as_good_as_missing_ones() -> None:
    """A retry empties what the last go left."""
    empty = dict.fromkeys(["eta_ms", "speed", "started", "finished", "result", "error", "progress", "stage"], "")
    assert views.job_view(job_hash(**empty)) == views.job_view(job_hash())


def test_tasks_that_were_forgotten_while_the_job_was_read_are_left_out() -> None:
    view = views.job_view(job_hash(), {"j0-1.b": task_hash(), "j0-1.gone": {}, "j0-1.a": task_hash()})
    assert [task.id for task in view.tasks] == ["j0-1.b", "j0-1.a"]


def test_a_waiting_task_shows_no_executor_though_its_last_attempt_had_one() -> None:
    task = views.task_summary("j0-1.a", task_hash(**{"grant": "", "grant:g1": "lost|n0-a/cpu", "attempt": "1"}))
    assert (task.state, task.executor, task.attempt, task.tries) == (TaskState.NEW, "", 1, 0)


def test_a_placed_task_shows_the_executor_of_its_current_attempt() -> None:
    grants = {"grant": "g2", "grant:g1": "revoked|n0-a/cpu", "grant:g2": "running|n0-b/gpu0"}
    task = views.task_summary("j0-1.a", task_hash(state="ACKED", attempt="2", tries="1", **grants))
    assert (task.executor, task.attempt, task.tries) == ("n0-b/gpu0", 2, 1)


def test_a_grant_that_is_not_recorded_shows_no_executor() -> None:
    assert views.task_summary("j0-1.a", task_hash(grant="g1")).executor == ""


def test_a_failed_task_shows_why() -> None:
    assert views.task_summary("j0-1.a", task_hash(state="FAILED", error=as_text(ERROR))).error == ERROR


def test_a_plan_gets_the_step_and_the_result_of_a_task_that_is_done() -> None:
    done = views.finished_task(task_hash(state="DONE", result=as_text(RESULT)))
    assert done == FinishedTask("part-1", "encode", TaskState.DONE, {"frames": 9}, RESULT.outputs, RESULT.warnings)


def test_a_plan_gets_the_error_of_a_task_that_failed() -> None:
    failed = views.finished_task(task_hash(state="FAILED", error=as_text(ERROR)))
    assert failed == FinishedTask("part-1", "encode", TaskState.FAILED, error=ERROR)


def test_a_plan_does_not_see_the_error_of_a_try_before_the_one_that_succeeded() -> None:
    assert views.finished_task(task_hash(state="DONE", result=as_text(RESULT), error=as_text(ERROR))).error is None


@given(st.lists(st.sampled_from(TaskState)))
def test_a_plan_is_called_with_exactly_the_tasks_that_are_final(states: list[TaskState]) -> None:
    stored = {f"j0-1.t{position}": task_hash(state=state.value) for position, state in enumerate(states)}
    state = views.plan_state(job_hash(version="7", open="2", status="processing"), stored)
    assert [task.state for task in state.finished] == [state for state in states if state in FINAL_TASK_STATES]
    assert (state.job, state.version, state.open, state.status) == (JOB, 7, 2, JobStatus.PROCESSING)


def waiting(state: str, name: str, *parents: str) -> tuple[str, dict[str, str]]:
    """Return the id of a task of the job, and the task, which waits for these; `after` is only there if it does."""
    after = {"after": " ".join(f"j0-1.{parent}" for parent in parents)} if parents else {}
    return f"j0-1.{name}", task_hash(state=state, **after)


def test_a_task_below_one_that_failed_cannot_run_however_far_down() -> None:
    stored = dict([waiting("NEW", "c", "b"), waiting("FAILED", "a"), waiting("NEW", "b", "a"), waiting("NEW", "free")])
    state = views.plan_state(job_hash(version="1", open="3", status="processing"), stored)
    assert (state.runnable, state.names) == (1, {"a", "b", "c", "free"})


def test_a_task_whose_parents_are_done_or_under_way_can_run() -> None:
    stored = dict([waiting("DONE", "a"), waiting("ACKED", "b", "a"), waiting("NEW", "c", "a", "b")])
    assert views.plan_state(job_hash(version="1", open="2", status="processing"), stored).runnable == 2


def executor_hash(**changes: str) -> dict[str, str]:
    """Return an executor as `register` stores it, with changes."""
    executor = Executor("gpu0", 4, ("hw:cuda",))
    return {"doc": as_text(executor), "pool": "p1", "slots": "4"} | changes


def test_an_executor_shows_what_holds_its_slots() -> None:
    grants = {"g1": "2|b|studio|j0-1.a", "g2": "1|l|default|j0-2.part-1"}
    view = views.executor_view("n0-a/gpu0", executor_hash(used="3"), grants)
    assert (view.id, view.name, view.pool, view.slots, view.used) == ("n0-a/gpu0", "gpu0", "p1", 4, 3)
    assert view.capabilities == ("hw:cuda",)
    assert view.running == (RunningView("j0-1.a", "j0-1", 2), RunningView("j0-2.part-1", "j0-2", 1))


@pytest.mark.parametrize("used", [{}, {"used": ""}, {"used": "0"}])
def test_an_executor_that_never_ran_anything_is_free(used: dict[str, str]) -> None:
    view = views.executor_view("n0-a/gpu0", executor_hash(**used), {})
    assert (view.used, view.running) == (0, ())


def node_hash(**changes: str) -> dict[str, str]:
    """Return a node as `register` stores it, with changes."""
    document = NodeDocument("studio-b", "0.1.0", {"cores": 8}, "push")
    return {"doc": as_text(document), "state": "ready", "registered": "5", "seen": "9"} | changes


def test_a_node_shows_its_machine_and_when_it_was_seen() -> None:
    node = views.node_view("n0-a", node_hash(), [])
    assert (node.id, node.host, node.version, node.state) == ("n0-a", "studio-b", "0.1.0", NodeState.READY)
    assert (node.registered_ms, node.seen_ms, node.executors, node.link) == (5, 9, (), "push")
    assert node.facts == {"cores": 8}


def test_a_node_shows_the_load_of_its_last_heartbeat() -> None:
    assert views.node_view("n0-a", node_hash(load='{"cpu":0.5}'), []).load == {"cpu": 0.5}
    assert views.node_view("n0-a", node_hash(), []).load == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "ready", "pressed": ""}, "^$"),
        ({"state": "warmup"}, "finding out"),
        ({"state": "degraded", "pressed": "disk 99 % in use", "ailing": "a fan"}, "disk 99 % in use; a fan"),
        ({"state": "draining", "drained": "1"}, "An operator"),
        ({"state": "draining", "leaving": "1"}, "The node itself"),
        ({"state": "unlinked"}, "link"),
        ({"state": "offline"}, "gone"),
    ],
)
def test_a_node_says_why_it_takes_no_new_work(changes: dict[str, str], words: str) -> None:
    assert re.search(words, views.node_view("n0-a", node_hash(**changes), []).reason)


@given(st.lists(st.integers(0, 8)))
def test_what_is_free_in_a_pool_and_what_is_used_add_up_to_its_slots(used: list[int]) -> None:
    members = [(b"n0-a/cpu", float(slots)) for slots in used]
    pool = views.pool_view("p1", Signature(("lang:en",), 8), members)
    assert (pool.pool, pool.capabilities, pool.slots, pool.executors) == ("p1", ("lang:en",), 8, len(used))
    assert pool.free + sum(used) == 8 * len(used)


def test_a_hash_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    later = msgspec.json.decode(as_text(JOB))
    later["invented_later"] = 1
    view = views.job_view(job_hash(doc=msgspec.json.encode(later).decode(), mood="sunny"))
    assert view == views.job_view(job_hash())
