"""What nodes say is counted once a batch, and told of in lines that say whose it was, dropped frames included."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from recording_link import RecordingLink
from scheduler_parts import NODE, Parts, assigned, refs
from structlog.testing import capture_logs
from tests_support.store_driver import DEFAULT_QUEUE

from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.frames import (
    AttemptRef,
    Heartbeat,
    JobAck,
    JobProgress,
    JobReject,
    JobResults,
    Outcome,
    Progress,
)
from mediafleet.domain.ids import job_of
from mediafleet.domain.insight import KindTally
from mediafleet.domain.plan import TaskResult
from mediafleet.ops import traces
from mediafleet.scheduler import placer, settler
from mediafleet.store.records import Finished, ResultRecord

BROKEN = ErrorInfo("task-failed", "It failed.", retryable=True)
UNREADABLE = ErrorInfo("unreadable-media", "The file is no media.")


def labelled(parts: Parts, name: str, **labels: str) -> float:
    return parts.metrics.registry.get_sample_value(f"mediafleet_{name}", labels) or 0.0


async def given_one(parts: Parts) -> tuple[RecordingLink, AttemptRef]:
    """Return a node and the attempt that it was given."""
    link = await parts.link()
    await parts.driver.submit_one("only")
    await parts.placer.sweep()
    await parts.placer.step()
    return link, refs(link)[-1]


async def test_a_retry_and_a_dead_letter_are_counted_with_their_node(parts: Parts) -> None:
    link, ref = await given_one(parts)
    await parts.say(NODE, JobAck((ref,)), JobResults((Outcome(ref.task, ref.grant, error=BROKEN),)))
    assert (parts.counted("retries"), labelled(parts, "dead_letters_total", reason="failed")) == (1, 0)
    assert parts.metrics.by_node.worst(5, now_s=0) == {NODE: 1.0}
    for _ in range(2):
        await parts.driver.reap()
    assert assigned(link)


async def test_an_error_that_no_retry_can_help_makes_a_dead_letter(parts: Parts) -> None:
    _, ref = await given_one(parts)
    with capture_logs() as lines:
        await parts.say(NODE, JobAck((ref,)), JobResults((Outcome(ref.task, ref.grant, error=UNREADABLE),)))
    assert (parts.counted("retries"), labelled(parts, "dead_letters_total", reason="failed")) == (0, 1)
    (line,) = [line for line in lines if line["event"] == "attempt ended without a result"]
    assert (line["task"], line["job"], line["verdict"]) == (ref.task, ref.task.partition(".")[0], "failed")
    assert (line["node"], line["reason"], line["grant"]) == (NODE, "unreadable-media", ref.grant)


async def test_many_results_are_written_in_pieces_and_each_is_counted_once(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script of hundreds of results would hold up whatever else is asked of the store."""
    monkeypatch.setattr(settler, "PIECE_RESULTS", 2)
    link = await parts.link(slots=5)
    await parts.driver.submit_one("a", "b", "c", "d", "e")
    await parts.placer.sweep()
    await parts.placer.step()
    sizes: list[int] = []
    finish = parts.store.finish

    async def note(results: Sequence[ResultRecord]) -> Finished:
        sizes.append(len(results))
        return await finish(results)

    monkeypatch.setattr(parts.store, "finish", note)
    done = tuple(Outcome(ref.task, ref.grant, result=TaskResult()) for ref in refs(link))
    await parts.say(NODE, JobResults(done))
    assert sizes == [2, 2, 1]
    assert labelled(parts, "tasks_finished_total", outcome="done") == 5
    assert await parts.driver.used(f"{NODE}/cpu") == 0


@given_any(st.lists(st.integers(0, 9)), st.integers(1, 12))
def test_pieces_hold_everything_once_in_order_and_are_no_larger_than_they_may(sizes: list[int], most: int) -> None:
    pieces = list(settler.in_pieces(sizes, most, size=lambda one: one))
    assert [one for piece in pieces for one in piece] == sizes
    assert all(piece and (sum(piece) <= most or len(piece) == 1) for piece in pieces)


async def test_whatever_comes_in_large_frames_is_written_in_pieces(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settler, "PIECE_FAILURES", 2)
    monkeypatch.setattr(settler, "PIECE_ATTEMPTS", 2)
    link = await parts.link(slots=5)
    await parts.driver.submit_one("a", "b", "c", "d", "e")
    await parts.placer.sweep()
    await parts.placer.step()
    sizes: dict[str, list[int]] = {}

    def note(name: str) -> None:
        write = getattr(parts.store, name)

        async def noted(items: Any, **more: Any) -> Any:
            attempts = (ref for one in items for ref in getattr(one, "attempts", (one,)))
            sizes.setdefault(name, []).append(len(list(attempts)))
            return await write(items, **more)

        monkeypatch.setattr(parts.store, name, noted)

    for name in ("commit", "report", "fail"):
        note(name)
    given = tuple(refs(link))
    await parts.say(NODE, JobAck(given), JobProgress(tuple(Progress(ref.task, ref.grant, 0.5) for ref in given)))
    await parts.say(NODE, JobResults(tuple(Outcome(ref.task, ref.grant, error=UNREADABLE) for ref in given)))
    assert sizes == {"commit": [2, 2, 1], "report": [2, 2, 1], "fail": [2, 2, 1]}
    assert await parts.driver.used(f"{NODE}/cpu") == 0


