"""Many files at once: each goes its own way, a few at a time, and an interruption leaves none untold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
from tests_support.fake_scheduler import RESULT, FakeScheduler

from mediafleet.cli import _batch
from mediafleet.cli._batch import MOST_FETCHERS, MOST_SENDERS, Batch, Work, with_ending
from mediafleet.cli._fleet import Fleet
from mediafleet.cli._item import Item, Phase
from mediafleet.cli._names import Targets
from mediafleet.cli._output import Output
from mediafleet.client import FleetClient
from mediafleet.domain.errors import ErrorInfo, UnknownKind
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import JobStatus

pytestmark = pytest.mark.usefixtures("workplace")

DEADLINE_S = 20.0
TO_MP4 = Work("transcode", {"preset": "h264"}, ending=".mp4")


class Recorder:
    """A display that keeps the phases it was shown."""

    def __init__(self) -> None:
        self.phases: dict[str, list[Phase]] = {}
        self.shares: list[float] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def change(self, item: Item) -> None:
        seen = self.phases.setdefault(item.path.name, [])
        if not seen or seen[-1] is not item.phase:
            seen.append(item.phase)
        self.shares.append(item.progress)


class Bench:
    """A batch on the fake scheduler, with its display and its results' folder."""

    def __init__(self, client: FleetClient) -> None:
        self.fleet = Fleet(client)
        self.display = Recorder()
        self.targets = Targets(Path("done"))

    def items(self, *names: str) -> list[Item]:
        for name in names:
            Path(name).write_bytes(b"media")
        return [Item(Path(name), self.targets.claim(Path(name).stem)) for name in names]

    @staticmethod
    def put(name: str) -> None:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("in the way")

    @staticmethod
    def read(name: str) -> str:
        return Path(name).read_text()

    async def run(self, items: Sequence[Item], work: Work = TO_MP4) -> None:
        batch = Batch(self.fleet, work, self.targets, display=self.display, output=Output())
        async with asyncio.timeout(DEADLINE_S):
            await batch.run(items)


@pytest.fixture
async def bench(scheduler: FakeScheduler) -> AsyncGenerator[Bench]:
    async with FleetClient(scheduler.url) as client:
        yield Bench(client)


async def interrupted(bench: Bench, items: Sequence[Item], scheduler: FakeScheduler, claim: Any) -> None:
    """Run the batch and cancel it as soon as a claim about the fake holds."""
    task = asyncio.create_task(bench.run(items))
    await asyncio.to_thread(scheduler.wait_until, claim)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("place", "path"), [("a", "a.mp4"), ("a.b", "a.b.mp4"), ("x/a.", "x/a..mp4"), (".hidden", ".hidden.mp4")]
)
def test_an_ending_replaces_nothing_of_a_name(place: str, path: str) -> None:
    assert with_ending(Path(place), ".mp4") == Path(path)


async def test_every_item_goes_through_its_phases_to_its_result(bench: Bench, scheduler: FakeScheduler) -> None:
    scheduler.sees_files = False
    [item] = items = bench.items("a.mkv")
    await bench.run(items)
    assert bench.display.phases["a.mkv"] == [Phase.UPLOADING, Phase.WORKING, Phase.FETCHING, Phase.OVER]
    assert item.is_good
    assert item.outputs == [Path("done/a.mp4")]
    assert item.outputs[0].read_bytes() == RESULT
    assert item.seconds > 0
    assert all(0 <= share <= 1 for share in bench.display.shares)


async def test_the_submission_carries_the_work_and_the_files_name(bench: Bench, scheduler: FakeScheduler) -> None:
    await bench.run(bench.items("a.mkv"))
    [said] = scheduler.submissions
    assert (said.kind, said.params, said.name, said.priority) == ("transcode", {"preset": "h264"}, "a.mkv", "batch")


async def test_one_bad_item_stops_no_other(bench: Bench, scheduler: FakeScheduler) -> None:
    scheduler.outcomes["bad.mkv"] = ErrorInfo("unreadable-media", "This is no video.")
    scheduler.refusals["ugly.mkv"] = UnknownKind("There is no such kind.")
    items = bench.items("bad.mkv", "ugly.mkv", "good.mkv", "gone.mkv")
    items[3].path = Path("elsewhere.mkv")
    await bench.run(items)
    assert [item.is_good for item in items] == [False, False, True, False]
    assert [item.error.code for item in items if item.error] == ["unreadable-media", "unknown-kind", "not-found"]
    assert all(item.phase is Phase.OVER for item in items)


