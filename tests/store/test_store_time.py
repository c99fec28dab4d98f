"""What ends by itself, and what an outage must not end."""

from __future__ import annotations

import msgspec
from tests_support.clockwork import TICK_MS, Clockwork
from tests_support.store_driver import LEASE_MS, PLACE_RULES, RESERVE_MS, RETENTION_MS, RULES, spec

from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.node import NodeState
from mediafleet.store import Store, records

NODE = "n0-a-1"


async def test_a_reservation_that_nobody_confirms_ends(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    job = await clockwork.driver.submit_one("noop")
    await clockwork.driver.place_all()
    await clockwork.pass_ms(RESERVE_MS + TICK_MS)
    assert await clockwork.state(job) == (TaskState.NEW, 1, 0)
    assert await clockwork.driver.used(f"{NODE}/cpu") == 0
    assert len(await clockwork.driver.place_all()) == 1


async def test_a_reservation_that_another_result_made_needless_gives_its_slots_back_in_its_time(
    clockwork: Clockwork,
) -> None:
    """The node may never have got it, and then has nothing to say of it; and it may be silent for long."""
    await clockwork.driver.join(NODE)
    await clockwork.driver.submit_one("noop")
    (lost,) = await clockwork.driver.place_all()
    await clockwork.pass_ms(RESERVE_MS + TICK_MS)
    (again,) = await clockwork.driver.place_all()
    # The first was given to a node after all, which has done it.
    assert await clockwork.driver.finish(lost) == ["accepted"]
    assert await clockwork.driver.used(again.executor) == 1, "it may be on its way"
    await clockwork.pass_ms(RESERVE_MS + TICK_MS)
    assert await clockwork.driver.used(again.executor) == 0


async def test_a_silent_node_loses_its_work_and_its_place(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    job = await clockwork.driver.submit_one("noop")
    (placed,) = await clockwork.driver.place_all()
    await clockwork.driver.ack(placed)
    await clockwork.pass_ms(LEASE_MS + TICK_MS)
    assert await clockwork.state(job) == (TaskState.NEW, 1, 0)
    node = await clockwork.store.read.node(NODE)
    assert node is not None
    assert node.state is NodeState.OFFLINE
    assert await clockwork.driver.place_all() == []


async def test_heartbeats_keep_a_node(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    job = await clockwork.driver.submit_one("noop")
    (placed,) = await clockwork.driver.place_all()
    await clockwork.driver.ack(placed)
    running = (AttemptRef(placed.task, placed.grant),)
    for _ in range(5):
        await clockwork.pass_ms(LEASE_MS // 2)
        report = records.NodeReport(NODE, clockwork.driver.epochs[NODE], "{}", running)
        renewed = await clockwork.store.renew([report], lease_ms=LEASE_MS)
        assert (renewed.unknown, renewed.stops) == ([], [])
    assert (await clockwork.state(job))[0] is TaskState.ACKED


async def heartbeats(clockwork: Clockwork, ms: int, *running: AttemptRef) -> list[records.Reaped]:
    """Let time pass while the node reports these attempts, and nothing else."""
    ticks: list[records.Reaped] = []
    for _ in range(0, ms, LEASE_MS // 3):
        report = records.NodeReport(NODE, clockwork.driver.epochs[NODE], "{}", running)
        await clockwork.store.renew([report], lease_ms=LEASE_MS)
        ticks += await clockwork.pass_ms(LEASE_MS // 3)
    return ticks


async def test_all_that_work_left_out_of_reports_held_is_given_back(clockwork: Clockwork) -> None:
    """Slots of several sizes, the counts of its tenant and of batch, and the executor's place in both indexes."""
    driver, keys = clockwork.driver, clockwork.store.keys
    await driver.join(NODE, slots=3, live_reserve=1)
    ((pool, _),) = (await clockwork.store.read.pool_set())[1].items()
    wide, rules = spec(slots=2), msgspec.structs.replace(PLACE_RULES, tenants={"studio": records.TenantShare(1.0, 2)})
    await driver.submit_one("a", "b", spec=wide, tenant="studio")
    ((placed,),) = [(await driver.place(wide, rules=rules)).assignments]
    assert await driver.redis.hget(keys.executor_grants(placed.executor), placed.grant) == (
        f"2|b|studio|{placed.task}".encode()
    )
    await driver.ack(placed)
    assert (await driver.place(wide, rules=rules)).assignments == [], "the tenant is at its cap"
    ticks = await heartbeats(clockwork, LEASE_MS * 2)
    assert {name for tick in ticks for name in tick.freed.pools} == {pool}
    assert {queue for tick in ticks for queue in tick.queues} == {wide.id}
    assert sum(tick.expired.get("idle", 0) for tick in ticks if isinstance(tick.expired, dict)) == 1
    assert await driver.used(placed.executor) == 0
    assert await driver.redis.zscore(keys.pool_batch(pool), placed.executor) == 1
    assert not await driver.redis.exists(f"{keys.tag}running")
    assert len((await driver.place(wide, rules=rules)).assignments) == 1


async def test_work_that_a_living_node_does_not_speak_of_is_given_to_another(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    job = await clockwork.driver.submit_one("noop")
    (placed,) = await clockwork.driver.place_all()
    await clockwork.driver.ack(placed)
    await heartbeats(clockwork, LEASE_MS * 2)
    assert await clockwork.state(job) == (TaskState.NEW, 1, 0)
    assert await clockwork.driver.used(f"{NODE}/cpu") == 0
    assert await clockwork.driver.finish(placed) == ["accepted"], "a result that was under way still counts"


async def test_work_left_out_of_one_report_goes_on(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    job = await clockwork.driver.submit_one("noop")
    (placed,) = await clockwork.driver.place_all()
    await clockwork.driver.ack(placed)
    await heartbeats(clockwork, LEASE_MS // 3)
    await heartbeats(clockwork, LEASE_MS * 2, AttemptRef(placed.task, placed.grant))
    assert await clockwork.state(job) == (TaskState.ACKED, 1, 0)


async def test_an_attempt_that_a_node_announces_again_has_a_whole_lease_to_be_reported(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    job = await clockwork.driver.submit_one("noop")
    (placed,) = await clockwork.driver.place_all()
    await clockwork.driver.ack(placed)
    await heartbeats(clockwork, LEASE_MS // 3 * 2)
    admitted = await clockwork.driver.join(NODE, announced=(AttemptRef(placed.task, placed.grant),))
    assert len(admitted.keep) == 1
    await clockwork.pass_ms(LEASE_MS // 3 * 2)
    assert await clockwork.state(job) == (TaskState.ACKED, 1, 0)


async def test_an_attempt_that_has_ended_is_not_counted_as_lost(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    await clockwork.driver.submit_one("noop")
    (placed,) = await clockwork.driver.place_all()
    await clockwork.driver.ack(placed)
    await heartbeats(clockwork, LEASE_MS // 3)
    await clockwork.driver.finish(placed)
    ticks = await clockwork.pass_ms(LEASE_MS * 2)
    assert not any("idle" in (tick.expired or {}) for tick in ticks)


async def test_slots_of_cancelled_work_that_a_node_never_confirms_come_back(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    job = await clockwork.driver.submit_one("noop")
    (placed,) = await clockwork.driver.place_all()
    await clockwork.driver.ack(placed)
    assert len((await clockwork.store.cancel(job, cursor=0, sweep=False)).stops) == 1
    assert await clockwork.driver.used(f"{NODE}/cpu") == 1
    ticks = await heartbeats(clockwork, LEASE_MS * 2)
    assert await clockwork.driver.used(f"{NODE}/cpu") == 0
    assert len({name for tick in ticks for name in tick.freed.pools}) == 1, "those who wait for slots are told"


async def test_a_reservation_left_out_of_a_report_has_its_own_end(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    await clockwork.driver.submit_one("noop")
    (placed,) = await clockwork.driver.place_all()
    report = records.NodeReport(NODE, clockwork.driver.epochs[NODE], "{}", ())
    await clockwork.store.renew([report], lease_ms=LEASE_MS)
    await clockwork.driver.ack(placed)
    await heartbeats(clockwork, LEASE_MS, AttemptRef(placed.task, placed.grant))
    assert await clockwork.driver.used(f"{NODE}/cpu") == 1


async def test_a_heartbeat_on_an_old_link_and_of_foreign_work_is_answered(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    foreign = (AttemptRef("j0-none.noop", "g"),)
    report = records.NodeReport(NODE, clockwork.driver.epochs[NODE], "{}", foreign)
    assert len((await clockwork.store.renew([report], lease_ms=LEASE_MS)).stops) == 1
    old = records.NodeReport(NODE, clockwork.driver.epochs[NODE] - 1, "{}", ())
    assert (await clockwork.store.renew([old], lease_ms=LEASE_MS)).unknown == [NODE]


async def test_nothing_expires_after_an_outage_until_nodes_had_time_to_come_back(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    job = await clockwork.driver.submit_one("noop")
    (placed,) = await clockwork.driver.place_all()
    await clockwork.driver.ack(placed)
    clockwork.time.advance(10 * LEASE_MS)
    assert (await clockwork.driver.reap()).grace
    ticks = await clockwork.pass_ms(LEASE_MS - TICK_MS)
    assert all(tick.grace for tick in ticks)
    assert (await clockwork.state(job))[0] is TaskState.ACKED
    await clockwork.pass_ms(2 * TICK_MS)
    assert (await clockwork.state(job))[0] is TaskState.NEW


async def test_an_attempt_past_its_limit_is_stopped_and_spends_a_try(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    job = await clockwork.driver.submit_one("noop", total_ms=2_000)
    (placed,) = await clockwork.driver.place_all()
    await clockwork.driver.ack(placed)
    ticks = await clockwork.pass_ms(2_500)
    assert [stop.grant for tick in ticks for stop in tick.stops] == [placed.grant]
    assert await clockwork.state(job) == (TaskState.NEW, 1, 1)
    assert await clockwork.driver.used(f"{NODE}/cpu") == 1, "the node has not confirmed yet"
    assert await clockwork.driver.fail(placed, how="stopped") == "released"
    assert await clockwork.driver.used(f"{NODE}/cpu") == 0


async def test_a_failed_task_waits_out_its_back_off(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE)
    await clockwork.driver.submit_one("noop")
    (placed,) = await clockwork.driver.place_all()
    await clockwork.driver.ack(placed)
    await clockwork.driver.fail(placed, delays=[2_000])
    assert await clockwork.driver.place_all() == []
    ticks = await clockwork.pass_ms(2_500)
    assert any(tick.queues for tick in ticks)
    assert len(await clockwork.driver.place_all()) == 1


async def test_a_finished_job_leaves_no_key_behind(clockwork: Clockwork) -> None:
    driver, store = clockwork.driver, clockwork.store
    await driver.join(NODE)
    await store.open_artifact("a0-in", doc="{}", state="complete", retention_ms=RETENTION_MS)
    record = driver.job_record({"a": (), "b": ("a",)}, key="once", inputs=["a0-in"])
    job = (await driver.submit(record)).jobs[0].id
    for _ in range(2):
        (placed,) = await driver.place_all()
        await driver.ack(placed)
        await driver.finish(placed)
    await store.unlink(NODE, driver.epochs[NODE], goodbye=True, retention_ms=RETENTION_MS)
    clockwork.time.advance(RETENTION_MS)
    ticks = [await driver.reap()]
    assert job in [name for tick in ticks for name in tick.jobs]
    assert await store.forget(job, inputs=["a0-in"])
    ticks = await clockwork.pass_ms(TICK_MS)
    assert [name for tick in ticks for name in tick.artifacts] == ["a0-in"]
    assert await store.drop_artifact("a0-in", error="{}", unused=True)
    tag = store.keys.tag
    left = {key.removeprefix(tag) for key in await driver.key_names() if await driver.redis.ttl(key) < 0}
    assert left == {"schema", "tick", "events", "pools:version", "waiting:version", "vclock:b"}


async def test_the_reaper_goes_on_when_there_is_more_than_one_call_takes(clockwork: Clockwork) -> None:
    await clockwork.driver.join(NODE, slots=5)
    for _ in range(5):
        await clockwork.driver.submit_one("noop")
    await clockwork.driver.place_all()
    clockwork.time.advance(2_500)
    await clockwork.driver.reap()
    clockwork.time.advance(2_600)
    rules = msgspec.structs.replace(RULES, limit=2)
    assert (await clockwork.store.reap(rules)).more
    while (await clockwork.store.reap(rules)).more:
        pass
    assert await clockwork.driver.used(f"{NODE}/cpu") == 0


async def test_a_job_that_cannot_be_read_is_not_found(store: Store) -> None:
    assert await store.read.job("j0-nothing") is None
    assert await store.read.plan_state("j0-nothing") is None
    assert JobStatus.PENDING in await store.read.count_jobs()
