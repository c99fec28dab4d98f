"""A worker and a master that misbehaves, over a real hub: each task is done once, and its result arrives."""

from __future__ import annotations

from typing import Any

import pytest
from foreign_scene import ENDPOINT, Scene, finished, gone, lost, turns
from tests_support.stub_master import StubMaster

from mediafleet.domain.lifecycle import JobStatus
from mediafleet.domain.node import NodeState
from mediafleet.doors.foreign import desk as desk_module
from mediafleet.doors.foreign import line as line_module
from mediafleet.doors.foreign.orders import Order
from mediafleet.doors.foreign.worker import ForeignWorker
from mediafleet.doors.signalr.hub import Caller

pytestmark = pytest.mark.usefixtures("quick")


async def test_a_task_goes_through_with_progress_and_its_files_are_in_their_places(
    scene: Scene, working: ForeignWorker
) -> None:
    master, fleet = scene.master, scene.fleet
    (worker_id, endpoint) = master.registered[0]
    assert worker_id.startswith("studio-")
    assert endpoint == ENDPOINT
    idle = {"status": "idle", "capabilities": {"gpu_available": True, "concurrent_tasks": 1}}
    assert master.statuses[0] == idle
    await scene.start(5)
    job = await scene.job()
    await master.until(lambda: master.statuses[-1]["status"] == "busy")
    fleet.reach(job, 0.5, "recognizing")
    await master.until(lambda: (5, 5000, "recognizing") in master.progress)
    fleet.complete(job)
    await master.until(lambda: master.completed)
    assert master.completed == [(5, str(scene.raw), str(scene.translated))]
    assert scene.raw.read_text() == "film.eo.srt"
    assert scene.translated.read_text() == "film.en.vtt"
    [submission] = fleet.submitted
    assert submission.kind == "subtitle"
    assert str(submission.input).startswith(f"{scene.video.as_uri()}#4-")
    assert submission.params == {"language": "auto", "to": ["en"], "formats": ["srt", "vtt"]}
    await gone(working)
    await master.until(lambda: master.statuses[-1]["status"] == "idle")


async def test_a_task_that_fails_is_told_with_its_sentence(scene: Scene, working: ForeignWorker) -> None:
    await scene.start(5)
    scene.fleet.fail(await scene.job(), "It is no film.")
    await scene.master.until(lambda: scene.master.failed)
    assert scene.master.failed == [(5, "It is no film.")]
    assert not scene.raw.exists()
    await gone(working)


async def test_a_task_that_failed_runs_again_when_it_is_given_again(scene: Scene, working: ForeignWorker) -> None:
    await scene.start()
    job = await scene.job()
    scene.fleet.fail(job, "Not this time.")
    await scene.master.until(lambda: scene.master.failed)
    await gone(working)
    await scene.start()
    await turns(lambda: scene.fleet.retried == [job])
    scene.fleet.complete(job)
    await scene.master.until(lambda: scene.master.completed)
    assert len(scene.fleet.submitted) == 1


async def test_a_job_is_tried_again_only_once_the_scheduler_can_and_no_old_end_is_told(scene: Scene) -> None:
    async with scene.master.serving():
        async with scene.worker() as worker:
            await scene.start()
            job = await scene.job()
            scene.fleet.fail(job, "Not this time.")
            await scene.master.until(lambda: scene.master.failed)
            await gone(worker)
            scene.fleet.busy_retries = 1
            await scene.start()
            await turns(lambda: not scene.fleet.busy_retries)
            # With an old end in the book a node that dies now would tell that of the new task.
            assert [entry.job for entry in worker.place.book.entries] == [""]
        async with scene.worker():
            await turns(lambda: scene.fleet.retried == [job])
            scene.fleet.complete(job)
            await scene.master.until(lambda: scene.master.completed)
    assert scene.master.failed == [(1, "Not this time.")]


async def test_a_task_that_is_given_twice_runs_once(scene: Scene, working: ForeignWorker) -> None:
    await scene.start()
    job = await scene.job()
    await scene.start()
    await scene.start()
    caller = await scene.master.worker()
    told = len(scene.master.statuses)
    # Calls are handled in order: its answer comes after the repeats were handled.
    caller.send("Ping")
    await scene.master.until(lambda: len(scene.master.statuses) > told)
    assert working.place.desk.running == 1
    scene.fleet.complete(job)
    await scene.master.until(lambda: scene.master.completed)
    assert len(scene.fleet.submitted) == 1


async def test_a_task_that_is_given_again_after_its_end_is_delivered_again_without_work(
    scene: Scene, working: ForeignWorker
) -> None:
    await scene.start()
    scene.fleet.complete(await scene.job())
    await scene.master.until(lambda: scene.master.completed)
    await gone(working)
    await scene.start()
    await scene.master.until(lambda: len(scene.master.completed) == 2)
    assert len(scene.fleet.submitted) == 1
    assert scene.fleet.retried == []


