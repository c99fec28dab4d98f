"""Idempotency keys of a fleet of two cells: one job a key, and free again when a call is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cells_of_a_fleet import CELLS, Cells, in_cell, join, submit

from mediafleet.domain.cells import home_of_key
from mediafleet.domain.errors import InputError, NotFound, QueueFull
from mediafleet.domain.job import Submission
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.rules import FleetRules
from mediafleet.scheduler.cells import CellFleet
from mediafleet.store.cell_records import HomeClaim


@pytest.fixture
async def fleet(cells: Cells) -> AsyncIterator[CellFleet]:
    """The only instance of a fleet of two cells."""
    async with cells.run() as fleet:
        yield fleet


async def test_key_finds_its_first_job_in_whatever_cell_that_is(fleet: CellFleet) -> None:
    for cell in CELLS:
        await join(fleet, cell)
    for number in range(8):
        first, second = [(await submit(fleet, idempotency_key=f"key-{number}"))[0] for _ in range(2)]
        assert first.id == second.id
    assert (await fleet.jobs()).total == 8


async def test_key_keeps_its_job_after_its_choice_is_forgotten(fleet: CellFleet) -> None:
    key = "again"
    first = await in_cell(fleet, "1", idempotency_key=key)
    home = fleet._stores[home_of_key("default", key, CELLS)]
    assert not await home.redis.exists(home.keys.home("default", key))
    for _ in range(5):
        assert (await submit(fleet, idempotency_key=key))[0].id == first.id


async def test_one_key_at_two_instances_at_once_is_one_job(cells: Cells) -> None:
    async with cells.run("i-1") as one, cells.run("i-2") as two:
        for cell in CELLS:
            await join(one, cell)
        await two._chooser.look()
        for number in range(20):
            wanted = Submission("noop", idempotency_key=f"key-{number}")
            answers = await asyncio.gather(*(fleet.submit([wanted], principal="ann") for fleet in (one, two) * 3))
            assert len({accepted.job.id for (accepted,) in answers}) == 1
            assert sum(accepted.created for (accepted,) in answers) == 1
        assert (await one.jobs()).total == 20


async def test_key_whose_call_was_refused_may_go_to_another_cell(fleet: CellFleet) -> None:
    """And not before all calls were refused that go by the first choice: one of them may still have its job stored."""
    for cell in CELLS:
        await join(fleet, cell)
    claims = [HomeClaim("default", f"key-{number}", "0") for number in range(9)]
    homes = fleet._chooser._homes
    assert await homes.claim(claims) == ["0"] * 9
    for scheduler in fleet._cells.values():
        scheduler.acceptor.follow(FleetRules(max_open=1))
    wanted = [Submission("noop", idempotency_key=claim.key) for claim in claims]
    with pytest.raises(QueueFull):
        await fleet.submit(wanted, principal="ann")
    elsewhere = [HomeClaim("default", claim.key, "1") for claim in claims]
    assert await homes.claim(elsewhere) == ["0"] * 9
    await homes.leave(elsewhere)
    await homes.leave(claims)
    assert await homes.claim(elsewhere) == ["1"] * 9
    with pytest.raises(QueueFull):
        await fleet.submit(wanted, principal="ann")
    await homes.leave(elsewhere)
    for store in fleet._stores.values():
        client: Any = store.redis
        assert [key async for key in client.scan_iter(match=f"{store.keys.tag}home*")] == []


async def test_chain_that_cannot_stay_together_claims_nothing(fleet: CellFleet) -> None:
    await fleet._chooser._homes.claim([HomeClaim("default", "a", "0"), HomeClaim("default", "c", "1")])
    wanted = [
        Submission("noop", idempotency_key=key, after=[place - 1] if place else []) for place, key in enumerate("abc")
    ]
    with pytest.raises(InputError, match=r"are in different cells \(0, 1\)"):
        await fleet.submit(wanted, principal="ann")
    home = fleet._stores[home_of_key("default", "b", CELLS)]
    assert not await home.redis.exists(home.keys.home("default", "b"), home.keys.homed("default", "b"))


async def test_bulk_of_new_and_known_keys_keeps_its_order(fleet: CellFleet) -> None:
    for cell in CELLS:
        await join(fleet, cell)
    known = {
        key: (await in_cell(fleet, CELLS[number % 2], idempotency_key=key)).id for number, key in enumerate("abcd")
    }
    wanted = [Submission("noop", idempotency_key=key) for key in "axbycdz"]
    accepted = await fleet.submit(wanted, principal="ann")
    assert [one.job.id for one, key in zip(accepted, "axbycdz", strict=True) if key in known] == [
        known[key] for key in "abcd"
    ]
    assert [one.created for one in accepted] == [False, True, False, True, False, False, True]


async def test_divided_call_that_one_cell_has_no_room_for_leaves_nothing_in_the_others(fleet: CellFleet) -> None:
    await join(fleet, "0", "kind:noop")
    await join(fleet, "1", "kind:files")
    fleet._cells["1"].acceptor.follow(FleetRules(max_open=1))
    first = await in_cell(fleet, "1", kind="files")
    wanted = [Submission(kind, idempotency_key=kind) for kind in ("noop", "files")]
    with pytest.raises(QueueFull, match="1 open tasks of 1"):
        await fleet.submit(wanted, principal="ann")
    assert [job.id for job in (await fleet.jobs()).jobs] == [first.id]
    refused = fleet.metrics.registry.get_sample_value("mediafleet_submissions_refused_total", {"reason": "all"})
    assert refused == 1
    for store in fleet._stores.values():
        assert not await store.redis.exists(store.keys.coming), "room is kept for nobody"
    fleet._cells["1"].acceptor.follow(FleetRules())
    assert [one.created for one in await fleet.submit(wanted, principal="ann")] == [True, True]


async def test_divided_call_that_was_refused_may_come_again_with_its_keys(
    fleet: CellFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await join(fleet, "0", "kind:noop")
    await join(fleet, "1", "kind:files")

    async def gone(_: object) -> Any:
        raise NotFound("gone")

    wanted = [Submission(kind, idempotency_key=kind) for kind in ("noop", "files")]
    with monkeypatch.context() as broken:
        broken.setattr(fleet._cells["1"].acceptor, "store", gone)
        with pytest.raises(NotFound):
            await fleet.submit(wanted, principal="ann")
    accepted = await fleet.submit(wanted, principal="ann")
    assert [one.created for one in accepted] == [True, True]
    assert {one.job.status for one in accepted} <= {JobStatus.PENDING, JobStatus.PROCESSING}
