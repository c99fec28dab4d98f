"""Batches in the store: an index of their jobs, which goes with them."""

from __future__ import annotations

from tests_support.store_driver import StoreDriver

from mediafleet.domain.lifecycle import JobStatus
from mediafleet.store import Store


async def test_a_batch_has_its_jobs_in_order_and_how_far_they_are(store: Store) -> None:
    driver = StoreDriver(store)
    await driver.join("n0-a-1")
    first = await driver.submit_one("a", batch="b")
    await driver.submit_one("a", batch="other")
    second = await driver.submit_one("a", batch="b")
    (placed,) = await driver.place_all()
    await driver.finish(placed)
    found = await store.read.batch("b")
    assert [(one.job.id, one.pace.status) for one in found] == [
        (first, JobStatus.COMPLETED),
        (second, JobStatus.PENDING),
    ]
    assert found[0].pace.finished_ms is not None
    assert await store.read.job_names([first, "j0-none"]) == {first: ""}


async def test_a_batch_of_very_many_jobs_is_read_in_pieces(store: Store) -> None:
    driver = StoreDriver(store)
    await driver.submit(*(driver.job_record({"a": ()}, batch="b") for _ in range(501)))
    assert len(await store.read.batch("b")) == 501


async def test_a_job_leaves_its_batch_when_it_is_forgotten(store: Store) -> None:
    driver = StoreDriver(store)
    job = await driver.submit_one("a", batch="b")
    await store.cancel(job, cursor=0, sweep=False)
    assert await store.forget(job, inputs=[])
    assert await store.read.batch("b") == []
    assert not [name for name in await driver.key_names() if ":batch:" in name]
