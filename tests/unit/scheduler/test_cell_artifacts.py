"""Artifacts of a fleet of two cells: used by jobs of either, gone when neither knows them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cells_of_a_fleet import CELLS, FILM, Cells, announce, ended, in_cell, join, read, send
from running_instances import given, until

from mediafleet.domain.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
)
from mediafleet.domain.ids import cell_of
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.scheduler.cells import CellFleet
from mediafleet.scheduler.facade import OpenUpload
from mediafleet.scheduler.retention import GONE
from mediafleet.store import Store
from mediafleet.store.scripts import as_text


@pytest.fixture
async def fleet(cells: Cells) -> AsyncIterator[CellFleet]:
    async with cells.run() as fleet:
        yield fleet


# --- artifacts -----------------------------------------------------------------------------


async def test_job_uses_an_upload_of_another_cell_and_keeps_it(cells: Cells, fleet: CellFleet) -> None:
    artifact = await announce(fleet, "0")
    await send(fleet, artifact)
    job = await in_cell(fleet, "1", kind="files", input=f"artifact:{artifact}")
    assert job.status is JobStatus.PENDING
    # Nobody uses it in its own cell: its record there goes, the bytes stay with that of the job's cell.
    assert await fleet._cells["0"]._reaper._retention.drop_artifact(artifact, error=GONE, unused=True)
    assert await read(fleet, artifact) == FILM
    again = await in_cell(fleet, "0", kind="files", input=f"artifact:{artifact}")
    for one in (job, again):
        await fleet.cancel(one.id)
        await _forget(fleet, one.id)
    await until(lambda: _is_gone(cells, fleet, artifact))


async def _forget(fleet: CellFleet, job: str) -> None:
    await fleet.cell(job, "j")._reaper._retention.forget_job(job)


async def _is_gone(cells: Cells, fleet: CellFleet, artifact: str) -> bool:
    known = await cells.stores[0].read.artifacts([artifact])
    return not known and not cells.blobs.local_path(artifact).exists()


@pytest.mark.parametrize("home", CELLS)
async def test_job_of_another_cell_waits_for_an_upload_and_goes_on_with_it(fleet: CellFleet, home: str) -> None:
    other = CELLS[1 - CELLS.index(home)]
    link = await join(fleet, other)
    artifact = await announce(fleet, home)
    jobs = [await in_cell(fleet, cell, kind="files", input=f"artifact:{artifact}") for cell in CELLS]
    assert [job.status for job in jobs] == [JobStatus.UPLOADING] * 2
    left = await fleet.find_upload(artifact)
    assert left == OpenUpload(artifact, 0, len(FILM))
    await send(fleet, artifact)
    assert [(await fleet.job(job.id)).status for job in jobs] == [JobStatus.PENDING] * 2
    # Placed at once, and not by the backstop, which looks once a minute here.
    assert (await given(link)).task.startswith(next(job.id for job in jobs if cell_of(job.id) == other))


async def test_upload_that_was_completed_without_a_word_to_another_cell_is_found_complete(fleet: CellFleet) -> None:
    """An instance may die between the two: what would end the upload in the other cell ends the wait for it."""
    artifact = await announce(fleet, "0")
    job = await in_cell(fleet, "1", kind="files", input=f"artifact:{artifact}")
    assert job.status is JobStatus.UPLOADING
    known = (await fleet._stores["0"].read.own_artifacts([artifact]))[artifact]
    await Store.complete_artifact(fleet._stores["0"], artifact, doc=as_text(known))
    assert (await fleet.job(job.id)).status is JobStatus.UPLOADING
    assert not await fleet._stores["1"].drop_artifact(artifact, error="{}", unused=True)
    assert (await fleet.job(job.id)).status is JobStatus.PENDING


async def test_copy_that_was_made_as_its_upload_was_given_up_is_no_artifact(
    fleet: CellFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the other cell and the making of the copy, the last record there goes."""
    artifact = await announce(fleet, "0")
    await send(fleet, artifact)
    home, borrower = fleet._stores["0"], fleet._stores["1"]
    borrow = borrower.borrow_artifact

    async def slowly(name: str, **record: Any) -> bool:
        assert await Store.drop_artifact(home, name, error="{}", unused=True)
        return await borrow(name, **record)

    monkeypatch.setattr(borrower, "borrow_artifact", slowly)
    with pytest.raises(NotFound):
        await in_cell(fleet, "1", kind="files", input=f"artifact:{artifact}")
    assert await borrower.read.own_artifacts([artifact]) == {}


