"""The life of a task through the real scripts."""

from __future__ import annotations

from tests_support.store_driver import StoreDriver

from mediafleet.domain.lifecycle import JobStatus
from mediafleet.store import Store


async def test_a_job_is_placed_acknowledged_and_completed_with_its_result(store: Store) -> None:
    driver = StoreDriver(store)
    await driver.join("n0-a-1", slots=2)
    job = await driver.submit_one("noop")
    placed = await driver.place_all()
    assert [task.job for task in placed] == [job]
    await driver.ack(placed[0])
    view = await store.read.job(job)
    assert view is not None
    assert view.status is JobStatus.PROCESSING
    assert await driver.finish(placed[0], '{"result":{"x":1}}') == ["accepted"]
    view = await store.read.job(job)
    assert view is not None
    assert (view.status, view.result, view.progress) == (JobStatus.COMPLETED, {"x": 1}, 1.0)
    assert await driver.used("n0-a-1/cpu") == 0
