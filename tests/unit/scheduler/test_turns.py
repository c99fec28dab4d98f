"""Turns among more queues than one placing call can take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_parts import Parts, assigned

from mediafleet.domain.capability import Requirement
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.scheduler.placer import MAX_QUEUES
from mediafleet.scheduler.turns import CLASS_ORDER, LEAST_OF_CLASS, choose_group, in_order
from mediafleet.store.records import Placed, PlaceRequest, PlaceRules, QueueSpec, ResultRecord

LANGUAGES = [f"lang:{letter}{number}" for letter in "abcde" for number in range(5)]
MANY = MAX_QUEUES + 8


def queue(number: int, priority: PriorityClass = PriorityClass.BATCH) -> QueueSpec:
    return QueueSpec(
        Requirement(("kind:noop", LANGUAGES[number % 25]), 1), priority, policy="spread" if number > 24 else "pack"
    )


queues = st.lists(
    st.builds(queue, st.integers(0, 49), st.sampled_from(PriorityClass)), unique=True, min_size=MAX_QUEUES + 1
)


@given(queues, st.data())
def test_a_group_has_some_of_each_class_and_of_a_class_those_who_had_least(
    specs: list[QueueSpec], data: st.DataObject
) -> None:
    tenants = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 5).map(lambda time: time / 2), min_size=1)
    lines = {one.id: data.draw(tenants) for one in specs}
    heads = {name: min(times.values()) for name, times in lines.items()}
    group = choose_group(specs, lines, most=MAX_QUEUES)
    assert group == in_order(group)
    assert len(group) == len(set(group)) == min(len(specs), MAX_QUEUES)
    for name in CLASS_ORDER:
        mine = [one for one in specs if one.priority is name]
        inside = [heads[one.id] for one in mine if one in group]
        outside = [heads[one.id] for one in mine if one not in group]
        assert len(inside) >= min(len(mine), LEAST_OF_CLASS)
        assert not outside or max(inside) <= min(outside)


@pytest.mark.parametrize("time", [0.0, 7.5])
def test_no_tenant_has_so_many_queues_that_another_who_had_as_much_is_left_out(time: float) -> None:
    specs = [queue(number) for number in range(MANY)]
    for few in specs:
        # The large tenant waits in that queue too, and its name comes first.
        lines = {one.id: {"a-large": time} | ({"small": time} if one is few else {}) for one in specs}
        assert few in choose_group(specs, lines, most=MAX_QUEUES)


class Crowd:
    """A node of two slots, and tasks of tenants that wait in queues of their own."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.owners: dict[str, str] = {}

    async def submit(self, queue: QueueSpec, tenant: str, count: int = 1) -> None:
        """Let so many tasks of a tenant wait in a queue."""
        for _ in range(count):
            self.owners[await self.parts.driver.submit_one("only", spec=queue, tenant=tenant)] = tenant

    async def work(self) -> list[str]:
        """Place whatever waits as slots become free, until all is done; return whose tasks got them, in order."""
        link = await self.parts.link(slots=2, capabilities=("kind:noop", *LANGUAGES))
        order: list[str] = []
        while len(order) < len(self.owners):
            _, waiting = await self.parts.store.read.waiting_queues()
            self.parts.placer.ask(waiting)
            await self.parts.placer.step()
            new = assigned(link)[len(order) :]
            assert new, "room and waiting tasks come together"
            order += [self.owners[one.job] for one in new]
            # One slot at a time, so that it is asked anew whose turn it is.
            for one in new:
                await self.parts.store.finish([ResultRecord(one.task, one.grant, "{}", [])])
        return order


@pytest.fixture
def crowd(parts: Parts) -> Crowd:
    return Crowd(parts)


async def test_a_small_tenant_has_its_turn_though_another_waits_in_more_queues_than_a_call_takes(crowd: Crowd) -> None:
    batch = sorted((queue(number) for number in range(MANY)), key=lambda one: one.id)
    for one in batch[:-1]:
        await crowd.submit(one, "large", 3)
    # In the queue that comes last, and after all others came.
    await crowd.submit(batch[-1], "small", 3)
    order = await crowd.work()
    assert [place for place, tenant in enumerate(order, 1) if tenant == "small"][-1] <= 7


async def test_batch_has_its_share_though_more_live_queues_wait_than_a_call_takes(crowd: Crowd) -> None:
    for number in range(MANY):
        await crowd.submit(queue(number, PriorityClass.LIVE), "live", 3)
    await crowd.submit(queue(0), "batch", 2)
    order = await crowd.work()
    places = [place for place, tenant in enumerate(order, 1) if tenant == "batch"]
    every = crowd.parts.placer._rules.batch_every
    assert places == [every, 2 * every]


async def test_queues_that_nothing_waits_in_cost_no_call(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, many = crowd.parts, [queue(number) for number in range(MANY)]
    for one in many:
        await crowd.submit(one, "ann")
    await crowd.work()
    await crowd.submit(many[-1], "ann")
    asked: list[list[str]] = []
    place = parts.store.place

    async def note(request: PlaceRequest, rules: PlaceRules) -> Placed:
        asked.append([turn.id for turn in request.queues])
        return await place(request, rules)

    monkeypatch.setattr(parts.store, "place", note)
    parts.placer.ask([one.id for one in many])
    await parts.placer.step()
    assert asked == [[many[-1].id]]


async def test_a_head_is_what_its_tenant_has_had_in_all_queues(parts: Parts) -> None:
    await parts.driver.join("n0-a-1", capabilities=("kind:noop", *LANGUAGES))
    first, second = queue(0), queue(1)
    for one in (first, second):
        await parts.driver.submit_one("a", "b", spec=one, tenant="ann")
    assert await parts.store.read.queue_heads([first.id, second.id, "b-none"]) == {
        first.id: {"ann": 0.0},
        second.id: {"ann": 0.0},
    }
    await parts.driver.place(first)
    # The score that the tenant has in the second queue is of before.
    assert await parts.store.read.queue_heads([second.id]) == {second.id: {"ann": 1.0}}
