"""Several instances on one store: a client may talk to any, and none is needed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from recording_link import RecordingLink
from running_instances import NODE, Instances, answer, ended, given, join, submit, until
from tests_support.store_driver import announce

from mediafleet.domain.frames import Drain, JobCancel, JobResults, Outcome, encode_frame
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.node import NodeState
from mediafleet.domain.rules import ClusterView, FleetRules, Lead
from mediafleet.scheduler.loops import end_loops
from mediafleet.scheduler.service import Scheduler
from mediafleet.store.cell_records import Message
from mediafleet.store.inbox import Inbox
from mediafleet.store.scripts import as_text

OTHER = "n0-b-2"


async def cluster(fleet: Scheduler) -> ClusterView:
    """Return what an instance says of all."""
    return msgspec.convert(await fleet.cluster(), ClusterView)


async def until_sent(link: RecordingLink, kind: type[JobCancel | Drain]) -> JobCancel | Drain:
    """Return the first frame of a kind that a node was sent."""

    async def is_sent() -> bool:
        return bool(link.of_type(kind))

    await until(is_sent)
    return link.of_type(kind)[0]


async def kill(fleet: Scheduler) -> None:
    """End the loops of an instance without a word to anybody, and let its presence run out."""
    await end_loops(fleet._loops)
    keys, redis = fleet._store.keys, fleet._store.redis
    await redis.delete(keys.instance(fleet.instance))
    if await redis.get(keys.leader) == fleet.instance.encode():
        await redis.delete(keys.leader)


async def test_a_job_accepted_by_one_instance_runs_on_a_node_of_another(instances: Instances) -> None:
    async with instances.run("i-1") as first, instances.run("i-2") as second:
        link = await join(second)
        job = await submit(first)
        await answer(second, link, await given(link))
        assert (await ended(first, job)).status is JobStatus.COMPLETED


async def test_a_cancel_reaches_the_node_through_the_instance_that_has_its_link(instances: Instances) -> None:
    async with instances.run("i-1") as first, instances.run("i-2") as second:
        link = await join(second)
        job = await submit(first)
        ref = await given(link)
        assert (await first.cancel(job)).status is JobStatus.CANCELLED
        sent = await until_sent(link, JobCancel)
        assert isinstance(sent, JobCancel)
        assert sent.attempts == (ref,)
        await second.receive(link, JobResults((Outcome(ref.task, ref.grant, cancelled=True),)))


async def test_a_drain_reaches_the_node_through_the_instance_that_has_its_link(instances: Instances) -> None:
    async with instances.run("i-1") as first, instances.run("i-2") as second:
        link = await join(second)
        assert (await first.drain(NODE, draining=True)).state is NodeState.DRAINING
        assert await until_sent(link, Drain) == Drain(draining=True)


async def test_a_node_that_moves_to_another_instance_keeps_its_work(instances: Instances) -> None:
    async with instances.run("i-1") as first, instances.run("i-2") as second:
        link = await join(first)
        job = await submit(first)
        ref = await given(link)
        again = await join(second, running=(ref,))
        await first.detach(link)
        await answer(second, again, ref)
        view = await ended(first, job)
        assert (view.status, view.tasks[0].attempt) == (JobStatus.COMPLETED, 1)


async def test_one_instance_leads_and_all_say_which(instances: Instances) -> None:
    async with instances.run("i-1") as first, instances.run("i-2") as second:
        await join(second)
        views = [await cluster(first), await cluster(second)]
        assert views[0] == views[1]
        assert [(found.id, found.leads, found.nodes) for found in views[0].instances] == [
            ("i-1", True, 0),
            ("i-2", False, 1),
        ]


async def test_when_the_leader_ends_another_leads_with_a_higher_epoch(instances: Instances) -> None:
    async with instances.run("i-2") as second:
        async with instances.run("i-1") as first:
            before = await cluster(first)

        async def leads() -> bool:
            return (await cluster(second)).epoch > before.epoch or before.leader == "i-2"

        await until(leads)
        assert (await cluster(second)).leader == "i-2"


async def test_when_the_leader_dies_another_takes_over_its_nodes_and_its_inbox(instances: Instances) -> None:
    async with instances.run("i-1") as first:
        link = await join(first)
        async with instances.run("i-2") as second:
            await kill(first)
            left = Message(NODE, "frame", encode_frame(Drain(draining=True)).decode())
            assert (await second._store.forward([left], instance="i-2")).dead == 1, "nobody lives there"

            async def is_buried() -> bool:
                return "i-1" not in await second._store.read.instances()

            await until(is_buried)
            view = await cluster(second)
            assert (view.leader, [found.id for found in view.instances]) == ("i-2", ["i-2"])
            assert (await second.node(NODE)).state is NodeState.UNLINKED
            again = await join(second)
            job = await submit(second)
            await answer(second, again, await given(again))
            assert (await ended(second, job)).status is JobStatus.COMPLETED
        assert not link.of_type(Drain)


async def test_a_message_left_in_the_inbox_of_a_dead_instance_goes_to_the_nodes_new_one(instances: Instances) -> None:
    async with instances.run("i-2") as second:
        await announce(instances.store, "i-dead")
        inbox = instances.store.keys.inbox("i-dead")
        body = encode_frame(Drain(draining=False))
        await instances.store.redis.xadd(inbox, {"node": NODE, "frame": body, "hops": 0})
        link = await join(second)
        await instances.store.redis.delete(instances.store.keys.instance("i-dead"))
        assert await until_sent(link, Drain) == Drain(draining=False)

        async def is_gone() -> bool:
            return not await instances.store.redis.exists(inbox)

        await until(is_gone)


async def test_the_leaders_settings_are_everybodys_rules(instances: Instances) -> None:
    async with instances.run("i-1", tenants=("studio:3",)) as first, instances.run("i-2") as second:
        assert first._placer._rules.tenants == second._placer._rules.tenants
        assert second._placer._rules.tenants["studio"].weight == 3
        version = (await cluster(second)).config_version
        await kill(first)

        async def follows() -> bool:
            return not second._placer._rules.tenants

        await until(follows)
        assert (await cluster(second)).config_version == version + 1


async def test_the_same_settings_of_a_new_leader_are_no_new_version(instances: Instances) -> None:
    async with instances.run("i-1") as first, instances.run("i-2") as second:
        before = await cluster(second)
        await kill(first)

        async def leads() -> bool:
            return (await cluster(second)).leader == "i-2"

        await until(leads)
        after = await cluster(second)
        assert (after.epoch, after.config_version) == (before.epoch + 1, before.config_version)


async def test_a_leader_writes_its_rules_again_into_a_store_that_went_back_in_time(instances: Instances) -> None:
    """A fail-over, or a cut log, may bring back the rules of an earlier leader, under an epoch that was had before."""
    async with instances.run("i-1", tenants=("studio:3",)) as first:
        earlier = {"doc": as_text(FleetRules(batch_every=7)), "version": "0", "instance": "i-0"}
        client: Any = instances.store.redis
        await client.hset(instances.store.keys.config, mapping=earlier)

        async def leads_again() -> bool:
            found = await cluster(first)
            return found.rules.batch_every != 7 and found.rules.tenants["studio"].weight == 3

        await until(leads_again)
        assert first._placer._rules.tenants["studio"].weight == 3


async def test_each_instance_tells_the_rules_that_it_goes_by(instances: Instances) -> None:
    async with instances.run("i-1", tenants=("studio:3",)), instances.run("i-2") as second:
        told = await second.cluster()
        assert told["follows"] == told["rules"]
        assert told["follows"]["tenants"]["studio"]["weight"] == 3


async def test_a_leader_that_slept_too_long_can_write_nothing(instances: Instances) -> None:
    async with instances.run("i-1") as first:
        slept = await cluster(first)
        await kill(first)
        async with instances.run("i-2") as second:
            assert (await cluster(second)).leader == "i-2"
            written = await instances.store.configure(Lead("i-1", slept.epoch), slept.rules)
            assert not written.accepted
            stolen = await instances.store.configure(Lead("i-1", (await cluster(second)).epoch), slept.rules)
            assert not stolen.accepted, "the right epoch in the wrong hands"


@pytest.mark.parametrize("count", [1, 300])
async def test_an_inbox_is_read_in_order_and_left_empty(instances: Instances, count: int) -> None:
    inbox = Inbox(instances.store, "i-1")
    await announce(instances.store, "i-1")
    async with instances.run("i-2") as second:
        await join(second)
        await instances.store.redis.hset(instances.store.keys.node(NODE), "instance", "i-1")
        bodies = [encode_frame(Drain(draining=bool(number % 2))).decode() for number in range(count)]
        forwarded = await instances.store.forward([Message(NODE, "frame", body) for body in bodies], instance="i-2")
        assert (forwarded.sent, forwarded.mine, forwarded.dead) == (count, [], 0)
        found = await inbox.read(count=1000, block_ms=1)
        assert [message.body for _, message in found] == bodies
        await inbox.acknowledge([position for position, _ in found])
        assert await instances.store.redis.xlen(instances.store.keys.inbox("i-1")) == 0


async def test_instances_that_ended_in_order_leave_nothing_behind(instances: Instances) -> None:
    for number in range(3):
        async with instances.run(f"i-{number}") as fleet:
            await join(fleet)
    async with instances.run("i-last") as last:

        async def are_buried() -> bool:
            return list(await last._store.read.instances()) == ["i-last"]

        await until(are_buried)
        client: Any = instances.store.redis
        assert await client.keys("*inbox:*") in ([], [instances.store.keys.inbox("i-last").encode()])


async def test_what_was_sent_to_an_instance_that_just_ended_in_order_reaches_the_node(instances: Instances) -> None:
    async with instances.run("i-2") as second:
        link = await join(second)
        async with instances.run("i-1"):
            pass
        body = encode_frame(Drain(draining=False))
        client: Any = instances.store.redis
        await client.xadd(instances.store.keys.inbox("i-1"), {"node": NODE, "frame": body, "hops": 0})
        assert await until_sent(link, Drain) == Drain(draining=False)


async def test_a_message_that_nobody_here_can_read_holds_up_no_other(instances: Instances) -> None:
    await announce(instances.store, "i-3")
    async with instances.run("i-1") as first:
        link = await join(first)
        good = encode_frame(Drain(draining=True)).decode()
        bodies = ['{"type":"of-a-newer-version"}', good]
        messages = [Message(NODE, "frame", body) for body in bodies]
        assert (await instances.store.forward(messages, instance="i-3")).sent == 2
        assert await until_sent(link, Drain) == Drain(draining=True)

        async def is_empty() -> bool:
            return await instances.store.redis.xlen(instances.store.keys.inbox("i-1")) == 0

        await until(is_empty)


async def test_an_instance_that_ends_in_order_leaves_no_inbox(instances: Instances) -> None:
    keys = instances.store.keys
    async with instances.run("i-1") as one:
        async with instances.run("i-2"):
            await until(lambda: _exists(instances, keys.inbox("i-2")))

        async def is_gone() -> bool:
            return not await _exists(instances, keys.inbox("i-2"))

        await until(is_gone)
        assert set(await instances.store.read.instances()) == {"i-1"}
        assert (await one.cluster())["leader"] == "i-1"


async def _exists(instances: Instances, key: str) -> bool:
    return bool(await instances.store.redis.exists(key))
