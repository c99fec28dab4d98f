"""Bounds of what is accepted: a submission fits whole, or nothing of it is taken."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests_support.store_driver import StoreDriver, spec
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.store import Store, records
from mediafleet.store.cell_records import Bounds, Coming, Full

NODE = "n0-a-1"
LIVE = spec(priority=PriorityClass.LIVE)


def bounds(everything: int = 0, *, tenant: int = 0, live: int = 0, batch: int = 0) -> Bounds:
    return Bounds(everything, tenant, {"l": live, "i": 0, "b": batch})


@pytest.fixture
def driver(store: Store) -> StoreDriver:
    return StoreDriver(store)


async def test_what_does_not_fit_is_refused_whole_with_how_full_it_is(driver: StoreDriver) -> None:
    await driver.submit_many(3)
    before = await driver.key_names()
    jobs = [driver.job_record({"a": (), "b": ()}) for _ in range(2)]
    refused = await driver.submit(*jobs, bounds=bounds(6))
    assert refused.full == Full("all", open=3, most=6, asked=4)
    assert (refused.jobs, refused.queues) == ([], [])
    assert await driver.key_names() == before, "nothing was written"
    assert (await driver.submit(*jobs, bounds=bounds(7))).full is None


async def test_what_has_ended_makes_room(driver: StoreDriver) -> None:
    await driver.join(NODE)
    await driver.submit_many(2)
    assert (await driver.submit(driver.job_record({"a": ()}), bounds=bounds(2))).full
    (placed,) = await driver.place_all()
    assert (await driver.submit(driver.job_record({"a": ()}), bounds=bounds(2))).full, "what runs counts as well"
    await driver.finish(placed)
    assert (await driver.submit(driver.job_record({"a": ()}), bounds=bounds(2))).full is None


async def test_a_tenant_at_its_bound_leaves_others_alone(driver: StoreDriver) -> None:
    await driver.submit_many(5, tenant="busy")
    limits = bounds(100, tenant=5)
    refused = await driver.submit(driver.job_record({"a": ()}, tenant="busy"), bounds=limits)
    assert refused.full == Full("tenant:busy", open=5, most=5, asked=1)
    assert (await driver.submit(driver.job_record({"a": ()}, tenant="other"), bounds=limits)).full is None


async def test_a_class_at_its_bound_leaves_others_alone(driver: StoreDriver) -> None:
    await driver.submit_many(2)
    refused = await driver.submit(driver.job_record({"a": ()}), bounds=bounds(batch=2))
    assert refused.full == Full("class:b", open=2, most=2, asked=1)
    assert (await driver.submit(driver.job_record({"a": ()}, spec=LIVE), bounds=bounds(batch=2, live=1))).full is None


async def test_one_job_too_many_of_one_tenant_keeps_a_whole_batch_out(driver: StoreDriver) -> None:
    batch = [driver.job_record({"a": ()}, tenant=name) for name in ("one", "two", "two")]
    refused = await driver.submit(*batch, bounds=bounds(tenant=1))
    assert refused.full == Full("tenant:two", open=0, most=1, asked=2)
    assert (await driver.store.read.jobs(status=None, offset=0, limit=5))[1] == 0


async def test_a_repeated_submission_is_answered_however_full_it_is(driver: StoreDriver) -> None:
    first = await driver.submit(driver.job_record({"a": ()}, key="once"))
    again = await driver.submit(driver.job_record({"a": ()}, key="once"), bounds=bounds(1))
    assert (again.full, again.jobs) == (None, [records.SubmittedJob(first.jobs[0].id, created=False)])


async def test_a_key_that_stands_twice_in_one_call_is_one_job_and_counts_once(driver: StoreDriver) -> None:
    twice = [driver.job_record({"a": ()}, key="once") for _ in range(2)]
    submitted = await driver.submit(*twice, bounds=bounds(1))
    assert submitted.full is None
    assert [answer.created for answer in submitted.jobs] == [True, False]
    assert len({answer.id for answer in submitted.jobs}) == 1


async def test_a_job_without_tasks_yet_counts_as_one(driver: StoreDriver) -> None:
    await driver.submit_many(1)
    assert (await driver.submit(driver.job_record({}, outcome_of=""), bounds=bounds(1))).full


async def test_what_a_plan_adds_to_an_accepted_job_is_never_refused(driver: StoreDriver) -> None:
    job = driver.job_record({}, outcome_of="")
    await driver.submit(job, bounds=bounds(1))
    tasks = driver.job_record({"a": (), "b": (), "c": ()}).tasks
    piece = records.ExpandPiece(job.id, 1, "", tasks, last=True, queues=driver.queues)
    assert (await driver.store.expand(piece)).applied
    refused = await driver.submit(driver.job_record({"x": ()}), bounds=bounds(1))
    assert refused.full == Full("all", open=3, most=1, asked=1)


async def test_many_at_once_never_pass_the_bound(driver: StoreDriver) -> None:
    jobs = [driver.job_record({"a": ()}) for _ in range(40)]
    answers = await asyncio.gather(*(driver.submit(job, bounds=bounds(25)) for job in jobs))
    assert sum(answer.full is None for answer in answers) == 25


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["x", "y"]), st.booleans(), st.integers(1, 3)), min_size=1, max_size=4),
        max_size=8,
    ),
    st.integers(0, 9),
    st.integers(0, 6),
    st.integers(0, 6),
)
async def test_a_plain_count_agrees_with_the_script(
    store: Store, calls: list[list[tuple[str, bool, int]]], most: int, of_tenant: int, of_live: int
) -> None:
    driver = StoreDriver(store)
    for key in await driver.key_names():
        await driver.redis.delete(key)
    count: dict[str, int] = {}
    limits = {"all": most, "class:l": of_live, "tenant:x": of_tenant, "tenant:y": of_tenant}
    for call in calls:
        wanted = dict(count)
        for tenant, is_live, size in call:
            for field in ("all", f"tenant:{tenant}", *(["class:l"] if is_live else [])):
                wanted[field] = wanted.get(field, 0) + size
        added = {field for field in wanted if wanted[field] != count.get(field, 0)}
        fits = all(not limits[field] or wanted[field] <= limits[field] for field in added)
        records_ = [
            driver.job_record({f"t{n}": () for n in range(size)}, tenant=tenant, **({"spec": LIVE} if is_live else {}))
            for tenant, is_live, size in call
        ]
        answer = await driver.submit(*records_, bounds=bounds(most, tenant=of_tenant, live=of_live))
        assert (answer.full is None) == fits
        count = wanted if fits else count


async def test_room_that_a_call_keeps_is_nobody_elses_until_it_is_used_or_given_up(driver: StoreDriver) -> None:
    store, limits = driver.store, bounds(10, tenant=8)
    assert await store.keep_room(limits, Coming("one", {"bdefault": 4, "-default": 2}, 60_000)) is None
    assert await store.keep_room(limits, Coming("two", {"bdefault": 3}, 60_000)) == Full("tenant:default", 6, 8, 3)
    assert await store.keep_room(limits, Coming("two", {"lother": 4}, 60_000)) is None
    refused = await driver.submit(driver.job_record({"a": ()}), bounds=limits)
    assert refused.full == Full("all", open=10, most=10, asked=1)
    # Its own pieces are not asked again, and what they bring is counted once.
    piece = [driver.job_record({"a": ()}) for _ in range(4)]
    submitted = await store.submit(piece, driver.queues, limits, Coming("one", {"-default": 2}, 60_000))
    assert len(submitted.jobs) == 4
    assert (await driver.submit(driver.job_record({"a": ()}), bounds=limits)).full == refused.full
    await store.submit([driver.job_record({})], driver.queues, limits, Coming("one", {}, 60_000))
    assert (await driver.submit(driver.job_record({"a": ()}), bounds=limits)).full is None, "one brought less"
    await store.give_up_room("two")
    assert not await driver.redis.exists(store.keys.coming)


async def test_room_is_free_again_when_its_call_does_not_come(driver: StoreDriver, virtual_time: VirtualTime) -> None:
    """As after an instance that died: what it had not stored then is asked for anew, and may be refused."""
    store, limits = driver.store, bounds(3)
    driver.store._now = virtual_time
    assert await store.keep_room(limits, Coming("dead", {"bdefault": 3}, 1_000)) is None
    assert 0 < await driver.redis.pttl(store.keys.coming) <= 1_000
    virtual_time.advance(1_000)
    await driver.submit_many(1)
    late = [driver.job_record({"a": ()})]
    refused = await store.submit(late, driver.queues, limits, Coming("dead", {"bdefault": 2}, 1_000))
    assert refused.full == Full("all", open=1, most=3, asked=3)
    assert await store.keep_room(limits, Coming("next", {"bdefault": 2}, 1_000)) is None
    assert await driver.redis.hkeys(store.keys.coming) == [b"next"]