async def test_a_folder_that_cannot_be_made_fails_its_item_with_the_name(bench: Bench) -> None:
    items = bench.items("a.mkv")
    bench.put("done")
    await bench.run(items)
    assert items[0].error == ErrorInfo("input-error", "done is no folder; name another with --out.")


async def test_without_a_folder_for_the_result_nothing_is_handed_in_even_if_its_name_is_not_known(
    bench: Bench, scheduler: FakeScheduler
) -> None:
    items = bench.items("a.mkv")
    bench.put("done")
    await bench.run(items, Work("transcode", {"preset": "copy"}))
    assert items[0].error
    assert not scheduler.submissions


async def test_a_result_that_is_in_the_way_is_told_before_anything_is_sent(
    bench: Bench, scheduler: FakeScheduler
) -> None:
    items = bench.items("a.mkv")
    bench.put("done/a.mp4")
    await bench.run(items)
    assert items[0].error
    assert items[0].error.code == "conflict"
    assert not scheduler.submissions


async def test_where_only_the_input_decides_the_ending_the_results_own_is_taken(bench: Bench) -> None:
    items = bench.items("a.b.mkv")
    await bench.run(items, Work("transcode", {"preset": "copy", "container": "mov"}))
    assert items[0].outputs == [Path("done/a.b.mov")]


class TwoResults(FakeScheduler):
    """Jobs make a second file, under a name of its own."""

    second = "captions.srt"

    def _end(self, job_id: str, status: JobStatus) -> None:
        super()._end(job_id, status)
        view = self.jobs[job_id]
        more = self._store(self.second, b"captions")
        self.jobs[job_id] = msgspec.structs.replace(view, outputs=(*view.outputs, more))


async def test_further_results_keep_their_own_names_and_overwrite_nothing() -> None:
    with TwoResults() as scheduler:
        async with FleetClient(scheduler.url) as client:
            bench = Bench(client)
            items = bench.items("a.mkv", "b.mkv")
            await bench.run(items)
    assert [item.outputs[0].name for item in items] == ["a.mp4", "b.mp4"]
    assert sorted(item.outputs[1].name for item in items) == ["captions-2.srt", "captions.srt"]


@pytest.mark.parametrize(
    ("second", "kept"), [("../../a:b\\c.srt", "a:b\\c.srt"), ("x.s\0rt", "x.srt"), ("..", "output")]
)
async def test_a_further_result_stays_in_the_folder_whatever_its_name(second: str, kept: str) -> None:
    with TwoResults() as scheduler:
        scheduler.second = second
        async with FleetClient(scheduler.url) as client:
            bench = Bench(client)
            [item] = items = bench.items("a.mkv")
            await bench.run(items)
    assert item.outputs == [Path("done/a.mp4"), Path("done") / kept]


class Overtaken(Targets):
    """Places that another command fills while this one fetches."""

    @contextmanager
    def write(self, path: Path) -> Generator[Path]:
        with super().write(path) as partial:
            yield partial
            Bench.put(str(path))


@pytest.mark.parametrize(("keeps_names", "status"), [(True, "completed"), (False, "failed")])
async def test_of_two_commands_that_make_the_same_file_the_second_leaves_that_of_the_first(
    bench: Bench, *, keeps_names: bool, status: str
) -> None:
    bench.targets = Overtaken(Path("done"))
    [item] = items = bench.items("a.mkv")
    await bench.run(items, Work("subtitle", keeps_names=keeps_names))
    assert (item.status, item.outputs) == (status, [])
    assert bench.read("done/a.mp4") == "in the way"
    told = item.warnings[-1] if keeps_names else item.error and item.error.message
    assert "done/a.mp4" in (told or "")


