"""What operators see of an instance: numbers that are fresh and cheap, and log levels that reach all instances."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from running_instances import Instances, answer, ended, given, join, submit, until
from scheduler_parts import NODE, Parts
from tests_support.store_driver import DEFAULT_QUEUE, LEASE_MS
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.errors import InvalidRequest, StoreUnavailable
from mediafleet.domain.frames import Heartbeat
from mediafleet.domain.insight import FleetGauges, KindTally
from mediafleet.ops.log_levels import apply_levels, forget_levels
from mediafleet.scheduler import insight as insights
from mediafleet.scheduler import placer
from mediafleet.scheduler.insight import Insight
from mediafleet.store import Store


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """Leave the loggers of the process as they were."""
    yield
    apply_levels({})
    forget_levels()


@pytest.fixture
def insight(parts: Parts) -> Insight:
    return Insight("i-1", [parts.store], parts.metrics)


class Looks:
    """Counts how often the store is looked at, and may keep it from answering."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.is_away = False
        self._look = store.read.gauges
        monkeypatch.setattr(store.read, "gauges", self)

    async def __call__(self) -> FleetGauges:
        self.count += 1
        if self.is_away:
            raise StoreUnavailable("The store does not answer.")
        return await self._look()


@pytest.fixture
def looks(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(parts.store, monkeypatch)


async def test_what_waits_is_read_when_somebody_looks(parts: Parts, insight: Insight) -> None:
    await parts.driver.submit_one("a", "b")
    text = (await insight.render()).decode()
    assert f'mediafleet_queued_tasks{{class="{DEFAULT_QUEUE.priority}"}} 2.0' in text
    assert "mediafleet_store_up 1.0" in text


async def test_one_look_serves_all_who_ask_within_a_second(
    insight: Insight, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await insight.render()
        await insight.metrics()
        await insight.stats()
    assert looks.count == 1
    monkeypatch.setattr(insights, "monotonic", lambda: insight._looked_s + insight._fresh_s)
    await insight.render()
    assert looks.count == 2


async def test_a_look_that_took_long_serves_for_longer(insight: Insight, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 103.0])
    monkeypatch.setattr(insights, "monotonic", lambda: next(times, 103.0))
    await insight.render()
    assert insight._fresh_s == 60


async def test_metrics_are_there_while_the_store_is_away(insight: Insight, looks: Looks) -> None:
    await insight.render()
    looks.is_away, insight._fresh_s = True, 0
    text = (await insight.render()).decode()
    assert "mediafleet_store_up 0.0" in text
    assert "mediafleet_nodes{" not in text
    assert "mediafleet_tasks_placed_total" in text
    assert "mediafleet_tasks_placed_total" in {view.name for view in await insight.metrics()}
    looks.is_away = False
    assert b"mediafleet_store_up 1.0" in await insight.render()


async def test_a_store_that_does_not_answer_holds_up_no_collector(
    insight: Insight, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is stopped takes requests and says nothing."""

    async def never() -> FleetGauges:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(looks, "_look", never)
    monkeypatch.setattr(insights, "PATIENCE_S", 0.01)
    assert b"mediafleet_store_up 0.0" in await insight.render()
    assert b"mediafleet_store_up 0.0" in await insight.render()
    assert looks.count == 2


async def test_slots_of_nodes_that_are_off_are_no_room(
    parts: Parts, insight: Insight, virtual_time: VirtualTime
) -> None:
    await parts.link(slots=2)
    assert (await insight.stats())["slots"]["total"] == 2
    # In ticks, as a reaper looks: after a gap it would give everybody time.
    for _ in range(0, 2 * LEASE_MS, 500):
        await parts.driver.reap()
        virtual_time.advance(500)
    stats = await insight.stats()
    assert (stats["nodes"], stats["slots"]["total"]) == ({"offline": 1}, 0)


async def test_the_summary_has_what_it_had_and_what_is_new(parts: Parts, insight: Insight) -> None:
    await parts.link(slots=2)
    await parts.driver.submit_one("a")
    parts.metrics.note_runs({"noop": KindTally(4, 1, 800)})
    parts.metrics.note_outcomes(NODE, done=3, failed=1)
    stats = await insight.stats()
    assert stats["slots"] == {"total": 2, "used": 0}
    assert stats["nodes"] == {"ready": 1}
    assert stats["queued_tasks"] == 1
    assert stats["queues"][DEFAULT_QUEUE.priority]["tasks"] == 1
    assert stats["bounds"]["all"] == {"open": 1, "most": 1_000_000}
    assert stats["bounds"]["tenant"] == {"open": 1, "most": 200_000, "fullest": "default"}
    assert stats["bounds"]["class"]["batch"] == {"open": 1, "most": 0}
    assert stats["kinds"]["noop"]["mean_ms"] == 200
    assert stats["node_outcomes"][NODE]["failure_rate"] == 0.25
    assert (stats["dead_letters"], stats["instance"]) == (0, "i-1")


async def test_a_summary_needs_the_store(insight: Insight, looks: Looks) -> None:
    looks.is_away = True
    with pytest.raises(StoreUnavailable):
        await insight.stats()


async def test_the_nodes_that_fail_most_are_named_and_only_a_few(parts: Parts, insight: Insight) -> None:
    for number in range(insights.MOST_FAILING + 5):
        parts.metrics.note_outcomes(f"n0-{number}-1", done=100 - number, failed=number)
    text = (await insight.render()).decode()
    assert text.count("mediafleet_node_failure_rate{") == insights.MOST_FAILING
    assert 'mediafleet_node_failure_rate{node="n0-24-1"} 0.24' in text


async def test_a_pulse_measures_the_loop_and_the_rates(
    parts: Parts, insight: Insight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insights, "PULSE_S", 0.0)
    times = iter([10.0, 10.25, 20.0, 20.0])
    monkeypatch.setattr(insights, "monotonic", lambda: next(times, 30.0))
    await insight.pulse()
    parts.metrics.tasks_placed.inc(39)
    parts.metrics.tasks_finished.labels("done").inc(9.75)
    await insight.pulse()
    stats = await insight.stats()
    assert stats["rates_per_s"]["tasks_placed"] == 4
    assert stats["rates_per_s"]["tasks_finished"] == 1
    assert stats["loop_lag_ms"] == 245
    assert parts.metrics.total("slow_sections") == 1


async def test_a_level_is_in_force_at_once_where_it_was_set(insight: Insight) -> None:
    found = await insight.set_log_level("scheduler.placer", "debug")
    assert found.levels == {placer.__name__: "debug"}
    assert logging.getLogger(placer.__name__).level == logging.DEBUG
    assert (await insight.set_log_level("scheduler.placer", "default")).levels == {}
    assert logging.getLogger(placer.__name__).level == logging.NOTSET


async def test_a_level_that_is_refused_changes_nothing(insight: Insight, store: Store) -> None:
    for module, level in (("scheduler.nothing", "debug"), ("scheduler", "loud")):
        with pytest.raises(InvalidRequest):
            await insight.set_log_level(module, level)
    assert await store.read.log_levels() == {}


async def test_a_level_reaches_every_instance(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insights, "LEVELS_S", 0.0)
    await parts.store.set_log_level(placer.__name__, "debug")
    other = Insight("i-2", [parts.store], parts.metrics)
    await other.follow_levels()
    assert logging.getLogger(placer.__name__).level == logging.DEBUG
    await parts.store.set_log_level(placer.__name__, "")
    await other.follow_levels()
    assert logging.getLogger(placer.__name__).level == logging.NOTSET


async def test_an_instance_counts_the_whole_way_of_a_task(instances: Instances) -> None:
    async with instances.run() as fleet:
        link = await join(fleet)
        job = await submit(fleet)
        await answer(fleet, link, await given(link))
        await ended(fleet, job)
        await fleet.receive(link, Heartbeat(ran={"noop": KindTally(1, 0, 40)}))

        async def is_counted() -> bool:
            return (await fleet.stats())["kinds"].get("noop", {}).get("mean_ms") == 40

        await until(is_counted)
        values: dict[str, Any] = {view.name: view.values for view in await fleet.insight.metrics()}
    assert values["mediafleet_tasks_placed_total"][0].value == 1
    assert values["mediafleet_task_runs_total"][0].labels["kind"] == "noop"
    assert values["mediafleet_dispatch_latency_seconds"][0].count == 1
    assert {value.labels["section"] for value in values["mediafleet_section_seconds"]} >= {"place", "settle"}
