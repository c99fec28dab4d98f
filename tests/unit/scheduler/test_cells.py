"""A fleet of two cells, on one server and on a cluster: everything a door can ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cells_of_a_fleet import CELLS, NODES, Cells, ended, in_cell, join, submit, work
from recording_link import RecordingLink
from running_instances import given, register, until
from scheduler_parts import DEADLINE_S, refs

from mediafleet.domain.errors import (
    ConfigError,
    ErrorInfo,
    IllegalTransition,
    InputError,
    InvalidRequest,
    NotFound,
    StoreUnavailable,
    UnknownKind,
)
from mediafleet.domain.event import EventType
from mediafleet.domain.explanation import Simulation, Waiting
from mediafleet.domain.frames import JobAck, JobResults, Outcome
from mediafleet.domain.ids import cell_of
from mediafleet.domain.job import JobView, Submission
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.node import Executor, NodeState
from mediafleet.scheduler.cells import CellFleet
from mediafleet.store.cell_store import check_cells


@pytest.fixture
async def fleet(cells: Cells) -> AsyncIterator[CellFleet]:
    async with cells.run() as fleet:
        yield fleet


# --- placing and routing -------------------------------------------------------------------


async def test_job_goes_to_the_cell_that_can_do_it_and_is_done_there(fleet: CellFleet) -> None:
    await join(fleet, "0", "kind:other")
    link = await join(fleet, "1")
    jobs = await submit(fleet, 3)
    assert {cell_of(job.id) for job in jobs} == {"1"}
    done: set[str] = set()
    for _ in jobs:
        await until(lambda: _has_work(link, done))
        await work(fleet, link, done)
    for job in jobs:
        assert (await ended(fleet, job.id)).status is JobStatus.COMPLETED


async def _has_work(link: RecordingLink, done: set[str]) -> bool:
    return any(ref.grant not in done for ref in refs(link))


async def test_jobs_spread_over_cells_that_can_do_them(fleet: CellFleet) -> None:
    for cell in CELLS:
        await join(fleet, cell)
    chosen = [cell_of((await submit(fleet))[0].id) for _ in range(40)]
    # Equally many slots, and two cells: the less loaded is always one of the two that are drawn.
    assert abs(chosen.count("0") - chosen.count("1")) <= 2
    assert (await fleet.stats())["queued_tasks"] == 38
    assert (await fleet.jobs(limit=100)).total == 40


async def test_call_that_no_cell_can_do_alone_is_divided(fleet: CellFleet) -> None:
    await join(fleet, "0", "kind:noop")
    await join(fleet, "1", "kind:files")
    wanted = [Submission(kind, name=str(number)) for number, kind in enumerate(["noop", "files", "noop", "files"])]
    accepted = await fleet.submit(wanted, principal="ann")
    assert [(cell_of(one.job.id), one.job.name) for one in accepted] == [("0", "0"), ("1", "1"), ("0", "2"), ("1", "3")]


async def test_node_that_has_just_come_is_seen_before_a_job_goes_where_none_is(fleet: CellFleet) -> None:
    for cell in CELLS:
        await fleet.attach(RecordingLink(NODES[cell]), register(NODES[cell], executors=(_only(f"kind:{cell}"),)))
    assert cell_of((await submit(fleet, kind="noop"))[0].id) in CELLS
    link = RecordingLink(NODES["1"])
    await fleet.attach(link, register(link.node, executors=(_only("kind:noop"),)))
    assert {cell_of((await submit(fleet))[0].id) for _ in range(10)} == {"1"}


def _only(capability: str) -> Executor:
    return Executor("cpu", 1, (capability,))


async def test_kind_whose_plan_fails_is_refused_by_the_cell_that_gets_it(fleet: CellFleet) -> None:
    with pytest.raises(InputError, match="cannot plan"):
        await submit(fleet, kind="broken")
    with pytest.raises(UnknownKind):
        await submit(fleet, kind="unknown")


async def test_divided_call_with_a_fault_leaves_nothing(fleet: CellFleet) -> None:
    await join(fleet, "0", "kind:noop")
    await join(fleet, "1", "kind:files")
    with pytest.raises(NotFound):
        wanted = [Submission("noop"), Submission("files", input="artifact:a0-none")]
        await fleet.submit(wanted, principal="ann")
    assert (await fleet.jobs()).total == 0


async def test_part_that_was_stored_is_withdrawn_where_another_cannot_be(
    fleet: CellFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await join(fleet, "0", "kind:noop")
    await join(fleet, "1", "kind:files")

    async def away(_: object) -> Any:
        raise StoreUnavailable("away")

    monkeypatch.setattr(fleet._cells["1"].acceptor, "store", away)
    with pytest.raises(StoreUnavailable):
        await fleet.submit([Submission("noop"), Submission("files")], principal="ann")
    page = await fleet.jobs()
    assert [job.status for job in page.jobs] == [JobStatus.CANCELLED]


async def test_number_of_jobs_in_a_call_is_bounded(fleet: CellFleet) -> None:
    with pytest.raises(InvalidRequest, match="0 were given"):
        await fleet.submit([], principal="ann")


@pytest.mark.parametrize("job", ["", "j7-abcdefghjkmnp", "j1-abcdefghjkmnp", "n0-a-1", "nonsense"])
async def test_job_that_cannot_be_is_not_found(fleet: CellFleet, job: str) -> None:
    for ask in (fleet.job, fleet.cancel, fleet.retry, fleet.why):
        with pytest.raises(NotFound):
            await ask(job)


async def test_nodes_are_found_in_their_cells_and_listed_together(fleet: CellFleet) -> None:
    for cell in CELLS:
        await join(fleet, cell)
    assert [node.id for node in await fleet.nodes()] == [NODES["1"], NODES["0"]]
    for cell in CELLS:
        assert (await fleet.node(NODES[cell])).state is NodeState.READY
        assert (await fleet.drain(NODES[cell], draining=True)).state is NodeState.DRAINING
        assert await fleet._stores[cell].read.node(NODES[cell])
    with pytest.raises(NotFound):
        await fleet.node("n0-none-1")
    with pytest.raises(NotFound):
        await fleet.node("nonsense")


async def test_node_that_closes_its_link_leaves_the_pools_of_its_cell(fleet: CellFleet) -> None:
    link = await join(fleet, "1")
    assert [pool.executors for pool in await fleet.pools()] == [1]
    await fleet.detach(link)
    assert await fleet.pools() == []


async def test_pools_of_one_signature_are_listed_as_one(fleet: CellFleet) -> None:
    for cell in CELLS:
        await join(fleet, cell, slots=3)
    assert [(pool.executors, pool.free) for pool in await fleet.pools()] == [(2, 6)]


async def test_instance_without_nodes_sees_that_no_cell_has_any(fleet: CellFleet) -> None:
    simulated = await fleet.simulate(Simulation(("kind:noop",)))
    assert simulated.waits_for is Waiting.POOL
    await join(fleet, "1")
    simulated = await fleet.simulate(Simulation(("kind:noop",)))
    assert simulated.would_take == f"{NODES['1']}/cpu"


async def test_waiting_job_is_explained_by_its_own_cell(fleet: CellFleet) -> None:
    for cell in CELLS:
        job = await in_cell(fleet, cell)
        assert (await fleet.why(job.id)).job == job.id


async def test_cluster_shows_an_instance_once_and_the_leader_of_each_cell(cells: Cells) -> None:
    async with cells.run("i-1"), cells.run("i-2") as fleet:
        view = await fleet.cluster()
        assert [one["id"] for one in view["instances"]] == ["i-1", "i-2"]
        assert [one["cell"] for one in view["cells"]] == ["0", "1"]
        assert {one["leader"] for one in view["cells"]} == {"i-1"}
        await fleet.check_ready()


# --- lists ---------------------------------------------------------------------------------


@pytest.mark.parametrize("filters", [{}, {"status": JobStatus.PENDING}, {"kind": "noop"}])
async def test_pages_of_all_cells_hold_every_job_once_newest_first(fleet: CellFleet, filters: dict[str, Any]) -> None:
    made = [(await in_cell(fleet, CELLS[number % 3 % 2])).id for number in range(11)]
    seen: list[JobView] = []
    for offset in range(0, 15, 4):
        page = await fleet.jobs(offset=offset, limit=4, **filters)
        assert page.total == 11
        seen += page.jobs
    assert sorted(job.id for job in seen) == sorted(made)
    assert [job.created_ms for job in seen] == sorted((job.created_ms for job in seen), reverse=True)


async def test_jobs_of_one_status_and_kind_are_merged_as_well(fleet: CellFleet) -> None:
    made = [(await in_cell(fleet, cell, kind=kind)).id for cell in CELLS for kind in ("noop", "files")]
    page = await fleet.jobs(status=JobStatus.PENDING, kind="files", limit=1)
    assert (page.total, [job.id for job in page.jobs]) == (2, [made[3]])


async def test_dead_letters_of_all_cells_are_one_list(fleet: CellFleet) -> None:
    letters: list[str] = []
    for cell in CELLS:
        link = await join(fleet, cell)
        job = await in_cell(fleet, cell)
        ref = await given(link)
        await fleet.receive(link, JobAck((ref,)))
        await fleet.receive(link, JobResults((Outcome(ref.task, ref.grant, error=ErrorInfo("bad", "It is bad.")),)))
        assert (await ended(fleet, job.id)).status is JobStatus.FAILED
        letters.append(ref.task)
    page = await fleet.dead.page(limit=1)
    assert (page.total, [letter.task for letter in page.letters]) == (2, [letters[1]])
    assert [letter.task for letter in (await fleet.dead.page(offset=1, limit=5)).letters] == [letters[0]]
    assert (await fleet.dead.show(letters[0])).error.code == "bad"
    assert (await fleet.dead.retry(letters[1])).status is JobStatus.PENDING
    await fleet.dead.drop(letters[0])
    with pytest.raises(NotFound):
        await fleet.dead.show(letters[0])


async def test_cancelled_and_retried_jobs_stay_in_their_cells(fleet: CellFleet) -> None:
    for cell in CELLS:
        job = await in_cell(fleet, cell)
        assert (await fleet.cancel(job.id)).status is JobStatus.CANCELLED
        with pytest.raises(IllegalTransition):
            await fleet.cancel(job.id)
        assert (await fleet.retry(job.id)).status is JobStatus.PENDING
    assert (await fleet.stats())["jobs"][JobStatus.PENDING] == 2


# --- events --------------------------------------------------------------------------------


async def test_events_of_all_cells_are_one_stream_that_goes_on_where_it_ended(fleet: CellFleet) -> None:
    made = [(await in_cell(fleet, CELLS[number % 2])).id for number in range(6)]
    seen: list[str] = []
    position = "0-0"
    for _ in range(3):
        stream: Any = fleet.events(after=position)
        while len(seen) < 6:
            event = await asyncio.wait_for(anext(stream), DEADLINE_S)
            position = event.id
            if event.type is EventType.JOB_ACCEPTED:
                seen.append(event.job)
                if len(seen) % 2 == 0:
                    break
        await stream.aclose()
    assert sorted(seen) == sorted(made), "each once: none is lost or told again after a break"


async def test_events_from_now_on_begin_in_every_cell_at_once(fleet: CellFleet) -> None:
    await in_cell(fleet, "0")
    stream: Any = fleet.events()
    first = asyncio.create_task(anext(stream))
    await until(lambda: _is_watched(fleet))
    job = await in_cell(fleet, "1")
    event = await asyncio.wait_for(first, DEADLINE_S)
    assert (event.job, event.id.count("_")) == (job.id, 1)
    await stream.aclose()


async def _is_watched(fleet: CellFleet) -> bool:
    return all(scheduler._hub._reading.is_set() for scheduler in fleet.schedulers)


async def test_events_of_a_job_are_those_of_its_cell_from_whatever_position(fleet: CellFleet) -> None:
    for cell in CELLS:
        job = await in_cell(fleet, cell)
        await fleet.cancel(job.id)
        for position in ("0-0", "0-0_0-0"):
            types = [event.type async for event in fleet.events(after=position, job=job.id)]
            assert types == [EventType.JOB_ACCEPTED, EventType.JOB_CANCELLED]
    with pytest.raises(InvalidRequest, match="of 3 cells"):
        fleet.events(after="0-0_0-0_0-0")


# --- starts --------------------------------------------------------------------------------


async def test_store_is_taken_by_the_number_of_cells_that_it_was_begun_with(cells: Cells) -> None:
    async with cells.run():
        pass
    async with cells.run():
        pass
    for count in (1, 3):
        async with cells.connected(count) as stores:
            with pytest.raises(ConfigError, match=f"begun with 2 cell.s., not {count}.*store.prefix"):
                await check_cells(stores)


async def test_store_of_before_there_were_cells_has_one(cells: Cells) -> None:
    async with cells.connected() as stores:
        await stores[0].check_schema()
        with pytest.raises(ConfigError, match=r"begun with 1 cell"):
            await check_cells(stores)
        await check_cells(stores[:1])


# --- everything at once --------------------------------------------------------------------


async def test_no_job_is_lost_between_cells_while_instances_come_and_go(cells: Cells) -> None:
    """Keys, plain jobs and uploads through two instances, of which one ends; each job ends once."""
    made: list[str] = []
    async with cells.run("i-1") as first:
        async with cells.run("i-2") as second:
            links = {cell: await join(first, cell, slots=4) for cell in CELLS}
            await second._chooser.look()
            for number in range(30):
                fleet = (first, second)[number % 2]
                key = {"idempotency_key": f"k{number % 7}"} if number % 3 else {}
                made += [job.id for job in await submit(fleet, 2 if not key else 1, **key)]
        done: set[str] = set()

        async def all_have_ended() -> bool:
            for link in links.values():
                await work(first, link, done)
            return (await first.stats())["jobs"][JobStatus.COMPLETED] == len(set(made))

        await until(all_have_ended)
        assert {job.id for job in (await first.jobs(limit=100)).jobs} == set(made)
        assert (await first.stats())["slots"] == {"total": 8, "used": 0}


# --- jobs that wait for jobs ---------------------------------------------------------------


async def test_job_goes_to_the_cell_of_what_it_waits_for_and_begins_after_it(fleet: CellFleet) -> None:
    links = {cell: await join(fleet, cell) for cell in CELLS}
    for cell, link in links.items():
        first = await in_cell(fleet, cell)
        others = [(await submit(fleet, after=[first.id]))[0] for _ in range(6)]
        assert {cell_of(job.id) for job in others} == {cell}
        assert {job.waits_for for job in others} == {(first.id,)}
        done: set[str] = set()
        for _ in (first, *others):
            await until(lambda link=link, done=done: _has_work(link, done))
            await work(fleet, link, done)
        for job in others:
            assert (await ended(fleet, job.id)).status is JobStatus.COMPLETED


async def test_submissions_that_wait_for_each_other_go_to_one_cell(fleet: CellFleet) -> None:
    """Also where the kinds of a call divide it, and where the call is repeated with more."""
    await join(fleet, "0", "kind:noop")
    await join(fleet, "1", "kind:files")
    wanted = [
        Submission("noop", idempotency_key="a"),
        Submission("files", idempotency_key="b"),
        Submission("files", after=[0], idempotency_key="c"),
        Submission("noop", after=[2]),
    ]
    accepted = [one.job for one in await fleet.submit(wanted, principal="ann")]
    assert [cell_of(job.id) for job in accepted] == ["0", "1", "0", "0"]
    assert [job.waits_for for job in accepted] == [(), (), (accepted[0].id,), (accepted[2].id,)]
    again = await fleet.submit([*wanted[:3], Submission("files", after=[1, 1])], principal="ann")
    assert [one.job.id for one in again][:3] == [job.id for job in accepted[:3]]
    assert again[3].job.waits_for == (accepted[1].id,)


async def test_job_cannot_wait_for_jobs_of_two_cells(fleet: CellFleet) -> None:
    first, second = [await in_cell(fleet, cell) for cell in CELLS]
    with pytest.raises(InputError, match=r"are in different cells \(0, 1\)"):
        await submit(fleet, after=[first.id, second.id])
    elsewhere = f"j7-{first.id[3:]}"
    with pytest.raises(InputError, match=f"There is no job '{elsewhere}' to wait for"):
        await submit(fleet, after=[elsewhere])
    assert (await fleet.jobs()).total == 2


async def test_one_chain_at_two_instances_at_once_is_one_chain(cells: Cells) -> None:
    async with cells.run("i-1") as one, cells.run("i-2") as other:
        for number in range(10):
            names = [f"{number}-{place}" for place in range(3)]
            wanted = [
                Submission("noop", idempotency_key=name, after=[place - 1] if place else [])
                for place, name in enumerate(names)
            ]
            both = await asyncio.gather(*(fleet.submit(wanted, principal="ann") for fleet in (one, other)))
            ids = [[answer.job.id for answer in answers] for answers in both]
            assert ids[0] == ids[1]
            assert len({cell_of(job) for job in ids[0]}) == 1
        assert (await one.jobs(limit=100)).total == 30