async def test_a_film_that_was_replaced_is_another_task(scene: Scene, working: ForeignWorker) -> None:
    await scene.start()
    scene.fleet.complete(await scene.job())
    await scene.master.until(lambda: scene.master.completed)
    await gone(working)
    scene.video.write_bytes(b"another film")
    await scene.start()
    assert await scene.job(2)


async def test_a_master_that_is_away_gets_its_result_when_it_is_back(scene: Scene) -> None:
    async with scene.worker("http://127.0.0.1:1/hub") as worker:
        async with scene.master.serving():
            await worker.choice.set(scene.master.url)
            await scene.start()
            job = await scene.job()
        await lost(worker)
        scene.fleet.complete(job)
        await finished(worker)
        assert scene.raw.exists(), "work goes on"
        async with scene.master.serving():
            await scene.master.until(lambda: scene.master.completed)
            await gone(worker)
    assert scene.master.done == {1: 1}


async def test_a_worker_that_owes_a_result_does_not_say_that_it_is_idle(scene: Scene) -> None:
    async with scene.master.serving():
        url = scene.master.url
        async with scene.worker():
            await scene.start()
            job = await scene.job()
    scene.fleet.complete(job)
    async with scene.worker(url) as worker:
        await finished(worker)
        assert worker.describe()["status"] == "busy", "as its master is told"
        scene.master.forget()
        async with scene.master.serving():
            await scene.master.until(lambda: scene.master.completed)
            await scene.master.until(lambda: scene.master.statuses[-1]["status"] == "idle")
    assert scene.master.statuses[0]["status"] == "busy"


async def test_orders_without_sense_fill_no_disk(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "MOST_FAILED", 3)
    nobody = "http://127.0.0.1:1/hub"
    async with scene.worker(nobody) as worker:
        for number in range(10):
            await worker.place.desk.refuse(nobody, Order(number, "", "", "", ""), "No film.")
        assert [entry.order.task for entry in worker.place.book.entries] == [0, 1, 2]


async def test_a_worker_with_room_for_more_says_so(scene: Scene) -> None:
    async with scene.master.serving(), scene.worker(tasks=2):
        await scene.start()
        await scene.master.until(lambda: scene.master.statuses[-1]["status"] == "available")


async def test_a_failure_that_is_answered_with_the_task_again_runs_again(scene: Scene, working: ForeignWorker) -> None:
    await scene.start()
    job = await scene.job()
    order = (1, str(scene.video), str(scene.raw), str(scene.translated), "en")
    # Before the answer to the failure, as a master does that retries at once.
    scene.master.on_failed = lambda caller: caller.send("StartSubtitize", *order)
    scene.fleet.fail(job, "Not this time.")
    await turns(lambda: scene.fleet.retried == [job])
    scene.fleet.complete(job)
    await scene.master.until(lambda: scene.master.completed)
    assert scene.master.failed == [(1, "Not this time.")]
    await gone(working)


async def test_a_result_waits_over_a_restart_of_the_worker_too(scene: Scene) -> None:
    async with scene.master.serving():
        url = scene.master.url
        async with scene.worker() as worker:
            await scene.start()
            job = await scene.job()
            name = scene.master.registered[0]
    scene.fleet.complete(job)
    async with scene.worker(url) as worker:
        await finished(worker)
    scene.master.forget()
    async with scene.worker(url) as worker, scene.master.serving():
        await scene.master.until(lambda: scene.master.completed)
        await gone(worker)
    assert scene.master.registered[0] == name, "it is the same worker"
    assert len(scene.fleet.submitted) == 1


async def test_a_task_that_ran_when_the_worker_ended_goes_on(scene: Scene) -> None:
    async with scene.master.serving():
        async with scene.worker():
            await scene.start()
            job = await scene.job()
        async with scene.worker():
            scene.fleet.complete(job)
            await scene.master.until(lambda: scene.master.completed)
    assert len(scene.fleet.submitted) == 1


async def test_a_job_that_the_scheduler_has_lost_is_handed_in_again(scene: Scene) -> None:
    async with scene.master.serving():
        async with scene.worker() as worker:
            await scene.start()
            await scene.job()
            await turns(lambda: worker.place.book.entries[0].job)
        scene.fleet.views.clear()
        scene.fleet.keys.clear()
        async with scene.worker():
            scene.fleet.complete(await scene.job())
            await scene.master.until(lambda: scene.master.completed)
    assert len(scene.fleet.submitted) == 2


