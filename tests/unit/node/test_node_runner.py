"""One attempt from its first step to what its end means, with real workspaces and real children."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import structlog
from node_samples import Shelf, kind_of, runner_for, start_of
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import ErrorInfo, UnreadableMedia
from mediafleet.domain.frames import Outcome, Progress, encode_frame
from mediafleet.domain.plan import TaskResult, TaskSpec
from mediafleet.kinds.registry import KindRegistry
from mediafleet.node.runner import find_missing
from mediafleet.node.state import LARGEST_OUTCOME_BYTES
from mediafleet.ops import traces

if TYPE_CHECKING:
    from pathlib import Path

    from mediafleet.kinds.seam import Handler, TaskContext
    from mediafleet.node.state import Ending


async def run(handler: Handler, folder: Path) -> Ending:
    """Run one attempt, and hold it to leaving nothing behind."""
    ending = await runner_for(folder, kind_of(step=handler)).run(start_of("step"))
    assert list((folder / "work").iterdir()) == []
    return ending


async def fail(handler: Handler, folder: Path) -> ErrorInfo:
    ending = await run(handler, folder)
    assert isinstance(ending, ErrorInfo)
    return ending


# --- what a node can run -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, ""),
        ({"kind": "dance"}, "kind:dance"),
        ({"kind_version": 2}, "kind:probe@2"),
        ({"step": "jump"}, "kind:probe/jump"),
        ({"kind_version": 2, "step": "jump"}, "kind:probe@2"),
    ],
)
def test_what_a_node_lacks_for_a_task_is_named(changes: dict[str, Any], missing: str) -> None:
    async def step(_: TaskContext) -> TaskResult:
        return TaskResult()

    spec = msgspec.structs.replace(TaskSpec("probe", 1, "step", "a", "default"), **changes)
    assert find_missing(KindRegistry([kind_of(step=step)]), spec) == missing


@pytest.mark.parametrize(("version", "missing"), [(1, "kind:probe@1"), (2, ""), (3, ""), (4, "kind:probe@4")])
def test_a_node_runs_tasks_of_versions_that_its_own_continues(version: int, missing: str) -> None:
    async def step(_: TaskContext) -> TaskResult:
        return TaskResult()

    kind = replace(kind_of(step=step), version=3, continues=(2,))
    assert find_missing(KindRegistry([kind]), TaskSpec("probe", version, "step", "a", "default")) == missing


# --- how an attempt ends -------------------------------------------------------------------


async def test_an_attempt_works_in_a_folder_that_names_it(tmp_path: Path) -> None:
    async def step(context: TaskContext) -> TaskResult:
        (context.workspace / "scratch").mkdir()
        return TaskResult({"folder": context.workspace.name})

    ending = await run(step, tmp_path)
    assert isinstance(ending, TaskResult)
    assert ending.result["folder"].startswith("j0-x-g1-1-")


async def test_an_error_of_ours_is_passed_on_as_it_is(tmp_path: Path) -> None:
    async def step(_: TaskContext) -> TaskResult:
        raise UnreadableMedia("It is no video.", detail="moov atom not found")

    assert await fail(step, tmp_path) == ErrorInfo("unreadable-media", "It is no video.", detail="moov atom not found")


async def test_a_long_error_keeps_its_first_words_and_the_end_of_its_detail(tmp_path: Path) -> None:
    async def step(_: TaskContext) -> TaskResult:
        raise UnreadableMedia("first" + "x" * 5_000, detail="x" * 5_000 + "last")

    error = await fail(step, tmp_path)
    assert (len(error.message), len(error.detail)) == (4_000, 4_000)
    assert error.message.startswith("first")
    assert error.detail.endswith("last")


@pytest.mark.parametrize("fault", [ZeroDivisionError("nought"), SystemExit(3)])
async def test_a_fault_of_a_handler_is_tried_again_and_says_where_it_was(fault: BaseException, tmp_path: Path) -> None:
    async def step(_: TaskContext) -> TaskResult:
        raise fault

    error = await fail(step, tmp_path)
    assert error.message == f"The step 'step' of the kind 'probe' failed unexpectedly ({type(fault).__name__})."
    assert error.retryable
    assert "raise fault" in error.detail


async def test_a_handler_that_returns_no_result_is_said_to_be_faulty(tmp_path: Path) -> None:
    async def step(_: TaskContext) -> Any:
        return {"frames": 7}

    error = await fail(step, tmp_path)
    assert "returned no TaskResult: the kind is faulty" in error.message
    assert not error.retryable


@pytest.mark.parametrize("excess", [0, 1])
async def test_a_result_may_be_as_large_as_a_frame_has_room_for(excess: int, tmp_path: Path) -> None:
    given = start_of("step").assignment
    empty = len(encode_frame(Outcome(given.task, given.grant, result=TaskResult({"x": ""}))))

    async def step(_: TaskContext) -> TaskResult:
        return TaskResult({"x": "y" * (LARGEST_OUTCOME_BYTES - empty + excess)})

    ending = await run(step, tmp_path)
    assert isinstance(ending, ErrorInfo if excess else TaskResult)
    assert not excess or "1,048,577 bytes as JSON, more than 1,048,576" in str(ending)


async def test_a_cancelled_attempt_ends_without_a_word_and_without_its_child(tmp_path: Path) -> None:
    pids: list[int] = []
    ready = asyncio.Event()

    async def step(context: TaskContext) -> TaskResult:
        child = await context.start_process(["sleep", "1000"])
        pids.append(child.pid)
        ready.set()
        await child.wait()
        return TaskResult()

    running = asyncio.create_task(run(step, tmp_path))
    await ready.wait()
    running.cancel()
    assert await running is None
    with pytest.raises(ProcessLookupError):
        os.killpg(pids[0], 0)


async def test_a_result_that_a_handler_saved_from_its_cancel_counts(tmp_path: Path) -> None:
    ready = asyncio.Event()

    async def step(_: TaskContext) -> TaskResult:
        ready.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return TaskResult({"saved": True})
        raise AssertionError

    running = asyncio.create_task(run(step, tmp_path))
    await ready.wait()
    running.cancel()
    assert await running == TaskResult({"saved": True})


# --- what a handler may use ----------------------------------------------------------------


async def test_a_handler_fetches_into_its_workspace_and_publishes_under_its_grant(tmp_path: Path) -> None:
    shelf = Shelf()

    async def step(context: TaskContext) -> TaskResult:
        path = await context.fetch(ArtifactRef("a0-in", "in.mkv"))
        assert path == context.workspace / "in.mkv"
        return TaskResult(outputs=(await context.publish(path, name="out.mkv"),))

    ending = await runner_for(tmp_path, kind_of(step=step), shelf).run(start_of("step", "g7"))
    assert ending == TaskResult(outputs=(ArtifactRef("a0-g7", "out.mkv", size=5),))
    assert shelf.stored == [("out.mkv", "g7")]


async def test_a_handler_may_fetch_parts_and_what_came_is_shown(tmp_path: Path) -> None:
    asked: list[Any] = []

    class Slow(Shelf):
        async def resolve(self, ref: ArtifactRef, workspace: Path, /, **options: Any) -> Path:
            asked.append(options["ranges"])
            for fetched in (0, 1_000_000, 1_999_999, 2_500_000):
                options["on_progress"](fetched, 2_500_000)
            return await super().resolve(ref, workspace)

    async def step(context: TaskContext) -> TaskResult:
        context.report(0.5)
        await context.fetch(ArtifactRef("a0-in", "in.mkv"), ranges=[(0, 10)])
        return TaskResult()

    runner = runner_for(tmp_path, kind_of(step=step), Slow())
    noted: list[str] = []
    note = runner.board.note

    def look(update: Progress) -> None:
        noted.append(update.stage)
        note(update)

    runner.board.note = look
    await runner.run(start_of("step", "g7"))
    assert asked == [[(0, 10)]]
    assert noted[1:] == ["fetching 0 of 3 MB", *["fetching 1 of 3 MB"] * 2, "fetching 2 of 3 MB"]
    assert (await runner.board.next_frame()).updates[0].fraction == 0.5


@pytest.mark.parametrize(
    ("share", "cores"), [(Fraction(1), 8), (Fraction(3, 4), 6), (Fraction(1, 3), 2), (Fraction(1, 20), 1)]
)
async def test_a_task_is_told_its_share_of_the_cores(
    share: Fraction, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def step(context: TaskContext) -> TaskResult:
        return TaskResult({"cores": context.cores})

    monkeypatch.setattr("mediafleet.node.runner.count_cores", lambda: 8)
    start = replace(start_of("step"), share=share)
    assert await runner_for(tmp_path, kind_of(step=step)).run(start) == TaskResult({"cores": cores})


async def test_a_child_runs_in_the_workspace_unless_the_handler_says_where(tmp_path: Path) -> None:
    async def step(context: TaskContext) -> TaskResult:
        here = await context.start_process(["pwd"])
        there = await context.start_process(["pwd"], cwd=tmp_path)
        assert await here.read_line() == f"{context.workspace}\n".encode()
        return TaskResult({"there": (await there.read_line()).decode()})

    assert await run(step, tmp_path) == TaskResult({"there": f"{tmp_path}\n"})


async def test_progress_is_noted_under_the_attempt(tmp_path: Path) -> None:
    async def step(context: TaskContext) -> TaskResult:
        context.report(0.25, stage="encoding", speed=2.0, eta_ms=30)
        return TaskResult()

    runner = runner_for(tmp_path, kind_of(step=step))
    await runner.run(start_of("step"))
    assert (await runner.board.next_frame()).updates == (Progress("j0-x.g1", "g1", 0.25, "encoding", 2.0, 30),)


async def test_two_attempts_of_one_task_share_no_folder(tmp_path: Path) -> None:
    folders: list[Path] = []
    both = asyncio.Barrier(2)

    async def step(context: TaskContext) -> TaskResult:
        folders.append(context.workspace)
        await both.wait()
        return TaskResult()

    runner, start = runner_for(tmp_path, kind_of(step=step)), start_of("step")
    again = replace(start, assignment=msgspec.structs.replace(start.assignment, grant="g2"))
    await asyncio.gather(runner.run(start), runner.run(again))
    assert len(set(folders)) == 2


# --- what is told of it --------------------------------------------------------------------


async def test_whatever_is_logged_during_an_attempt_says_which_one_it_is(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    async def step(_: TaskContext) -> TaskResult:
        seen.append(structlog.contextvars.get_contextvars())
        return TaskResult()

    start = start_of("step")
    task = asyncio.create_task(runner_for(tmp_path, kind_of(step=step)).run(start))
    await task
    given = start.assignment
    expected = {"job": given.job, "task": given.task, "attempt": given.attempt, "executor": given.executor}
    assert seen == [{**structlog.contextvars.get_contextvars(), **expected}]
    assert "attempt" not in structlog.contextvars.get_contextvars()


async def test_an_attempt_of_a_traced_task_is_a_span_that_says_how_it_ended(tmp_path: Path) -> None:
    async def good(_: TaskContext) -> TaskResult:
        return TaskResult()

    async def bad(_: TaskContext) -> TaskResult:
        raise UnreadableMedia("It is no media.")

    exporter = InMemorySpanExporter()
    traces.start("test", {}, exporter=exporter)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    try:
        for name in ("good", "bad"):
            start = start_of(name)
            traced = replace(start, spec=msgspec.structs.replace(start.spec, traceparent=trace))
            await runner_for(tmp_path, kind_of(good=good, bad=bad)).run(traced)
    finally:
        traces.stop()
    assert [(span.name, span.status.description) for span in exporter.get_finished_spans()] == [
        ("run", None),
        ("run", "It is no media."),
    ]
