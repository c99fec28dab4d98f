"""What nodes say of themselves is written in rounds, once each, and off the path of results."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from recording_link import RecordingLink
from scheduler_parts import NODE, Parts, assigned
from tests_support.store_driver import LEASE_MS, spec

from mediafleet.domain.errors import CapabilityMissing, ErrorInfo, InvalidRequest, StoreUnavailable
from mediafleet.domain.frames import Heartbeat, JobReject, JobResults, Misc, Outcome
from mediafleet.domain.node import Executor, NodeState, NodeView
from mediafleet.ops.settings import SchedulerSettings
from mediafleet.scheduler.standing import MOST_WAITING, StandingDesk, merge, settle_rules
from mediafleet.store import Store
from mediafleet.store.connection import connect
from mediafleet.store.health import NodeChange
from mediafleet.store.keys import Keys

ASR = ("asr:vosk", "kind:asr", "kind:noop")


class Desk:
    """An instance with a desk, and one node."""

    def __init__(self, parts: Parts, **settings: Any) -> None:
        self.parts = parts
        self.settings = SchedulerSettings(**settings)
        self.desk = StandingDesk(parts.store, parts.links, parts.placer, self.settings)
        parts.settler._rules = settle_rules(self.settings, self.desk)

    async def view(self) -> NodeView:
        found = await self.parts.store.read.node(NODE)
        assert found
        return found

    async def give(self, link: RecordingLink, *, count: int = 1) -> list[JobReject]:
        """Give the node tasks that need speech recognition; return its refusals."""
        queue = spec("asr:vosk")
        for _ in range(count):
            await self.parts.driver.submit_one("run", spec=queue)
        self.parts.placer.ask([queue.id])
        await self.parts.placer.step()
        return [JobReject(one.task, one.grant, "no model", "asr:vosk") for one in assigned(link)]


async def test_a_refusal_for_want_of_a_capability_moves_the_executor(parts: Parts) -> None:
    desk = Desk(parts)
    link = await parts.link(capabilities=ASR)
    (refusal,) = await desk.give(link)
    await parts.say(NODE, refusal)
    assert (await desk.view()).executors[0].withheld == (), "not in the batch of results"
    await desk.desk.write()
    (entry,) = (await desk.view()).executors[0].withheld
    assert (entry.capability, entry.reason) == ("asr:vosk", "no model")
    assert [pool.capabilities for pool in await parts.store.read.pools()] == [("kind:asr", "kind:noop")]


async def test_a_handler_that_finds_its_engine_missing_does_the_same(parts: Parts) -> None:
    desk = Desk(parts)
    link = await parts.link(capabilities=ASR)
    (refusal,) = await desk.give(link)
    error = CapabilityMissing("asr:vosk").info()
    await parts.say(NODE, JobResults((Outcome(refusal.task, refusal.grant, error=error),)))
    await desk.desk.write()
    assert [one.capability for one in (await desk.view()).executors[0].withheld] == ["asr:vosk"]
    view = await parts.store.read.job(refusal.task.partition(".")[0])
    assert view
    assert view.tasks[0].tries == 0


async def test_a_flood_of_refusals_is_one_step(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(parts)
    link = await parts.link(capabilities=ASR, slots=40)
    refusals = await desk.give(link, count=40)
    await parts.say(NODE, *refusals)
    calls: list[int] = []
    withhold = parts.store.withhold

    async def count(reports: Any, **rules: int) -> Any:
        calls.append(len(reports))
        return await withhold(reports, **rules)

    monkeypatch.setattr(parts.store, "withhold", count)
    await desk.desk.write()
    assert calls == [40]
    (entry,) = (await desk.view()).executors[0].withheld
    assert entry.times == 1


@pytest.mark.parametrize("missing", ["", "kind:noop@9", "what?"])
async def test_other_refusals_withhold_nothing(parts: Parts, missing: str) -> None:
    desk = Desk(parts)
    desk.desk.note_refusal(NODE, JobReject("t", "g", "no slot", missing))
    desk.desk.note_refusal(NODE, Outcome("t", "g", error=ErrorInfo("task-failed", "It failed.", retryable=True)))
    desk.desk.note_refusal(NODE, Outcome("t", "g", cancelled=True))
    assert not desk.desk._wake.is_set()


async def test_a_node_that_rejects_without_end_does_not_fill_the_memory(parts: Parts) -> None:
    desk = Desk(parts)
    for number in range(MOST_WAITING + 5):
        desk.desk.note_refusal(NODE, JobReject("t", f"g{number}", "x" * 10_000, "asr:vosk"))
    assert len(desk.desk._missing) == MOST_WAITING
    assert len(next(iter(desk.desk._missing.values())).reason) <= 200


async def test_what_was_not_written_because_the_store_was_away_is_written_later(parts: Parts, tmp_path: Path) -> None:
    desk = Desk(parts)
    link = await parts.link(capabilities=ASR)
    (refusal,) = await desk.give(link)
    await parts.say(NODE, refusal)
    desk.desk.note_change(NODE, parts.driver.epochs[NODE], Misc("state", {"state": "degraded", "reason": "a fan"}))
    client: Any = connect(f"unix://{tmp_path}/none.sock", prefix="test")
    desk.desk._store = Store(client, Keys("test", "0"))
    with pytest.raises(StoreUnavailable):
        await desk.desk.write()
    await client.aclose()
    desk.desk._store = parts.store
    async with asyncio.timeout(20):
        await desk.desk.step()
    view = await desk.view()
    assert (view.state, len(view.executors[0].withheld)) == (NodeState.DEGRADED, 1)


async def test_the_newest_list_of_a_node_counts(parts: Parts) -> None:
    desk = Desk(parts)
    await parts.link(capabilities=ASR)
    for names in (("kind:a",), ("kind:b",), ("kind:c",)):
        frame = Misc("executors", executors=(Executor("cpu", 2, names),))
        desk.desk.note_change(NODE, parts.driver.epochs[NODE], frame)
    await desk.desk.write()
    assert [one.capabilities for one in (await desk.view()).executors] == [("kind:c",)]


async def test_a_warm_up_ends_with_what_the_node_found(parts: Parts) -> None:
    desk = Desk(parts)
    await parts.link(capabilities=(), warming=True)
    found = Misc("state", {"state": "Ready", "facts": {"ffmpeg": "9.0", "none": []}}, (Executor("cpu", 2, ASR),))
    desk.desk.note_change(NODE, parts.driver.epochs[NODE], found)
    await desk.desk.write()
    view = await desk.view()
    assert (view.state, view.facts) == (NodeState.READY, {"ffmpeg": "9.0", "none": []})
    assert (view.host, view.version) == ("host", "0")


@pytest.mark.parametrize("word", ["", "warmup", "offline", "unavailable", "draining", "happy"])
async def test_a_node_may_say_only_what_it_can_know_of_itself(parts: Parts, word: str) -> None:
    desk = Desk(parts)
    with pytest.raises(InvalidRequest, match="ready or degraded"):
        desk.desk.note_change(NODE, 1, Misc("state", {"state": word}))


async def test_a_list_that_cannot_be_is_refused(parts: Parts) -> None:
    desk = Desk(parts)
    with pytest.raises(InvalidRequest, match="not a capability"):
        desk.desk.note_change(NODE, 1, Misc("executors", executors=(Executor("cpu", 2, ('a"b',)),)))


async def test_a_node_that_turns_out_to_have_no_gpu_is_refused_where_one_is_required(parts: Parts) -> None:
    desk = Desk(parts, require_gpu=True)
    with pytest.raises(InvalidRequest, match="require_gpu"):
        desk.desk.note_change(NODE, 1, Misc("state", {"state": "ready"}, (Executor("cpu", 2, ASR),)))


async def test_a_heartbeat_is_judged_by_the_nodes_own_limits(parts: Parts) -> None:
    desk = Desk(parts)
    link = await parts.link()
    await parts.say(NODE, Heartbeat(load={"disk": 0.9}))
    assert (await desk.view()).state is NodeState.DEGRADED
    linked = parts.links.of_link(link)
    assert linked
    linked.headroom["disk"] = 1
    await parts.say(NODE, Heartbeat(load={"disk": 0.9}))
    assert (await desk.view()).state is NodeState.READY


def test_two_words_of_a_node_come_to_the_newest_of_each() -> None:
    first = NodeChange(NODE, 1, "degraded", "a fan", [], {}, '{"a":1}')
    second = NodeChange(NODE, 1, "", "", [], {"p": "doc"})
    assert merge(first, second) == msgspec.structs.replace(first, pools={})
    assert merge(second, first).reason == "a fan"


def test_the_rules_of_settling_are_those_of_the_settings(parts: Parts) -> None:
    rules = settle_rules(
        SchedulerSettings(node_lease_ms=LEASE_MS, breaker_failures=7, headroom_percent=9), Desk(parts).desk
    )
    assert rules.breaker
    assert (rules.lease_ms, rules.breaker.failures, rules.headroom) == (LEASE_MS, 7, 9)


async def test_a_word_that_cannot_be_written_does_not_keep_others_waiting(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(parts)
    await parts.link()
    reshape = parts.store.reshape

    async def refuse(change: NodeChange) -> Any:
        if change.node != NODE:
            raise ValueError(change.node)
        return await reshape(change)

    monkeypatch.setattr(parts.store, "reshape", refuse)
    for node in ("n0-odd-1", NODE):
        desk.desk.note_change(node, 1, Misc("state", {"state": "degraded"}))
    with pytest.raises(ValueError, match="n0-odd-1"):
        await desk.desk.write()
    await desk.desk.write()
    assert (await desk.view()).state is NodeState.DEGRADED


@pytest.mark.parametrize("fails", [False, True])
async def test_what_waits_is_settled_before_a_node_that_has_changed_is_given_work(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    """A chain that was to go from node to node may go to this one as a whole."""
    done: list[str] = []

    async def settle() -> None:
        done.append("settled")
        if fails:
            raise RuntimeError("a fault")

    desk = StandingDesk(parts.store, parts.links, parts.placer, SchedulerSettings(), settle=settle)
    await parts.link(capabilities=ASR)
    monkeypatch.setattr(parts.placer, "note_executors", lambda: done.append("placed"))
    desk.note_change(NODE, parts.driver.epochs[NODE], Misc("state", {"state": "degraded"}))
    with pytest.raises(RuntimeError) if fails else contextlib.nullcontext():
        await desk.write()
    assert done == ["settled", "placed"]


async def test_a_word_of_a_link_that_was_replaced_settles_nothing(parts: Parts) -> None:
    done: list[str] = []

    async def settle() -> None:
        done.append("settled")

    desk = StandingDesk(parts.store, parts.links, parts.placer, SchedulerSettings(), settle=settle)
    await parts.link(capabilities=ASR)
    desk.note_change(NODE, 99, Misc("state", {"state": "degraded"}))
    await desk.write()
    assert done == []
