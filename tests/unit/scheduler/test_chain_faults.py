"""What is wrong with a kind's chains costs its own job and says why; an instance plans and shows them by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recording_link import RecordingLink
from running_instances import Instances, ended, register, until
from scheduler_parts import DEADLINE_S, Parts, assigned, kind_with
from tests_support.speech_kind import KIND, MODULES

from mediafleet.artifacts.blobs import BlobStore
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.catalogue import Catalogue
from mediafleet.domain.chain import Chain, ChainPart
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.errors import InputError, StoreUnavailable
from mediafleet.domain.frames import AttemptRef, JobAck, JobResults, Outcome
from mediafleet.domain.job import Job, Submission
from mediafleet.domain.layout import ChainRecord, Segment
from mediafleet.domain.lifecycle import JobStatus, TaskState
from mediafleet.domain.modules import Request, make_chain
from mediafleet.domain.node import Executor
from mediafleet.domain.plan import Expand, FinishedTask, NewTask, Step, TaskResult
from mediafleet.kinds import KindRegistry
from mediafleet.kinds.chains import plan_chain
from mediafleet.ops.metrics import Metrics
from mediafleet.ops.settings import CatalogueSettings
from mediafleet.scheduler.chain_watch import ChainWatch, would_change
from mediafleet.scheduler.chains import by_module, read_records, write_records
from mediafleet.scheduler.facts import FactSource
from mediafleet.scheduler.service import Resources, Scheduler
from mediafleet.store import Store

OUT = ArtifactRef("a0-out", "out")
SPEAKER = Executor("cpu", 1, ("kind:speech", "recognise:en", "mt:en>es", "tts:es"))


def expands(*chains: Chain, tasks: tuple[NewTask, ...] = ()) -> Any:
    def plan(_: Job, __: Sequence[FinishedTask]) -> Step:
        return Expand(tasks, chains=chains)

    return plan


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (expands(Chain((ChainPart("unheard-of"),))), "The kind 'noop' has no step 'unheard-of'"),
        (expands(Chain((ChainPart("noop"), ChainPart("x", after=("noop",))))), "The kind 'noop' has no step 'chain'"),
        (expands(Chain((ChainPart("noop", slots=0),))), "asks for 0 slots"),
        (
            expands(Chain((ChainPart("noop", after=("later",)),))),
            "'noop' of the chain 'chain' stands twice or too early",
        ),
        (expands(Chain((ChainPart("noop"), ChainPart("noop")))), "'noop' of the chain 'chain' stands twice or too"),
        (expands(Chain(())), "names a chain 'chain' without modules"),
        (expands(Chain((ChainPart("noop"),)), tasks=(NewTask("chain", "noop"),)), "names a task 'chain', which is"),
        (expands(Chain((ChainPart("noop"),)), Chain((ChainPart("noop"),))), "names two chains 'chain'"),
    ],
)
async def test_a_chain_that_cannot_be_fails_its_job_with_the_reason(
    store: Store, tmp_path: Path, step: Any, sentence: str
) -> None:
    parts = Parts(store, tmp_path, kinds=[kind_with(step)])
    job = await parts.submit()
    parts.planner.ask()
    await parts.planner.step()
    view = await parts.job(job)
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert sentence in view.error.message


async def test_a_plan_that_names_a_chain_for_ever_is_ended_when_the_chain_has_ended(
    store: Store, tmp_path: Path
) -> None:
    parts = Parts(store, tmp_path, kinds=[kind_with(expands(Chain((ChainPart("noop"),))))])
    await parts.link()
    job = await parts.submit()
    parts.planner.ask()
    await parts.planner.step()
    (placed,) = await parts.driver.place_all()
    await parts.driver.finish(placed, '{"result":{}}')
    parts.planner.ask()
    await parts.planner.step()
    view = await parts.job(job)
    assert view.status is JobStatus.FAILED
    assert view.error is not None
    assert "names chains that have ended" in view.error.message


def records() -> dict[str, ChainRecord]:
    parts = tuple(ChainPart(name) for name in ("a", "b"))
    return {"es": ChainRecord("es", parts, (), (Segment("es", ("a", "b")), Segment("es_x", ("x",))))}


def test_a_task_of_several_modules_is_seen_as_each_of_them() -> None:
    given: dict[str, Any] = {
        "a": {"result": {"n": 1}, "outputs": 1},
        "b": {"result": {}, "outputs": 1, "warnings": ["w"]},
    }
    other = ArtifactRef("a0-other", "other")
    task = FinishedTask("es", "chain", TaskState.DONE, given, (OUT, other), node="n0-a-1")
    assert by_module([task, FinishedTask("own", "own", TaskState.DONE)], records()) == [
        FinishedTask("es_a", "a", TaskState.DONE, {"n": 1}, (OUT,), (), node="n0-a-1"),
        FinishedTask("es_b", "b", TaskState.DONE, {}, (other,), ("w",), node="n0-a-1"),
        FinishedTask("own", "own", TaskState.DONE),
    ]


@pytest.mark.parametrize("result", [{}, {"a": {"result": {}, "outputs": 0}}, {"a": 1, "b": 2}, {"a": {"outputs": "x"}}])
def test_a_task_that_does_not_say_what_each_module_gave_has_failed(result: dict[str, Any]) -> None:
    (found,) = by_module([FinishedTask("es", "chain", TaskState.DONE, result)], records())
    assert (found.name, found.state) == ("es_a", TaskState.FAILED)
    assert found.error is not None
    assert "did not say what each of its modules gave" in found.error.message


async def test_a_plan_that_changes_its_chain_fails_its_job_and_holds_up_no_other(store: Store, tmp_path: Path) -> None:
    names = iter(("one", "two"))

    def plan(_: Job, __: Sequence[FinishedTask]) -> Step:
        return Expand((), chains=(Chain((ChainPart("noop", (f"x:{next(names)}",)),)),))

    parts = Parts(store, tmp_path, kinds=[kind_with(plan)])
    job = await parts.submit()
    for _ in range(2):
        await store.recheck([job], plan=True)
        parts.planner.ask()
        await parts.planner.step()
    view = await parts.job(job)
    assert view.error is not None
    assert "names the chain 'chain' with other modules than before" in view.error.message
    assert await store.read.dirty_jobs(9) == []


async def test_a_record_of_a_newer_version_holds_up_nobody(store: Store, tmp_path: Path) -> None:
    text = '[{"name": "chain", "parts": [], "segments": [{"task": "chain", "parts": ["a"], "state": "paused"}]}]'
    with pytest.raises(InputError, match="What a newer version decided"):
        read_records(text)
    assert not would_change(text, await FactSource(store).now())


def test_records_are_written_as_they_are_read() -> None:
    assert read_records(write_records(records())) == records()
    assert read_records("") == {}


async def test_facts_are_the_same_object_until_something_changes(store: Store, tmp_path: Path) -> None:
    catalogues = [Catalogue()]
    facts = FactSource(store, lambda: catalogues[-1])
    first = await facts.now()
    assert await facts.now() is first
    parts = Parts(store, tmp_path)
    await parts.link()
    second = await facts.now()
    assert [one.capabilities for one in second.signatures] == [("kind:noop",)]
    catalogues.append(Catalogue())
    third = await facts.now()
    assert (third.signatures, third.catalogue) == (second.signatures, catalogues[-1])
    assert await facts.now() is third


async def test_a_watch_leaves_a_store_that_is_away_to_its_loop(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> int:
        raise StoreUnavailable("The store cannot be reached.")

    parts = Parts(store, tmp_path)
    watch = ChainWatch(store, parts.planner, FactSource(store))
    monkeypatch.setattr(store.read, "count_waiting_chains", away)
    await watch.settle()
    with pytest.raises(StoreUnavailable):
        await watch.step()


async def test_an_instance_that_need_not_look_by_itself_looks_when_asked(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    parts = Parts(store, tmp_path)
    watch = ChainWatch(store, parts.planner, FactSource(store), may_look=lambda: False)

    async def note() -> None:
        looks.append("look")

    monkeypatch.setattr(watch, "look", note)
    monkeypatch.setattr("mediafleet.scheduler.chain_watch.BACKSTOP_S", 0.001)
    monkeypatch.setattr("mediafleet.scheduler.chain_watch.APART_S", 0)
    await watch.step()
    assert looks == []
    watch.ask()
    await watch.step()
    assert looks == ["look"]


# --- a whole instance --------------------------------------------------------------------------


class Speakers(Instances):
    """Instances that know the kind of speech."""

    def start(self, name: str = "i-1", *, catalogue: Path | None = None) -> Scheduler:
        """Return an instance, not yet entered."""
        blobs = BlobStore(self.folder / "blobs")
        kinds = KindRegistry([replace(KIND, inputs=(0, 1))])
        settings = replace(self.settings, catalogue=CatalogueSettings(file=str(catalogue or "")))
        return Scheduler(name, settings, Resources(self.store, blobs, kinds, SystemClock(), Metrics()))


async def speak(fleet: Scheduler, **params: Any) -> str:
    return (await fleet.submit([Submission("speech", params=params)], principal="ann"))[0].job.id


async def test_an_instance_lays_a_chain_out_as_soon_as_it_is_submitted(store: Store, tmp_path: Path) -> None:
    async with Speakers(tmp_path, store).start() as fleet:
        link = RecordingLink("n0-a-1")
        await fleet.attach(link, register(executors=(SPEAKER,)))
        job = await speak(fleet)

        async def is_given() -> bool:
            return bool(assigned(link))

        await until(is_given)
        (given,) = assigned(link)
        assert given.task == f"{job}.chain"
        ref = AttemptRef(given.task, given.grant)
        await fleet.receive(link, JobAck((ref,)))
        gave = {module.name: {"result": {"of": module.name}, "outputs": 0} for module in MODULES}
        await fleet.receive(link, JobResults((Outcome(ref.task, ref.grant, TaskResult(gave)),)))
        view = await ended(fleet, job)
        assert (view.status, view.result) == (JobStatus.COMPLETED, {"synthesise": {"of": "synthesise"}})


class PlacingGate:
    """Lets the store be asked to place, or not: then nobody is given anything, however often it is asked."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._place = store.place
        self._under_way = 0
        monkeypatch.setattr(store, "place", self._place_when_open)

    async def _place_when_open(self, *args: Any) -> Any:
        await self._is_open.wait()
        self._under_way += 1
        try:
            return await self._place(*args)
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """Let nobody through any more, and wait for those that are."""
        self._is_open.clear()

        async def is_quiet() -> bool:
            return not self._under_way

        await until(is_quiet)

    def open(self) -> None:
        """Let all through."""
        self._is_open.set()