async def test_a_master_that_falls_over_in_the_middle_of_a_result_gets_it_again(
    scene: Scene, working: ForeignWorker
) -> None:
    scene.master.drops = 2
    await scene.start()
    scene.fleet.complete(await scene.job())
    await scene.master.until(lambda: len(scene.master.registered) == 3 and scene.master.completed)
    await gone(working)
    assert len(scene.fleet.submitted) == 1


async def test_a_result_that_the_master_refuses_is_kept_until_it_takes_it(
    scene: Scene, working: ForeignWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_module, "AGAIN_S", 0.02)
    scene.master.refusals = 3
    await scene.start()
    scene.fleet.complete(await scene.job())
    await scene.master.until(lambda: scene.master.completed)
    assert scene.master.refusals == 0
    await gone(working)


async def test_an_acknowledgement_is_enough_where_the_answer_is_an_error(scene: Scene, working: ForeignWorker) -> None:
    scene.master.refusals = 1

    def acknowledge(caller: Caller) -> None:
        caller.send("Acknowledge", 1)

    scene.master.on_completed = acknowledge
    await scene.start()
    scene.fleet.complete(await scene.job())
    await gone(working)
    assert scene.master.refusals == 0
    assert scene.master.completed == []


async def test_a_master_that_counts_anew_gets_only_what_it_asks_for_now(scene: Scene, working: ForeignWorker) -> None:
    await scene.start(1)
    old = await scene.job()
    scene.master.forget()
    other = scene.folder / "other.srt"
    await scene.master.until(lambda: scene.master.progress)
    caller = scene.master.caller
    assert caller
    caller.send("StartSubtitize", 1, str(scene.video), str(other), "", "")
    new = await scene.job(2)
    assert scene.fleet.views[old].status is JobStatus.CANCELLED
    scene.fleet.complete(new)
    await scene.master.until(lambda: scene.master.completed)
    assert scene.master.completed == [(1, str(other), "")]
    await gone(working)
    assert not scene.raw.exists()


async def test_a_task_that_is_stopped_ends_and_is_told_of_once(scene: Scene, working: ForeignWorker) -> None:
    await scene.start()
    job = await scene.job()
    scene.master.refusals = 1
    (await scene.master.worker()).send("StopSubtitize", 1)
    await gone(working)
    assert scene.fleet.views[job].status is JobStatus.CANCELLED
    assert scene.master.refusals == 0, "it was told, and nobody wanted to know"
    assert scene.master.failed == []


async def test_the_job_of_a_task_that_is_stopped_while_the_scheduler_is_away_ends_when_it_is_back(
    scene: Scene, working: ForeignWorker
) -> None:
    await scene.start()
    job = await scene.job()
    scene.fleet.is_away = True
    (await scene.master.worker()).send("StopSubtitize", 1)
    await scene.master.until(lambda: scene.master.failed)
    assert scene.fleet.views[job].status is JobStatus.PENDING
    scene.fleet.is_away = False
    await turns(lambda: scene.fleet.views[job].status is JobStatus.CANCELLED)
    assert not working.place.desk._cancels


async def test_a_task_that_is_wanted_again_before_its_job_could_be_cancelled_goes_on(
    scene: Scene, working: ForeignWorker
) -> None:
    await scene.start()
    job = await scene.job()
    scene.fleet.is_away = True
    (await scene.master.worker()).send("StopSubtitize", 1)
    await scene.master.until(lambda: scene.master.failed)
    await gone(working)
    cancels = dict(working.place.desk._cancels)
    scene.fleet.is_away = False
    await scene.start()
    await turns(cancels[job].done)
    scene.fleet.complete(job)
    await scene.master.until(lambda: scene.master.completed)


async def test_a_task_that_is_stopped_while_it_is_handed_in_leaves_no_job_behind(
    scene: Scene, working: ForeignWorker
) -> None:
    scene.fleet.may_submit.clear()
    await scene.start()
    await scene.fleet.in_submit.wait()
    (await scene.master.worker()).send("StopSubtitize", 1)
    await turns(lambda: working.place.desk._unwanted)
    scene.fleet.may_submit.set()
    await scene.master.until(lambda: scene.master.failed)
    [view] = scene.fleet.views.values()
    assert view.status is JobStatus.CANCELLED
    await gone(working)