async def test_a_reject_is_told_with_what_the_node_lacks(parts: Parts) -> None:
    _, ref = await given_one(parts)
    with capture_logs() as lines:
        await parts.say(NODE, JobReject(ref.task, ref.grant, "it lacks it", "encoder:av1"))
    (line,) = [line for line in lines if line["event"] == "attempt ended without a result"]
    assert (line["node"], line["reason"], line["verdict"]) == (NODE, "encoder:av1", "lost")


async def test_each_task_is_told_of_once_somebody_wants_the_details(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as lines:
        _, ref = await given_one(parts)
        assert lines == []
        for module in (settler, placer):
            monkeypatch.setattr(module._logger, "level", logging.DEBUG)
            module._logger.manager._clear_cache()
        parts.placer.ask([DEFAULT_QUEUE.id])
        await parts.say(NODE, JobResults((Outcome(ref.task, ref.grant, TaskResult()),)))
        await parts.driver.submit_one("next")
        await parts.placer.sweep()
        await parts.placer.step()
    told = [(line["event"], line["task"].partition(".")[2]) for line in lines]
    assert told == [("result", "only"), ("task placed", "next")]


async def test_a_node_that_was_told_to_stop_is_not_reproached(parts: Parts) -> None:
    _, ref = await given_one(parts)
    await parts.say(NODE, JobResults((Outcome(ref.task, ref.grant, cancelled=True),)))
    assert parts.metrics.by_node.read(now_s=0) == {}


async def test_an_ack_for_what_is_not_the_nodes_is_a_conflict(parts: Parts) -> None:
    await given_one(parts)
    await parts.say(NODE, JobAck((AttemptRef("j0-none.only", "g"),)))
    assert labelled(parts, "reserve_conflicts_total", reason="refused") == 1


async def test_what_heartbeats_tell_of_runs_is_counted_even_of_those_that_a_later_one_replaces(parts: Parts) -> None:
    await parts.link()
    for runs in (2, 1):
        frame = Heartbeat(ran={"noop": KindTally(runs, 0, 500 * runs)})
        parts.settler.take(NODE, parts.driver.epochs[NODE], frame)
    await parts.settler.step()
    assert labelled(parts, "task_runs_total", kind="noop", outcome="done") == 3
    assert labelled(parts, "task_seconds_total", kind="noop") == 1.5


async def test_a_batch_is_one_turn_that_waited_once(parts: Parts) -> None:
    await parts.link()
    for _ in range(3):
        parts.settler.take(NODE, parts.driver.epochs[NODE], Heartbeat())
    await parts.settler.step()
    assert labelled(parts, "section_seconds_count", section="settle") == 1
    assert labelled(parts, "lock_wait_seconds_count", section="settle") == 1


async def test_the_verdict_on_a_traced_outcome_becomes_a_span(parts: Parts) -> None:
    _, ref = await given_one(parts)
    exporter = InMemorySpanExporter()
    traces.start("test", {}, exporter=exporter)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    try:
        await parts.say(NODE, JobResults((Outcome(ref.task, ref.grant, TaskResult(), traceparent=trace),)))
        await parts.say(NODE, JobResults((Outcome(ref.task, ref.grant, TaskResult()),)))
    finally:
        traces.stop()
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert (span.name, span.attributes["mediafleet.verdict"]) == ("accepted", "accepted")


async def test_a_frame_that_the_store_cannot_take_holds_up_no_other(parts: Parts) -> None:
    """The door refuses those that are known; what gets past it costs its sender the frame, and others no pause."""
    _, ref = await given_one(parts)
    await parts.store.redis.set(parts.store.keys.task("bad"), "no hash")
    epoch = parts.driver.epochs[NODE]
    for _ in range(3):
        parts.settler.take(NODE, epoch, JobAck((AttemptRef("bad", "g"),)))
    parts.settler.take(NODE, epoch, JobAck((ref,)))
    with capture_logs() as lines:
        for _ in range(5):
            await parts.settler.step()
    assert (await parts.job(job_of(ref.task))).tasks[0].state == "ACKED"
    told = [line["items"] for line in lines if line["event"] == "what could not be written was dropped"]
    assert told == [1], "not that of every one of a thousand"