async def test_upload_that_is_completed_while_it_is_borrowed_is_complete_in_both_cells(
    fleet: CellFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = await announce(fleet, "0")
    borrower = fleet._stores["1"]
    borrow = borrower.borrow_artifact

    async def slowly(name: str, **record: Any) -> bool:
        await send(fleet, name)
        return await borrow(name, **record)

    monkeypatch.setattr(borrower, "borrow_artifact", slowly)
    job = await in_cell(fleet, "1", kind="files", input=f"artifact:{artifact}")
    assert (await fleet.job(job.id)).status is JobStatus.PENDING


async def test_upload_that_nobody_goes_on_with_ends_the_jobs_of_all_cells(fleet: CellFleet) -> None:
    artifact = await announce(fleet, "0")
    jobs = [await in_cell(fleet, cell, kind="files", input=f"artifact:{artifact}") for cell in CELLS]
    await fleet.discard_upload(artifact)
    for job in jobs:
        assert (await ended(fleet, job.id)).status is JobStatus.FAILED
    with pytest.raises(NotFound):
        await fleet.find_upload(artifact)


async def test_upload_of_a_cancelled_job_goes_unless_another_cell_waits_for_it(fleet: CellFleet) -> None:
    artifact = await announce(fleet, "0")
    jobs = [await in_cell(fleet, cell, kind="files", input=f"artifact:{artifact}") for cell in CELLS]
    await fleet.cancel(jobs[0].id)
    assert await fleet.find_upload(artifact)
    await fleet.cancel(jobs[1].id)
    with pytest.raises(NotFound):
        await fleet.find_upload(artifact)


async def test_artifact_that_a_job_of_another_cell_uses_cannot_be_discarded(fleet: CellFleet) -> None:
    artifact = await announce(fleet, "0")
    await send(fleet, artifact)
    await in_cell(fleet, "1", kind="files", input=f"artifact:{artifact}")
    with pytest.raises(Conflict, match="belongs to a job"):
        await fleet.discard_upload(artifact)
    free = await announce(fleet, "1")
    await send(fleet, free)
    await fleet.discard_upload(free)
    with pytest.raises(NotFound):
        await fleet.open_artifact(free)


async def test_artifact_that_is_in_no_cell_is_missing(fleet: CellFleet) -> None:
    for name in ("a0-none", "a1-none", "a9-none", "nonsense"):
        with pytest.raises(NotFound):
            await fleet.open_artifact(name)
    with pytest.raises(NotFound):
        await in_cell(fleet, "1", kind="files", input="artifact:a0-none")


async def test_what_an_attempt_makes_belongs_to_the_cell_of_its_job(fleet: CellFleet) -> None:
    for cell in CELLS:
        link = await join(fleet, cell)
        await in_cell(fleet, cell)
        ref = await given(link)
        assert cell_of(await announce(fleet, "", grant=ref.grant)) == cell
    with pytest.raises(InvalidRequest, match="grant"):
        await announce(fleet, "", grant="7.x")


async def test_sweeper_of_one_cell_leaves_what_others_know(cells: Cells, fleet: CellFleet) -> None:
    artifact = await announce(fleet, "0")
    await send(fleet, artifact)
    await in_cell(fleet, "1", kind="files", input=f"artifact:{artifact}")
    await fleet._cells["0"]._reaper._retention.drop_artifact(artifact, error=GONE, unused=True)
    for scheduler in fleet.schedulers:
        scheduler._sweeper._keep_ms = -60_000
        assert await scheduler._sweeper.sweep() == 0
    assert cells.blobs.local_path(artifact).exists()
