"""Executors that do without something for a while: what they lack, and kinds whose tasks fail on them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests_support.store_driver import LEASE_MS, PLACE_RULES, RULES, StoreDriver, spec
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.capability import Signature
from mediafleet.domain.health import BreakerRules, Cause, Standing, Withheld
from mediafleet.domain.ids import new_token
from mediafleet.domain.plan import TaskSpec
from mediafleet.store import Store, health, records
from mediafleet.store.scripts import as_text

NODE, OTHER = "n0-a-1", "n0-b-2"
EXECUTOR = f"{NODE}/cpu"
SPAN, LONGEST = 1_000, 10_000
BREAKER = BreakerRules(failures=3, cool_ms=SPAN, longest_ms=LONGEST)
ASR = spec("kind:asr", "asr:vosk")


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    """One instance's view of the store."""
    return StoreDriver(store)


async def withheld(driver: StoreDriver, node: str = NODE) -> tuple[Withheld, ...]:
    view = await driver.store.read.node(node)
    assert view
    return view.executors[0].withheld


async def pools(driver: StoreDriver) -> set[tuple[str, ...]]:
    return {pool.capabilities for pool in await driver.store.read.pools()}


async def lack(driver: StoreDriver, placed: records.PlacedTask, capability: str, node: str = NODE) -> int:
    """Have a node say that it lacks something; return how many capabilities left."""
    report = health.MissingReport(node, placed.task, placed.grant, capability, "No model.")
    reply = await driver.store.withhold([report], span_ms=SPAN, longest_ms=LONGEST)
    return len(reply.withheld)


async def place_one(driver: StoreDriver, queue: records.QueueSpec, **job: Any) -> records.PlacedTask:
    await driver.submit_one("run", spec=queue, **job)
    (placed,) = (await driver.place(queue)).assignments
    return placed


async def pass_time(driver: StoreDriver, clock: VirtualTime, ms: int) -> records.Reaped:
    clock.advance(ms)
    return await driver.store.reap(msgspec.structs.replace(RULES, breaker=BREAKER, gap_ms=10**9))


# --- what it lacks -------------------------------------------------------------------------


async def join_asr(driver: StoreDriver, node: str = NODE, **more: Any) -> None:
    await driver.join(node, capabilities=("asr:vosk", "kind:asr", "kind:noop"), **more)


async def test_an_executor_that_lacks_what_it_claimed_moves_to_the_pool_without_it(driver: StoreDriver) -> None:
    await join_asr(driver)
    placed = await place_one(driver, ASR)
    assert await driver.fail(placed, how="lost") == "lost"
    assert await lack(driver, placed, "asr:vosk") == 1
    assert await pools(driver) == {("kind:asr", "kind:noop")}
    assert (await driver.place(ASR)).assignments == []
    await driver.submit_one("other")
    assert [task.executor for task in await driver.place_all()] == [EXECUTOR], "other work it still gets"
    (entry,) = await withheld(driver)
    assert (entry.capability, entry.standing, entry.cause, entry.times) == (
        *("asr:vosk", Standing.OUT, Cause.MISSING, 1),
    )
    assert "No model" in entry.sentence


async def test_the_task_goes_elsewhere_and_no_try_is_spent(driver: StoreDriver) -> None:
    await join_asr(driver)
    await join_asr(driver, OTHER)
    placed = await place_one(driver, ASR)
    first = placed.executor.partition("/")[0]
    await driver.fail(placed, how="lost")
    await lack(driver, placed, "asr:vosk", first)
    (again,) = (await driver.place(ASR)).assignments
    assert again.executor.partition("/")[0] == {NODE: OTHER, OTHER: NODE}[first]
    view = await driver.store.read.job(placed.job)
    assert view
    assert (view.tasks[0].attempt, view.tasks[0].tries) == (2, 0)


