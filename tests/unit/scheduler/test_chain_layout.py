"""Chains over a real store: laid out by the pools there are, anew when they change, once whoever decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chain_fleet import HEARS, OUTPUT, SPEAKS, TRANSLATES, WHOLE, Fleet
from tests_support.speech_kind import KIND, MODULES
from tests_support.store_driver import FADE_MS, LEASE_MS
from tests_support.virtual_time import VirtualTime

from mediafleet.domain.frames import AttemptRef
from mediafleet.domain.job import Job
from mediafleet.domain.layout import FleetFacts
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.modules import Request, make_chain
from mediafleet.domain.placement import Policy
from mediafleet.domain.plan import Complete, Expand, FinishedTask, NewTask, Step
from mediafleet.domain.retry import score_ms
from mediafleet.kinds.chains import find_results
from mediafleet.scheduler import chain_watch
from mediafleet.scheduler.chain_watch import PRUNE_EVERY
from mediafleet.scheduler.chains import read_records
from mediafleet.scheduler.explainer import Explainer
from mediafleet.store import Store
from mediafleet.store.records import NodeReport


@pytest.fixture
def fleet(store: Store, tmp_path: Path) -> Fleet:
    """A fleet without nodes."""
    return Fleet(store, tmp_path)


async def test_a_chain_that_one_node_can_do_is_one_task(fleet: Fleet) -> None:
    await fleet.join("part", HEARS)
    await fleet.join("whole", *WHOLE)
    job = await fleet.submit()
    assert await fleet.work() == [("chain", "whole")]
    view = await fleet.view(job)
    assert (view.status, view.result, view.outputs) == (
        JobStatus.COMPLETED,
        {"synthesise": {"of": "synthesise"}},
        (OUTPUT,),
    )
    assert await fleet.store.read.count_waiting_chains() == 0


async def test_step_by_step_each_task_gets_the_results_of_those_before_and_stays_near(fleet: Fleet) -> None:
    await fleet.join("ear", HEARS, slots=2)
    await fleet.join("mid", TRANSLATES)
    await fleet.join("mouth", SPEAKS)
    job = await fleet.submit()
    progress: list[float] = []
    ran: list[tuple[str, str]] = []
    while (view := await fleet.view(job)).status is not JobStatus.COMPLETED:
        progress.append(view.progress)
        ran += await fleet.work()
    assert ran == [("chain_recognise", "ear"), ("chain_translate", "mid"), ("chain_synthesise", "mouth")]
    # Weights 1, 1 and 2: it never goes back, whatever tasks are still to come.
    assert progress == [0.0, 0.25, 0.5]
    last = fleet.given["chain_synthesise"]
    assert last["payload"]["results"] == {"translate": {"of": "translate"}}
    assert [ref["id"] for ref in last["inputs"]] == ["a0-out"]
    near = await fleet.driver.redis.hget(fleet.store.keys.task(f"{job}.chain_synthesise"), "near")
    assert near == b"n0-mid-1"


async def test_locality_takes_the_node_of_the_step_before_among_equals(fleet: Fleet) -> None:
    for node in ("a", "b", "c"):
        await fleet.join(node, HEARS, TRANSLATES)
    await fleet.join("mouth", SPEAKS)
    # Makes `c` the one that recognises: the others are busy.
    for number in range(2):
        await fleet.submit(number)
    busy = await fleet.place()
    await fleet.submit(2)
    ((name, where),) = await fleet.work()
    for one in busy:
        await fleet.driver.finish(one, msgspec.json.encode(fleet.result("chain_recognise")).decode())
    await fleet.plan()
    placed = {one.task: one.executor.split("-")[1] for one in await fleet.place()}
    assert (name, where) == ("chain_recognise", "c")
    assert placed == {f"j0-made{n}.chain_translate": node for n, node in enumerate("abc")}


async def test_a_chain_that_nobody_can_do_waits_whole_and_says_which_module_lacks_what(fleet: Fleet) -> None:
    await fleet.join("ear", HEARS, TRANSLATES)
    job = await fleet.submit()
    assert await fleet.tasks(job) == {"chain": TaskState.NEW}
    assert await fleet.work() == []
    why = await Explainer(fleet.store).why(await fleet.view(job))
    assert why.sentence == "No executor can do synthesise (the one that comes nearest lacks tts:es)."
    assert [(one.module, one.state, one.missing) for one in why.modules] == [
        ("recognise", "waiting", ()),
        ("translate", "waiting", ()),
        ("synthesise", "waiting", ("tts:es",)),
    ]
    assert why.modules[2].sentence == "No executor can do it: the one that comes nearest lacks tts:es."


async def test_why_says_of_each_module_how_far_it_is(fleet: Fleet) -> None:
    await fleet.join("ear", HEARS)
    await fleet.join("mid", TRANSLATES)
    await fleet.join("mouth", SPEAKS)
    job = await fleet.submit()

    async def told() -> list[str]:
        why = await Explainer(fleet.store).why(await fleet.view(job))
        return [f"{one.module}: {one.sentence}" for one in why.modules]

    assert await told() == [
        "recognise: It waits for an executor that can do it; none can do all that is left.",
        "translate: It follows when recognise is done.",
        "synthesise: It follows when translate is done.",
    ]
    (placed,) = await fleet.place()
    assert (await told())[0] == "recognise: An executor has it."
    await fleet.driver.finish(placed, msgspec.json.encode(fleet.result("chain_recognise")).decode())
    await fleet.plan()
    assert (await told())[0] == "recognise: It is done."
    await fleet.store.cancel(job, cursor=0, sweep=False)
    assert await told() == [], "of a job that has ended there is nothing to say"


async def test_what_waits_is_laid_out_anew_when_a_node_that_can_do_all_joins(fleet: Fleet) -> None:
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    job = await fleet.submit()
    assert await fleet.tasks(job) == {"chain_recognise": TaskState.NEW}
    assert not await fleet.look(), "nothing has changed"
    await fleet.join("whole", *WHOLE)
    assert await fleet.look()
    assert await fleet.tasks(job) == {"chain": TaskState.NEW}
    assert await fleet.work() == [("chain", "whole")]
    view = await fleet.view(job)
    assert (view.status, view.progress) == (JobStatus.COMPLETED, 1.0)


async def test_what_was_to_run_on_one_node_is_split_when_that_node_is_gone_for_good(
    fleet: Fleet, virtual_time: VirtualTime
) -> None:
    await fleet.join("whole", *WHOLE, slots=1)
    await fleet.submit(7)
    busy = await fleet.place()
    job = await fleet.submit()
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    await fleet.look()
    assert await fleet.tasks(job) == {"chain": TaskState.NEW}, "one that can do all of it is busy, not gone"
    await fleet.driver.finish(busy[0], msgspec.json.encode(fleet.result("chain")).decode())
    await fleet.store.unlink("n0-whole-1", fleet.driver.epochs["n0-whole-1"], goodbye=True, retention_ms=1000)
    await fleet.look()
    assert await fleet.tasks(job) == {"chain": TaskState.NEW}, "it may come back within a minute"
    virtual_time.advance(FADE_MS + 1)
    await fleet.driver.reap()
    assert await fleet.look()
    assert await fleet.tasks(job) == {"chain_recognise": TaskState.NEW}


async def test_what_has_begun_stays_where_it_is(fleet: Fleet) -> None:
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    job = await fleet.submit()
    (placed,) = await fleet.place()
    await fleet.join("whole", *WHOLE)
    await fleet.look()
    assert await fleet.tasks(job) == {"chain_recognise": TaskState.ACKED}
    await fleet.driver.finish(placed, msgspec.json.encode(fleet.result("chain_recognise")).decode())
    await fleet.plan()
    assert await fleet.tasks(job) == {"chain_recognise": TaskState.DONE, "chain_from_translate": TaskState.NEW}


async def lose(fleet: Fleet, virtual_time: VirtualTime, node: str) -> None:
    """Let a node fall silent for good, until its pool is gone as well; the others go on."""
    virtual_time.advance(1000)
    await fleet.driver.reap()
    for _ in range((LEASE_MS + FADE_MS) // 2000 + 2):
        virtual_time.advance(2000)
        others = {name: epoch for name, epoch in fleet.driver.epochs.items() if name != node}
        reports = [NodeReport(name, epoch, "{}", ()) for name, epoch in others.items()]
        await fleet.store.renew(reports, lease_ms=LEASE_MS)
        await fleet.driver.reap()


async def test_a_chain_whose_only_node_died_goes_on_step_by_step_and_the_dead_ones_word_counts_no_more(
    fleet: Fleet, virtual_time: VirtualTime
) -> None:
    await fleet.join("whole", *WHOLE)
    job = await fleet.submit()
    (lost,) = await fleet.place()
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    await lose(fleet, virtual_time, "n0-whole-1")
    assert await fleet.look()
    # Another name: the node that was lost may still be at the first attempt of a task `chain`.
    assert await fleet.tasks(job) == {"chain_recognise_1": TaskState.NEW}
    assert await fleet.driver.finish(lost, '{"result":{}}') == ["stale"]
    announced = (AttemptRef(lost.task, lost.grant),)
    admitted = await fleet.driver.join("n0-whole-1", capabilities=(*WHOLE, "kind:speech"), announced=announced)
    assert [ref.task for ref in admitted.drop] == [lost.task]
    assert await fleet.driver.used("n0-whole-1/cpu") == 0
    while (await fleet.view(job)).status is not JobStatus.COMPLETED:
        assert await fleet.work()
    assert (await fleet.view(job)).progress == 1.0


async def test_a_node_that_comes_back_in_time_keeps_its_chain(fleet: Fleet, virtual_time: VirtualTime) -> None:
    await fleet.join("whole", *WHOLE)
    job = await fleet.submit()
    (kept,) = await fleet.place()
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    await fleet.look()
    await fleet.join("whole", *WHOLE, announced=(AttemptRef(kept.task, kept.grant),))
    await fleet.look()
    assert await fleet.tasks(job) == {"chain": TaskState.ACKED}
    assert await fleet.driver.finish(kept, msgspec.json.encode(fleet.result("chain")).decode()) == ["accepted"]


async def test_what_was_taken_back_leaves_nothing_behind(fleet: Fleet) -> None:
    await fleet.join("ear", HEARS)
    await fleet.join("mouth", TRANSLATES, SPEAKS)
    job = await fleet.submit()
    before = await fleet.driver.key_names()
    await fleet.join("whole", *WHOLE)
    await fleet.look()
    after = await fleet.driver.key_names()
    gone = {name.partition("}:")[2] for name in before - after}
    assert f"task:{job}.chain_recognise" in gone
    assert len(await fleet.store.read.queues()) == 1
    assert await fleet.store.read.count_queued(list(await fleet.store.read.queues())) == 1
    assert int(await fleet.driver.redis.hget(fleet.store.keys.open, "all")) == 1
    assert int(await fleet.driver.redis.hget(fleet.store.keys.job(job), "open")) == 1


async def test_a_retried_chain_is_laid_out_by_the_fleet_there_is_by_then(fleet: Fleet) -> None:
    await fleet.join("whole", *WHOLE)
    job = await fleet.submit()
    (placed,) = await fleet.place()
    await fleet.driver.fail(placed, retryable=False)
    await fleet.plan()
    view = await fleet.view(job)
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert view.error.message == "It failed."
    assert (await fleet.store.retry(job, cursor=0)).cursor == 0
    await fleet.plan()
    assert await fleet.tasks(job) == {"chain": TaskState.NEW}
    assert await fleet.store.read.count_waiting_chains() == 1
    assert await fleet.work() == [("chain", "whole")]
    assert (await fleet.view(job)).status is JobStatus.COMPLETED


async def test_a_job_that_was_cancelled_while_its_chain_waited_is_taken_off_the_list(fleet: Fleet) -> None:
    job = await fleet.submit()
    assert await fleet.store.read.count_waiting_chains() == 1
    await fleet.store.cancel(job, cursor=0, sweep=False)
    for _ in range(PRUNE_EVERY):
        assert not await fleet.look()
    assert await fleet.store.read.count_waiting_chains() == 0


async def test_jobs_that_ask_for_the_same_are_decided_about_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        await fleet.submit(number)
    asked: list[str] = []
    real = chain_watch.would_change

    def note(text: str, facts: FleetFacts) -> bool:
        asked.append(text)
        return real(text, facts)

    monkeypatch.setattr(chain_watch, "would_change", note)
    await fleet.join("whole", *WHOLE)
    # It would be the same task: nothing moves.
    assert not await fleet.look()
    assert len(asked) == 1


def plan_two(job: Job, finished: Sequence[FinishedTask]) -> Step:
    """A task before, then two chains at once, one a language."""
    done = {task.name: task for task in finished}
    first = NewTask("probe", "recognise")
    if "probe" not in done:
        return Expand((first,))
    chains = tuple(
        make_chain(MODULES, Request(("synthesise",), {**job.params, "to": to}, done["probe"].outputs, name=to))
        for to in ("es", "de")
    )
    if all("synthesise" in find_results(chain, finished) for chain in chains):
        return Complete({chain.name: find_results(chain, finished)["synthesise"].result for chain in chains})
    return Expand((first,), chains=chains)


async def test_a_job_may_have_several_chains_beside_tasks_of_its_own(store: Store, tmp_path: Path) -> None:
    fleet = Fleet(store, tmp_path, replace(KIND, plan=plan_two))
    await fleet.join("es", *WHOLE)
    await fleet.join("de", HEARS, "mt:en>de", "tts:de")
    job = await fleet.submit()
    assert [name for name, _ in await fleet.work()] == ["probe"]
    assert sorted(await fleet.work()) == [("de", "de"), ("es", "es")]
    view = await fleet.view(job)
    assert (view.status, view.result) == (
        JobStatus.COMPLETED,
        {"es": {"of": "synthesise"}, "de": {"of": "synthesise"}},
    )
    assert view.progress == 1.0
    state = await store.read.plan_state(job)
    assert state is not None
    assert list(read_records(state.chains)) == ["es", "de"]


async def test_the_tasks_of_a_chain_have_the_policy_and_the_urgency_of_their_job(fleet: Fleet) -> None:
    await fleet.join("ear", HEARS, slots=4)
    await fleet.join("mouth", TRANSLATES, SPEAKS, slots=4)
    await fleet.submit(0)
    await fleet.place()
    # As good as the first one, and empty: only the policy says which of the two it is.
    await fleet.join("second", HEARS, slots=4)
    job = await fleet.submit(1, policy=Policy.PACK, urgency=5)
    (task,) = (await Explainer(fleet.store).why(await fleet.view(job))).tasks
    assert task.explanation
    assert (task.task, task.explanation.policy) == (f"{job}.chain_recognise", Policy.PACK)
    assert task.explanation.would_take == "n0-ear-1/cpu"
    assert "The policy pack takes it" in " ".join(task.explanation.words)
    redis: Any = fleet.store.redis
    rule = (await redis.hget(fleet.store.keys.task(task.task), "rule")).decode()
    assert int(rule.split("|")[3]) == score_ms(1001, urgency=5)
    assert await fleet.work() == [("chain_recognise", "ear")]
    (later,) = [one for one in (await Explainer(fleet.store).why(await fleet.view(job))).tasks if one.explanation]
    assert later.explanation
    assert (later.task, later.explanation.policy) == (f"{job}.chain_from_translate", Policy.PACK)
