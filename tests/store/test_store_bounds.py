"""Bounds of what is accepted: a submission fits whole, or nothing of it is taken."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests_support.store_driver import StoreDriver, spec

from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.store import Store, records
from mediafleet.store.cell_records import Bounds, Full

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