async def test_it_is_tried_again_later_and_does_without_for_longer_each_time_in_a_row(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    await join_asr(driver)
    await driver.submit_one("run", spec=ASR)
    spans: list[int] = []
    for _ in range(6):
        (placed,) = (await driver.place(ASR)).assignments
        await driver.fail(placed, how="lost")
        await lack(driver, placed, "asr:vosk")
        (entry,) = await withheld(driver)
        spans.append(entry.until_ms - virtual_time.ms)
        assert (await pass_time(driver, virtual_time, spans[-1] - 1)).freed.pools == []
        assert (await driver.place(ASR)).assignments == []
        # Its lease must not end meanwhile.
        report = records.NodeReport(NODE, driver.epochs[NODE], "{}", ())
        await driver.store.renew([report], lease_ms=LEASE_MS)
        reaped = await pass_time(driver, virtual_time, 1)
        assert reaped.freed.pools == [Signature(("asr:vosk", "kind:asr", "kind:noop"), 1).pool]
    assert spans == [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]


async def test_what_is_not_missed_again_is_forgotten(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await join_asr(driver)
    placed = await place_one(driver, ASR)
    await lack(driver, placed, "asr:vosk")
    await pass_time(driver, virtual_time, SPAN)
    assert [entry.standing for entry in await withheld(driver)] == [Standing.BACK]
    await pass_time(driver, virtual_time, 2 * SPAN)
    assert await withheld(driver) == ()
    assert await driver.redis.exists(driver.store.keys.withheld) == 0


async def test_many_rejects_of_one_executor_count_once(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await join_asr(driver, slots=3)
    for name in ("a", "b", "c"):
        await driver.submit_one(name, spec=ASR)
    placed = (await driver.place(ASR)).assignments
    assert [await lack(driver, one, "asr:vosk") for one in placed] == [1, 0, 0]
    (entry,) = await withheld(driver)
    assert entry.until_ms == virtual_time.ms + SPAN


async def test_a_node_speaks_of_its_own_executors_and_claims_only(driver: StoreDriver) -> None:
    await join_asr(driver)
    await join_asr(driver, OTHER)
    placed = await place_one(driver, ASR)
    stranger = ({NODE, OTHER} - {placed.executor.partition("/")[0]}).pop()
    assert await lack(driver, placed, "asr:vosk", stranger) == 0
    mine = placed.executor.partition("/")[0]
    assert await lack(driver, placed, "tts:es", mine) == 0, "it never claimed it"
    forged = msgspec.structs.replace(placed, grant="made-up")
    assert await lack(driver, forged, "asr:vosk", mine) == 0
    assert len(await pools(driver)) == 1


async def test_running_work_stays_where_it_is_when_the_executor_moves(driver: StoreDriver) -> None:
    await join_asr(driver, slots=2)
    running = await place_one(driver, spec())
    await driver.ack(running)
    placed = await place_one(driver, ASR)
    await driver.fail(placed, how="lost")
    await lack(driver, placed, "asr:vosk")
    assert await driver.used(EXECUTOR) == 1
    assert await driver.finish(running) == ["accepted"]
    assert await driver.used(EXECUTOR) == 0


@pytest.mark.parametrize(("incarnation", "left"), [("the same", 1), ("another", 0)])
async def test_a_reconnect_keeps_what_is_withheld_and_a_new_process_begins_afresh(
    driver: StoreDriver, incarnation: str, left: int
) -> None:
    driver.incarnations[NODE] = "the same"
    await join_asr(driver)
    placed = await place_one(driver, ASR)
    await lack(driver, placed, "asr:vosk")
    driver.incarnations[NODE] = incarnation
    await join_asr(driver)
    assert len(await withheld(driver)) == left
    assert (("kind:asr", "kind:noop") in await pools(driver)) == bool(left)
    assert await driver.redis.scard(driver.store.keys.withheld) == left


async def test_a_nodes_new_list_is_its_newest_word_on_what_it_has(driver: StoreDriver) -> None:
    await join_asr(driver)
    placed = await place_one(driver, ASR)
    await lack(driver, placed, "asr:vosk")
    await driver.change(NODE, ("asr:vosk", "kind:asr", "kind:noop"))
    assert await withheld(driver) == ()
    assert await pools(driver) == {("asr:vosk", "kind:asr", "kind:noop")}


async def test_an_executor_that_is_in_no_pool_comes_back_to_the_right_one(driver: StoreDriver) -> None:
    await join_asr(driver)
    placed = await place_one(driver, ASR)
    await driver.store.drain(NODE, draining=True)
    await lack(driver, placed, "asr:vosk")
    assert await pools(driver) == set(), "what is withheld does not end a drain"
    await driver.store.drain(NODE, draining=False)
    assert await pools(driver) == {("kind:asr", "kind:noop")}


async def test_a_held_executor_that_moves_is_held_no_more(driver: StoreDriver) -> None:
    await join_asr(driver, slots=2)
    placed = await place_one(driver, ASR)
    wide = spec("asr:vosk", slots=2)
    await driver.submit_one("wide", spec=wide)
    for _ in range(2):
        await driver.place(wide, rules=msgspec.structs.replace(PLACE_RULES, hold_after_ms=0))
    assert await driver.redis.exists(driver.store.keys.holds) == 1
    await lack(driver, placed, "asr:vosk")
    assert await driver.redis.exists(driver.store.keys.holds) == 0
    await driver.used(EXECUTOR)


async def test_two_instances_that_say_the_same_at_once_change_one_thing(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    await join_asr(driver)
    placed = await place_one(driver, ASR)
    assert [await lack(driver, placed, "asr:vosk") for _ in range(2)] == [1, 0]
    first = await pass_time(driver, virtual_time, SPAN)
    second = await pass_time(driver, virtual_time, 0)
    assert (first.expired, second.expired) == ({"withheld": 1}, [])


capabilities = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,5}:[A-Za-z0-9_.>@/+-]{1,12}", fullmatch=True), max_size=8)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=capabilities, slots=st.integers(1, 64), reserve=st.integers(0, 64), priority=st.integers(-9, 9))
async def test_a_script_names_a_pool_as_python_does(
    store: Store, names: list[str], slots: int, reserve: int, priority: int
) -> None:
    """Else an executor would not meet those that have the same left."""
    driver, node = StoreDriver(store), f"n0-{new_token()}"
    claimed, left = ("kind:asr", *names), ("none",)
    await driver.join(node, slots=slots, live_reserve=min(reserve, slots), priority=priority, capabilities=claimed)
    for capability in sorted(set(claimed)):
        task, grant = new_token(), new_token()
        await driver.redis.hset(store.keys.task(task), f"grant:{grant}", f"reserved|{node}/cpu")
        report = health.MissingReport(node, task, grant, capability, "")
        await store.withhold([report], span_ms=SPAN, longest_ms=LONGEST)
        left = tuple(sorted(set(claimed) - {one.capability for one in await withheld(driver, node)}))
        expected = Signature(left, slots, min(reserve, slots), priority)
        fields = await driver.redis.hmget(store.keys.executor(f"{node}/cpu"), "pool", "pool_doc")
        assert [field.decode() for field in fields] == [expected.pool, msgspec.json.encode(expected).decode()]
    assert left == ()


# --- the circuit breaker -------------------------------------------------------------------


async def fail_one(driver: StoreDriver, *, retryable: bool = True) -> str:
    """Run one task of a job of its own on the node and have it fail; return the verdict."""
    placed = await place_one(driver, spec(), max_tries=1)
    await driver.ack(placed)
    return await strike(driver, placed, retryable=retryable)


async def strike(driver: StoreDriver, placed: records.PlacedTask, *, retryable: bool = True) -> str:
    record = records.FailureRecord(placed.task, placed.grant, "failed", "{}", retryable, [0])
    return (await driver.store.fail([record], breaker=BREAKER)).verdicts[0]


async def done_one(driver: StoreDriver) -> None:
    placed = await place_one(driver, spec())
    assert await driver.finish(placed) == ["accepted"]


async def open_breaker(driver: StoreDriver, **more: Any) -> None:
    await driver.join(NODE, capabilities=("kind:noop", "kind:other"), **more)
    for _ in range(BREAKER.failures):
        await fail_one(driver)


async def test_a_breaker_takes_the_version_that_failed_and_leaves_the_others(driver: StoreDriver) -> None:
    await driver.join(NODE, capabilities=("kind:noop", "kind:noop@2"))
    doc = as_text(TaskSpec("noop", 2, "noop", "run", "default"))
    for _ in range(BREAKER.failures):
        placed = await place_one(driver, spec("kind:noop@2"), max_tries=1)
        await driver.redis.hset(driver.store.keys.task(placed.task), "doc", doc)
        await driver.ack(placed)
        await strike(driver, placed)
    assert await pools(driver) == {("kind:noop",)}


async def test_failures_in_a_row_take_the_kind_from_the_executor(driver: StoreDriver) -> None:
    await driver.join(NODE, capabilities=("kind:noop", "kind:other"))
    for _ in range(BREAKER.failures - 1):
        await fail_one(driver)
    assert await withheld(driver) == ()
    await fail_one(driver)
    assert await pools(driver) == {("kind:other",)}
    (entry,) = await withheld(driver)
    assert (entry.capability, entry.cause) == ("kind:noop", Cause.FAILURES)
    assert (await place_one(driver, spec("kind:other"))).executor == EXECUTOR


async def test_an_opened_breaker_is_told_once_and_counted_as_long_as_it_is_open(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    async def out() -> dict[Cause, int]:
        return dict((await driver.store.read.gauges()).withheld)

    await driver.join(NODE, capabilities=("kind:noop", "kind:other"))
    told: list[object] = []
    for _ in range(BREAKER.failures):
        placed = await place_one(driver, spec(), max_tries=1)
        await driver.ack(placed)
        record = records.FailureRecord(placed.task, placed.grant, "failed", "{}", retryable=True, delays=[0])
        told.append((await driver.store.fail([record], breaker=BREAKER)).opened)
    assert [one for one in told if one] == [{"kind:noop": 1}]
    assert told[-1] == {"kind:noop": 1}
    assert await out() == {Cause.MISSING: 0, Cause.FAILURES: 1}
    await pass_time(driver, virtual_time, SPAN)
    assert await out() == {Cause.MISSING: 0, Cause.FAILURES: 0}, "it gets a task, which decides"


async def test_what_a_node_lacks_is_counted_by_its_reason(driver: StoreDriver) -> None:
    await join_asr(driver)
    placed = await place_one(driver, ASR)
    assert await lack(driver, placed, "asr:vosk") == 1
    assert (await driver.store.read.gauges()).withheld == {Cause.MISSING: 1, Cause.FAILURES: 0}


async def test_a_success_ends_the_row(driver: StoreDriver) -> None:
    await driver.join(NODE)
    for _ in range(3):
        await fail_one(driver)
        await fail_one(driver)
        await done_one(driver)
    assert await withheld(driver) == ()
    assert await driver.redis.hget(driver.store.keys.executor(EXECUTOR), "health") == b""


async def test_failures_of_one_job_count_once(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.submit_one("a", "b", "c", "d", max_tries=1)
    for _ in range(4):
        (placed,) = await driver.place_all()
        await strike(driver, placed)
    assert await withheld(driver) == ()


async def test_failures_that_no_other_node_could_help_do_not_count(driver: StoreDriver) -> None:
    await driver.join(NODE)
    for _ in range(BREAKER.failures):
        await fail_one(driver, retryable=False)
    assert await withheld(driver) == ()


async def test_a_breaker_can_be_switched_off(driver: StoreDriver) -> None:
    await driver.join(NODE)
    for _ in range(9):
        placed = await place_one(driver, spec(), max_tries=1)
        record = records.FailureRecord(placed.task, placed.grant, "failed", "{}", retryable=True, delays=[0])
        await driver.store.fail([record], breaker=BreakerRules(failures=0))
    assert await withheld(driver) == ()


async def test_after_a_while_one_task_and_only_one_is_tried(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await open_breaker(driver, slots=4)
    for name in ("a", "b", "c"):
        await driver.submit_one(name)
    assert await driver.place_all() == []
    await pass_time(driver, virtual_time, SPAN)
    assert [entry.standing for entry in await withheld(driver)] == [Standing.TRIAL]
    (trial,) = await driver.place_all()
    assert [entry.standing for entry in await withheld(driver)] == [Standing.TRIED]
    assert await pools(driver) == {("kind:other",)}
    assert await driver.used(EXECUTOR) == 1
    assert await driver.finish(trial) == ["accepted"]
    assert await withheld(driver) == ()
    assert len(await driver.place_all()) == 2


async def test_a_task_of_another_kind_is_no_trial(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await open_breaker(driver, slots=2)
    await pass_time(driver, virtual_time, SPAN)
    job = driver.job_record({"run": ()}, spec=spec("kind:other"))
    doc = job.tasks[0].doc.replace('"kind":"noop"', '"kind":"other"')
    task = msgspec.structs.replace(job.tasks[0], doc=doc)
    await driver.submit(msgspec.structs.replace(job, tasks=[task]))
    (placed,) = (await driver.place(spec("kind:other"))).assignments
    assert [entry.standing for entry in await withheld(driver)] == [Standing.TRIAL]
    assert await driver.finish(placed) == ["accepted"]
    assert [entry.standing for entry in await withheld(driver)] == [Standing.TRIAL]


async def test_a_trial_that_fails_opens_it_again_for_longer(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await open_breaker(driver)
    await pass_time(driver, virtual_time, SPAN)
    await fail_one(driver)
    (entry,) = await withheld(driver)
    assert (entry.standing, entry.times, entry.until_ms) == (Standing.OUT, 2, virtual_time.ms + 2 * SPAN)


async def test_what_began_before_it_opened_decides_nothing(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await driver.join(NODE, slots=5)
    older = [await place_one(driver, spec(), max_tries=1) for _ in range(2)]
    for _ in range(BREAKER.failures):
        await fail_one(driver)
    await pass_time(driver, virtual_time, SPAN)
    await strike(driver, older[0])
    assert await driver.finish(older[1]) == ["accepted"]
    assert [(entry.standing, entry.times) for entry in await withheld(driver)] == [(Standing.TRIAL, 1)]


async def test_a_trial_that_ends_without_a_verdict_is_followed_by_another(
    driver: StoreDriver, virtual_time: VirtualTime
) -> None:
    await open_breaker(driver)
    await pass_time(driver, virtual_time, SPAN)
    trial = await place_one(driver, spec())
    await driver.ack(trial)
    await pass_time(driver, virtual_time, SPAN)
    assert [entry.standing for entry in await withheld(driver)] == [Standing.TRIED], "it still runs"
    await driver.fail(trial, how="stopped")
    await pass_time(driver, virtual_time, SPAN)
    assert [entry.standing for entry in await withheld(driver)] == [Standing.TRIAL]
    assert len(await driver.place_all()) == 1


async def test_other_executors_of_the_kind_are_not_touched(driver: StoreDriver) -> None:
    await open_breaker(driver)
    await driver.join(OTHER, capabilities=("kind:noop",))
    assert (await place_one(driver, spec())).executor == f"{OTHER}/cpu"


async def test_time_limits_that_pass_count_as_failures(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await driver.reap()
    # Past the grace that follows the first tick of all.
    virtual_time.advance(LEASE_MS)
    await driver.join(NODE, slots=BREAKER.failures)
    told: list[object] = []
    for _ in range(BREAKER.failures):
        placed = await place_one(driver, spec(), max_tries=1, total_ms=500)
        await driver.ack(placed)
        told.append((await pass_time(driver, virtual_time, 500)).opened)
    assert [entry.cause for entry in await withheld(driver)] == [Cause.FAILURES]
    assert [one for one in told if one] == [{"kind:noop": 1}]


async def test_a_node_that_is_forgotten_leaves_no_trace(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    await open_breaker(driver)
    await driver.store.unlink(NODE, driver.epochs[NODE], goodbye=True, retention_ms=100)
    await pass_time(driver, virtual_time, 100)
    await pass_time(driver, virtual_time, 10**6)
    names = await driver.key_names()
    assert not [name for name in names if name.rpartition("}:")[2].startswith(("executor", "node", "withheld"))]