async def test_a_task_that_nobody_knows_is_stopped_without_a_word(scene: Scene, working: ForeignWorker) -> None:
    caller = await scene.master.worker()
    told = len(scene.master.statuses)
    caller.send("StopSubtitize", 99)
    caller.send("Acknowledge", 99)
    caller.send("Ping")
    await scene.master.until(lambda: len(scene.master.statuses) > told)
    assert scene.master.failed == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((5, "film.mkv", "/o.srt", "", "en"), "no absolute path"),
        ((5, "/nowhere/film.mkv", "/o.srt", "", "en"), "There is no file '/nowhere/film.mkv'"),
        ((5, "/nowhere/film.mkv"), "takes a task id"),
        ((5, "/film.mkv", "/o.docx", "", "en"), "no format"),
    ],
)
async def test_what_cannot_be_done_is_told_as_a_failure(
    scene: Scene, working: ForeignWorker, arguments: tuple[Any, ...], says: str
) -> None:
    (await scene.master.worker()).send("StartSubtitize", *arguments)
    await scene.master.until(lambda: scene.master.failed)
    [(task, error)] = scene.master.failed
    assert task == 5
    assert says in error
    await gone(working)


async def test_nonsense_changes_nothing(scene: Scene, working: ForeignWorker) -> None:
    caller = await scene.master.worker()
    calls: list[tuple[str, list[Any]]] = [
        ("StartSubtitize", []),
        ("StopSubtitize", [{}]),
        ("Dance", [1]),
        ("Ping", [1, 2]),
    ]
    for target, arguments in calls:
        caller.send(target, *arguments)
    await scene.start()
    scene.fleet.complete(await scene.job())
    await scene.master.until(lambda: scene.master.completed)
    assert len(scene.master.registered) == 1
    assert scene.master.failed == []
    await gone(working)


async def test_masters_may_write_only_where_they_are_allowed_to(scene: Scene) -> None:
    allowed = scene.folder / "allowed"
    allowed.mkdir()
    (allowed / "film.mkv").write_bytes(b"film")
    (allowed / "link").symlink_to(scene.folder)
    async with scene.master.serving(), scene.worker(roots=(str(allowed),)):
        caller = await scene.master.worker()
        caller.send("StartSubtitize", 1, str(scene.video), str(allowed / "a.srt"), "", "")
        await scene.master.until(lambda: len(scene.master.failed) == 1)
        for number, target in enumerate((scene.raw, allowed / "link" / "b.srt", allowed / ".." / "c.srt"), start=2):
            caller.send("StartSubtitize", number, str(allowed / "film.mkv"), str(target), "", "")
            scene.fleet.complete(await scene.job(number - 1))
            await scene.master.until(lambda number=number: len(scene.master.failed) == number)
    assert all("master.roots" in error for _, error in scene.master.failed)
    assert list(scene.folder.glob("*.srt")) == []


async def test_it_says_who_it_is_only_once_the_fleet_can_work(scene: Scene) -> None:
    scene.fleet.node_state = NodeState.WARMUP
    async with scene.master.serving(), scene.worker() as worker:
        await turns(lambda: worker.line.trouble)
        assert not worker.line.is_connected
        assert worker.describe()["trouble"] == "No node of the fleet is ready for work yet."
        scene.fleet.node_state = NodeState.READY
        await scene.master.worker()
        await turns(lambda: worker.line.is_connected)
        assert worker.line.trouble == ""


async def test_a_scheduler_that_is_away_keeps_tasks_waiting(scene: Scene, working: ForeignWorker) -> None:
    scene.fleet.is_away = True
    await scene.start()
    await turns(lambda: working.place.desk.running)
    scene.fleet.is_away = False
    scene.fleet.complete(await scene.job())
    await scene.master.until(lambda: scene.master.completed)


async def test_work_of_one_master_is_not_told_to_another(scene: Scene) -> None:
    other = StubMaster()
    async with scene.master.serving(), other.serving(), scene.worker() as worker:
        await scene.start()
        job = await scene.job()
        await worker.choice.set(other.url)
        await other.worker()
        scene.fleet.complete(job)
        await finished(worker)
        await worker.choice.set("")
        await lost(worker)
        scene.master.forget()
        await worker.choice.set(scene.master.url)
        await scene.master.until(lambda: scene.master.completed)
        assert other.completed == []


async def test_a_result_that_nobody_takes_is_dropped_in_the_end(scene: Scene) -> None:
    async with scene.master.serving(), scene.worker(keep_s=0) as worker:
        scene.master.refusals = 10
        await scene.start()
        scene.fleet.complete(await scene.job())
        await gone(worker)
        assert scene.master.completed == []


async def test_a_disk_that_is_full_for_a_while_costs_nothing_and_one_that_stays_full_is_told(
    scene: Scene, working: ForeignWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "_LONGEST_PAUSE_S", 0.02)
    scene.fleet.full_disks = 3
    await scene.start(1)
    scene.fleet.complete(await scene.job())
    await scene.master.until(lambda: scene.master.completed)
    scene.fleet.full_disks = 1000
    await scene.start(2)
    scene.fleet.complete(await scene.job(2))
    await scene.master.until(lambda: scene.master.failed)
    assert scene.master.failed == [(2, "The disk is full.")]
    await gone(working)
