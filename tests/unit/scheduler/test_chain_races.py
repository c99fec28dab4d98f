"""Chains while several decide: instances that see different fleets, states that change while they are read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from chain_fleet import HEARS, PARAMS, SPEAKS, TRANSLATES, WHOLE, Fleet
from tests_support.speech_kind import KIND

from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import JobStatus, PriorityClass, TaskState
from mediafleet.domain.plan import Expand
from mediafleet.scheduler.chain_watch import ChainWatch
from mediafleet.scheduler.chains import expand_chains
from mediafleet.scheduler.facts import FactSource
from mediafleet.scheduler.tasks import job_record
from mediafleet.store import Store


@pytest.fixture
def fleet(store: Store, tmp_path: Path) -> Fleet:
    """A fleet without nodes."""
    return Fleet(store, tmp_path)


async def test_of_two_instances_that_see_different_fleets_the_first_decides(fleet: Fleet) -> None:
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    job = Job("j0-raced", "0", "default", "ann", "speech", 1, "", (), PARAMS, PriorityClass.BATCH, 1000)
    record, queues = job_record(job, KIND.plan(job, ()), KIND, key="", waits=[], retention_ms=60_000)
    await fleet.store.submit([record], queues)
    state = await fleet.store.read.plan_state(job.id)
    assert state is not None
    step = KIND.plan(job, ())
    assert isinstance(step, Expand)
    steps = expand_chains(state, step, KIND, await FactSource(fleet.store).now())
    await fleet.join("whole", *WHOLE)
    whole = expand_chains(state, step, KIND, await FactSource(fleet.store).now())
    assert steps[0].chains != whole[0].chains
    assert (await fleet.store.expand(steps[0])).applied
    assert not (await fleet.store.expand(whole[0])).applied
    assert (await fleet.store.expand(steps[0])).applied, "said again it is the same"
    assert await fleet.tasks(job.id) == {"chain_recognise": TaskState.NEW}
    weight = await fleet.driver.redis.hget(fleet.store.keys.job(job.id), "weight")
    assert float(weight) == 4.0, "counted once"


async def test_what_was_decided_by_a_fleet_of_before_is_decided_once_more(fleet: Fleet) -> None:
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    job = await fleet.submit()
    state = await fleet.store.read.plan_state(job)
    assert state is not None
    step = KIND.plan(state.job, ())
    assert isinstance(step, Expand)
    pieces = expand_chains(state, step, KIND, await FactSource(fleet.store).now())
    # The watch has looked at the new fleet by the time that the plan of the old one is applied, and looks no more.
    await fleet.join("whole", *WHOLE)
    await fleet.watch.look()
    assert (await fleet.store.expand(pieces[0])).applied
    assert await fleet.tasks(job) == {"chain_recognise": TaskState.NEW}
    assert await fleet.store.read.dirty_jobs(9) == [job]
    await fleet.plan()
    assert await fleet.tasks(job) == {"chain": TaskState.NEW}
    assert await fleet.store.read.dirty_jobs(9) == []


async def test_a_job_that_is_decided_anew_while_it_is_read_goes_on(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    job = await fleet.submit()
    await fleet.join("whole", *WHOLE)
    read = fleet.store.read._hashes
    others = ChainWatch(fleet.store, fleet.parts.planner, FactSource(fleet.store))
    raced: list[str] = []

    async def read_late(keys: list[str]) -> list[dict[str, str]]:
        # The list of tasks was read; before their records are, another instance takes them back and plans others.
        if not raced:
            raced.append(job)
            await others.look()
            await fleet.plan()
        return await read(keys)

    monkeypatch.setattr(fleet.store.read, "_hashes", read_late)
    await fleet.store.recheck([job], plan=True)
    await fleet.plan()
    assert raced
    view = await fleet.store.read.job(job)
    assert view is not None
    assert (view.status, view.error) == (JobStatus.PENDING, None)
    assert await fleet.tasks(job) == {"chain": TaskState.NEW}


async def test_who_asks_while_another_looks_waits_for_what_is_decided(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    job = await fleet.submit()
    await fleet.join("whole", *WHOLE)
    is_read, may_go_on = asyncio.Event(), asyncio.Event()
    read = fleet.store.read.waiting_chains

    async def read_slowly(*, cursor: int) -> tuple[int, dict[str, str]]:
        is_read.set()
        await may_go_on.wait()
        return await read(cursor=cursor)

    monkeypatch.setattr(fleet.store.read, "waiting_chains", read_slowly)
    looking = asyncio.create_task(fleet.watch.look())
    await is_read.wait()
    settling = asyncio.create_task(fleet.watch.settle())
    await asyncio.sleep(0)
    assert not settling.done()
    may_go_on.set()
    await settling
    await looking
    assert await fleet.tasks(job) == {"chain": TaskState.NEW}


async def test_a_node_is_not_kept_waiting_for_ever_by_chains(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    job = await fleet.submit()
    await fleet.join("whole", *WHOLE)
    monkeypatch.setattr("mediafleet.scheduler.chain_watch.SETTLE_S", 0.01)
    read, never = fleet.store.read.waiting_chains, asyncio.Event()

    async def hang(*, cursor: int) -> tuple[int, dict[str, str]]:
        await never.wait()
        return await read(cursor=cursor)

    with monkeypatch.context() as slow:
        slow.setattr(fleet.store.read, "waiting_chains", hang)
        await fleet.watch.settle()
    assert await fleet.tasks(job) == {"chain_recognise": TaskState.NEW}
    # What broke off is looked at again, though the fleet has not changed since.
    await fleet.look()
    assert await fleet.tasks(job) == {"chain": TaskState.NEW}


async def test_a_task_that_is_placed_meanwhile_is_not_taken_back(fleet: Fleet) -> None:
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    job = await fleet.submit()
    state = await fleet.store.read.plan_state(job)
    assert state is not None
    await fleet.join("whole", *WHOLE)
    step = KIND.plan(state.job, ())
    assert isinstance(step, Expand)
    pieces = expand_chains(state, step, KIND, await FactSource(fleet.store).now())
    assert pieces[0].drop == [f"{job}.chain_recognise"]
    await fleet.place()
    assert not (await fleet.store.expand(pieces[0])).applied
    assert await fleet.tasks(job) == {"chain_recognise": TaskState.ACKED}
    await fleet.look()
    assert await fleet.tasks(job) == {"chain_recognise": TaskState.ACKED}