async def test_what_was_made_since_the_command_began_is_not_handed_in(bench: Bench, scheduler: FakeScheduler) -> None:
    items = bench.items("a.mkv", "b.mkv")
    work = Work("subtitle", keeps_names=True, find_done=lambda item: "it has en" if item.path.name == "a.mkv" else "")
    await bench.run(items, work)
    assert (items[0].status, items[0].stage) == ("skipped", "it has en")
    assert [one.name for one in scheduler.submissions] == ["b.mkv"]
    assert bench.display.phases["a.mkv"] == [Phase.OVER]


async def test_a_cancelled_job_is_no_failure_of_the_work(bench: Bench, scheduler: FakeScheduler) -> None:
    scheduler.holding = True
    items = bench.items("a.mkv")
    running = asyncio.create_task(bench.run(items))
    await asyncio.to_thread(scheduler.wait_until, lambda: bool(scheduler.jobs) and scheduler.streams == 1)
    scheduler.finish(next(iter(scheduler.jobs)), JobStatus.CANCELLED)
    await running
    assert (items[0].status, items[0].error) == ("cancelled", ErrorInfo("cancelled", "The job was cancelled."))


async def test_an_interruption_cancels_what_runs_and_leaves_what_is_over(
    bench: Bench, scheduler: FakeScheduler
) -> None:
    scheduler.holding = True
    over, running = items = bench.items("over.mkv", "running.mkv")
    over.phase, over.status = Phase.OVER, "completed"
    await interrupted(bench, [running, over], scheduler, lambda: len(scheduler.jobs) == 2)
    assert {view.status for view in scheduler.jobs.values()} == {JobStatus.CANCELLED}
    assert (running.phase, running.status) == (Phase.OVER, "cancelled")
    assert items[1].error == ErrorInfo("cancelled", "Interrupted; the job was cancelled.")


async def test_an_item_that_was_never_handed_in_names_no_job(
    bench: Bench, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait_for_ever(*_: object, **__: object) -> JobView:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    monkeypatch.setattr(_batch, "hand_in", wait_for_ever)
    items = bench.items("a.mkv")
    await interrupted(bench, items, scheduler, lambda: scheduler.streams == 1)
    assert items[0].error == ErrorInfo("cancelled", "Interrupted.")


async def test_a_job_that_was_accepted_while_the_interruption_came_is_named_and_cancelled(
    bench: Bench, scheduler: FakeScheduler
) -> None:
    scheduler.holding, scheduler.outages = True, 2
    items = bench.items("a.mkv")
    await interrupted(bench, items, scheduler, lambda: "POST /api/v1/jobs" in scheduler.requests)
    assert [items[0].job] == list(scheduler.jobs)
    assert items[0].error == ErrorInfo("cancelled", "Interrupted; the job was cancelled.")


async def test_a_job_that_could_not_be_cancelled_is_not_called_cancelled(
    bench: Bench, scheduler: FakeScheduler
) -> None:
    scheduler.holding = True
    items = bench.items("a.mkv")

    def stop_answering() -> bool:
        if ready := bool(scheduler.jobs) and scheduler.streams == 1:
            scheduler.outages = 1000
        return ready

    await interrupted(bench, items, scheduler, stop_answering)
    [job] = scheduler.jobs
    assert items[0].error == ErrorInfo("interrupted", f"Interrupted; whether job {job} was cancelled is not known.")


async def test_only_a_few_files_are_sent_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    now, most = 0, 0
    together = asyncio.Barrier(MOST_SENDERS)

    async def hand_in(*_: object, **__: object) -> JobView:
        nonlocal now, most
        now += 1
        most = max(most, now)
        # Passes only when as many as are allowed are here, so a lower limit would never get on.
        await together.wait()
        now -= 1
        raise UnknownKind("Enough.")

    monkeypatch.setattr(_batch, "hand_in", hand_in)
    await bench.run(bench.items(*(f"{number}.mkv" for number in range(3 * MOST_SENDERS))))
    assert most == MOST_SENDERS


async def test_only_a_few_results_are_fetched_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    now, most = 0, 0
    together = asyncio.Barrier(MOST_FETCHERS)

    async def download(*_: object, **__: object) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await together.wait()
        now -= 1
        raise UnknownKind("Enough.")

    monkeypatch.setattr(bench.fleet.client.artifacts, "download", download)
    await bench.run(bench.items(*(f"{number}.mkv" for number in range(2 * MOST_FETCHERS))))
    assert most == MOST_FETCHERS