async def test_chains_are_decided_anew_before_a_node_that_joins_is_given_work(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = PlacingGate(store, monkeypatch)
    async with Speakers(tmp_path, store).start() as fleet:
        ear, mouth = RecordingLink("n0-ear-1"), RecordingLink("n0-mouth-1")
        await fleet.attach(ear, register("n0-ear-1", executors=(Executor("cpu", 1, SPEAKER.capabilities[:2]),)))
        others = (SPEAKER.capabilities[0], *SPEAKER.capabilities[2:])
        await fleet.attach(mouth, register("n0-mouth-1", executors=(Executor("cpu", 1, others),)))
        # The first takes the only slot that hears; the second was decided to go step by step, and waits.
        jobs = [await speak(fleet) for _ in range(2)]

        async def are_laid_out() -> bool:
            return all([(await fleet.job(job)).tasks for job in jobs]) and bool(assigned(ear))

        await until(are_laid_out)
        (first,) = assigned(ear)
        assert first.task.endswith(".chain_recognise")
        # Confirmed, so that it stays taken however long the rest of this takes.
        await fleet.receive(ear, JobAck((AttemptRef(first.task, first.grant),)))
        (second,) = [job for job in jobs if job not in first.task]
        # Whoever is placing in the very moment that a node joins may be faster, which costs a chain its one node only.
        await gate.close()
        whole = RecordingLink("n0-whole-1")
        await fleet.attach(whole, register("n0-whole-1", executors=(SPEAKER,)))
        assert [task.id for task in (await fleet.job(second)).tasks] == [f"{second}.chain"]
        gate.open()

        async def is_given() -> bool:
            return bool(assigned(whole))

        await until(is_given)
        assert [one.task for one in assigned(whole)] == [f"{second}.chain"]


async def test_a_feature_that_the_kind_lacks_is_refused_when_it_is_submitted(store: Store, tmp_path: Path) -> None:
    async with Speakers(tmp_path, store).start() as fleet:
        with pytest.raises(InputError, match="There is no module 'sing'"):
            await speak(fleet, feature="sing")
        assert (await fleet.jobs()).total == 0


async def test_an_instance_shows_and_uses_the_catalogue_of_its_settings(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    ear = {"name": "ear", "version": "2", "provides": ["recognise:en"], "capabilities": ["asr:ear@2"]}
    path.write_text(json.dumps({"format": 1, "services": [ear]}))
    async with Speakers(tmp_path, store).start(catalogue=path) as fleet:
        async with asyncio.timeout(DEADLINE_S):
            while not fleet.catalogue.view().services:  # noqa: ASYNC110 - what the loops did tells no event
                await asyncio.sleep(0)
        job = await speak(fleet, feature="recognise")

        async def is_laid_out() -> bool:
            return bool((await fleet.job(job)).tasks)

        await until(is_laid_out)
        why = await fleet.why(job)
        assert why.modules[0].missing == ("asr:ear@2", "kind:speech")


def test_a_chain_of_one_module_needs_no_kind_with_modules() -> None:
    chain = make_chain((MODULES[0],), Request(("recognise",), {"source": "en"}))
    assert plan_chain(chain, ()) == Expand((), chains=(chain,))
