"""What a submission or its kind says of where and in which order its tasks run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scheduler_parts import Parts
from test_scheduler_accept import Desk

from mediafleet.domain.ids import node_of
from mediafleet.domain.job import Submission
from mediafleet.domain.placement import Policy
from mediafleet.kinds.noop import KIND
from mediafleet.scheduler.turns import in_order
from mediafleet.store import Store
from mediafleet.store.records import PlacedTask

FULLER, EMPTIER = "n0-fuller-1", "n0-emptier-2"
PACKED = replace(KIND, name="packed", policy=Policy.PACK)


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Desk:
    return Desk(store, tmp_path, [KIND, PACKED])


async def place(parts: Parts, limit: int = 64) -> list[PlacedTask]:
    specs = in_order((await parts.store.read.queues()).values())
    return (await parts.driver.place(*specs, limit=limit)).assignments


async def two_nodes(desk: Desk) -> None:
    """Let there be a node with work and one without."""
    driver = desk.parts.driver
    capabilities = ("kind:noop", "kind:packed")
    await driver.join(FULLER, slots=4, capabilities=capabilities)
    await desk.acceptor.accept([Submission("noop")], principal="ann")
    assert len(await place(desk.parts)) == 1
    await driver.join(EMPTIER, slots=4, capabilities=capabilities)


@pytest.mark.parametrize(
    ("submission", "node"),
    [
        (Submission("noop"), EMPTIER),
        (Submission("noop", policy=Policy.PACK), FULLER),
        (Submission("packed"), FULLER),
        (Submission("packed", policy=Policy.SPREAD), EMPTIER),
    ],
)
async def test_tasks_go_where_their_submission_or_else_their_kind_wants(
    desk: Desk, submission: Submission, node: str
) -> None:
    await two_nodes(desk)
    (accepted,) = await desk.acceptor.accept([submission], principal="ann")
    (placed,) = await place(desk.parts)
    assert node_of(placed.executor) == node
    expected = submission.policy or (Policy.PACK if submission.kind == "packed" else Policy.LEAST_LOADED)
    assert accepted.job.policy is expected
    assert (await desk.parts.job(accepted.job.id)).policy is expected


async def test_the_node_that_the_operator_prefers_is_taken_by_jobs_that_ask_for_it(desk: Desk) -> None:
    driver = desk.parts.driver
    await driver.join(FULLER, slots=4, priority=1)
    await driver.join(EMPTIER, slots=4, priority=9)
    wanted = [Submission("noop", policy=Policy.PRIORITY)]
    await desk.acceptor.accept(wanted, principal="ann")
    (placed,) = await place(desk.parts)
    assert node_of(placed.executor) == EMPTIER


async def test_the_more_urgent_of_a_tenant_goes_first_and_waiting_makes_up_for_it(desk: Desk) -> None:
    await desk.parts.driver.join(FULLER, slots=1)
    jobs = [
        (await desk.acceptor.accept([Submission("noop", urgency=urgency)], principal="ann"))[0].job
        for urgency in (0, -1, 2)
    ]
    assert [job.urgency for job in jobs] == [0, -1, 2]
    order: list[str] = []
    for _ in jobs:
        (placed,) = await place(desk.parts)
        order.append(placed.job)
        await desk.parts.driver.finish(placed)
    assert order == [jobs[2].id, jobs[0].id, jobs[1].id]
