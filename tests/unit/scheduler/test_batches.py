"""Batches over one cell and over two."""

from __future__ import annotations

import pytest
from cells_of_a_fleet import Cells, in_cell
from running_instances import Instances, answer, ended, given, join

from mediafleet.domain.cells import cell_names
from mediafleet.domain.errors import InvalidRequest, NotFound
from mediafleet.domain.job import Submission
from mediafleet.domain.lifecycle import JobStatus


async def test_a_batch_tells_how_far_it_is_until_all_of_it_has_ended(instances: Instances) -> None:
    async with instances.run() as fleet:
        accepted = await fleet.submit([Submission("noop", name=name, batch="b") for name in "xy"], principal="ann")
        assert {one.job.batch for one in accepted} == {"b"}
        view = await fleet.batches.show("b", limit=1)
        assert (view.statuses, view.progress, view.eta_ms) == ({JobStatus.PENDING: 2}, 0.0, None)
        assert [job.name for job in view.jobs] == ["x"]
        link = await join(fleet)
        for count, one in enumerate(accepted, 1):
            await answer(fleet, link, await given(link, count=count))
            assert (await ended(fleet, one.job.id)).batch == "b"
        view = await fleet.batches.show("b")
        assert (view.statuses, view.progress) == ({JobStatus.COMPLETED: 2}, 1.0)
        assert view.finished_ms is not None
        with pytest.raises(NotFound, match="no batch"):
            await fleet.batches.show("none")
        with pytest.raises(InvalidRequest, match="is no batch"):
            await fleet.submit([Submission("noop", batch="a b")], principal="ann")


async def test_a_batch_may_lie_in_several_cells(cells: Cells) -> None:
    async with cells.run() as fleet:
        for cell in cell_names(2):
            await in_cell(fleet, cell, batch="b", name=f"in {cell}")
        view = await fleet.batches.show("b")
        assert view.total == 2
        assert sorted(job.name for job in view.jobs) == [f"in {cell}" for cell in cell_names(2)]
