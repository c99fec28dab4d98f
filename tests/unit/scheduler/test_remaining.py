"""When jobs should end, on a real store: from what nodes did, what is free and what waits."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from recording_link import RecordingLink
from scheduler_parts import Parts, assigned, refs

from mediafleet.domain.capability import Requirement
from mediafleet.domain.explanation import FleetSnapshot
from mediafleet.domain.frames import JobAck, JobProgress, JobResults, Outcome, Progress
from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.pace import Did
from mediafleet.domain.plan import Expand, NewTask, TaskResult
from mediafleet.scheduler.explainer import Explainer
from mediafleet.scheduler.remaining import Remaining
from mediafleet.store.paces import read_paces

NODES = ("n0-a-1", "n0-b-1")


def plan_of(*sizes: float, pace: str = "p") -> Expand:
    tasks = tuple(NewTask(f"t{place}", "noop", Requirement(), pace=pace, size=size) for place, size in enumerate(sizes))
    return Expand(tasks, outcome_of="t0")


async def measure(parts: Parts, *, nodes: Sequence[str] = NODES[:1]) -> RecordingLink:
    """Let each node do one piece of work of size 1 in a second, through its frames; return the last one's link."""
    links = [await parts.link(node) for node in nodes]
    for number in range(len(nodes)):
        await parts.submit(plan=plan_of(1), number=900 + number)
    await parts.placer.step()
    for node, link in zip(nodes, links, strict=True):
        await parts.say(node, JobAck(refs(link)))
        (ref,) = refs(link)
        did = Did("p", 1.0, 1_000)
        await parts.say(node, JobResults((Outcome(ref.task, ref.grant, result=TaskResult(), did=did),)))
    return links[-1]


def remaining(parts: Parts) -> Remaining:
    return Remaining(parts.store, Explainer(parts.store).fleet)


async def eta_of(parts: Parts, job: str) -> int | None:
    return (await remaining(parts).with_eta(await parts.job(job))).eta_ms


@pytest.mark.parametrize(("nodes", "expected"), [(NODES[:1], 8_000), (NODES, 4_000)])
async def test_a_job_of_chunks_takes_half_as_long_on_two_idle_nodes_as_on_one(
    parts: Parts, nodes: Sequence[str], expected: int
) -> None:
    await measure(parts, nodes=nodes)
    assert await eta_of(parts, await parts.submit(plan=plan_of(*[2] * 4))) == expected


async def test_it_shrinks_as_chunks_go_on_and_has_what_waits_behind_what_runs(parts: Parts) -> None:
    link = await measure(parts)
    job = await parts.submit(plan=plan_of(2, 2))
    await parts.placer.step()
    given = assigned(link)[-1]
    await parts.say(NODES[0], JobAck(refs(link)[-1:]))
    assert await eta_of(parts, job) == 4_000
    await parts.say(NODES[0], JobProgress((Progress(given.task, given.grant, 0.5, "encoding", 2.0, 123),)))
    assert (await parts.job(job)).eta_ms is None, "what one chunk says is not what is left of the job"
    assert await eta_of(parts, job) == 3_000


async def test_what_others_handed_in_before_goes_first(parts: Parts) -> None:
    await measure(parts)
    await parts.submit(plan=plan_of(1), number=1)
    job = await parts.submit(plan=plan_of(2), number=2)
    explainer = Explainer(parts.store)

    async def look(requirements: Sequence[Requirement]) -> FleetSnapshot:
        return msgspec.structs.replace(await explainer.fleet(requirements), means_ms={"noop": 500.0})

    view = await Remaining(parts.store, look).with_eta(await parts.job(job))
    assert view.eta_ms == 2_500


async def test_nothing_is_told_before_anything_was_measured(parts: Parts) -> None:
    await measure(parts)
    others = [await parts.submit(plan=plan_of(2, pace=pace), number=number) for number, pace in enumerate(("q", ""))]
    assert [await eta_of(parts, one) for one in others] == [None, None]


async def test_nothing_is_told_while_a_job_or_the_fleet_is_paused(parts: Parts) -> None:
    await measure(parts)
    job = await parts.submit(plan=plan_of(2))
    assert await eta_of(parts, job) == 2_000
    await parts.store.pause_fleet(paused=True, now=False)
    assert await eta_of(parts, job) is None
    await parts.store.pause_fleet(paused=False, now=False)
    await parts.store.pause(job, cursor=0, now=False)
    assert await eta_of(parts, job) is None


async def test_a_batch_is_done_when_all_its_jobs_are(parts: Parts) -> None:
    await measure(parts)
    jobs = [await parts.submit(plan=plan_of(size), number=number) for number, size in enumerate((1, 2, 3))]
    given = [(job, JobStatus.PENDING) for job in jobs]
    assert await remaining(parts).of_jobs(given) == 6_000
    ended = [*given, ("j0-gone", JobStatus.COMPLETED), ("j0-else", JobStatus.PAUSED)]
    assert await remaining(parts).of_jobs(ended) == 6_000
    unknown = await parts.submit(plan=plan_of(2, pace=""), number=8)
    assert await remaining(parts).of_jobs([*given, (unknown, JobStatus.PENDING)]) is None
    assert await remaining(parts).of_jobs([(unknown, JobStatus.PENDING), *given]) is None
    assert await remaining(parts).of_jobs([]) == 0


async def test_an_assignment_carries_the_pace_and_only_good_results_count(parts: Parts) -> None:
    link = await parts.link()
    await parts.submit(plan=plan_of(7))
    await parts.placer.step()
    spec = msgspec.json.decode(assigned(link)[0].spec)
    assert (spec["pace"], spec["size"]) == ("p", 7)
    (ref,) = refs(link)
    await parts.say("n0-a-1", JobResults((Outcome(ref.task, ref.grant, cancelled=True),)))
    paces = await read_paces(parts.store.redis, parts.store.keys, [("p", "n0-a-1")])
    assert paces.on_node("p", 1, "n0-a-1") is None
