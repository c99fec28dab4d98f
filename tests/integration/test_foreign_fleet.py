"""Our node at a second mediafleet, which takes it for a worker of the older fleet."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alone_node import AloneNode, write_talk
from tests_support.fleet_process import FleetProcesses, running_fleet, wait_for
from tests_support.measuring import unmeasured_children

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: a unix socket must fit below it."""
    path = Path(tempfile.mkdtemp(prefix="mf-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def master(folder: Path) -> Iterator[FleetProcesses]:
    """The other fleet: a scheduler without a node."""
    (folder / "their").mkdir()
    with unmeasured_children(), running_fleet(folder / "their", MEDIAFLEET_SIGNALR__RETRIES="1") as fleet:
        yield fleet


@pytest.fixture
def node(folder: Path, master: FleetProcesses) -> Iterator[AloneNode]:
    (folder / "our").mkdir()
    node = AloneNode(folder / "our")
    node.start("--master", f"{master.url}/signalrhub")
    try:
        yield node
        node.close()
    finally:
        if node.process and node.process.poll() is None:
            node.kill()


def submit(master: FleetProcesses, talk: Path, language: str = "en") -> int:
    body = {
        "video_path": str(talk),
        "raw_subtitle_path": str(talk.with_suffix(".eo.srt")),
        "translated_subtitle_path": str(talk.with_suffix(f".{language}.srt")),
        "language": language,
    }
    return master.post("/api/tasks", body)["task_id"]


def task(master: FleetProcesses, number: int) -> Any:
    return master.get(f"/api/tasks/{number}", default={"status": "", "progress": 0})


def wait_task(master: FleetProcesses, number: int, *statuses: str) -> Any:
    return wait_for(
        lambda: found if (found := task(master, number))["status"] in statuses else None,
        f"task {number}",
        explain=lambda: task(master, number),
    )


def test_a_second_fleet_hands_out_tasks_and_is_killed_meanwhile(
    master: FleetProcesses, node: AloneNode, tmp_path: Path
) -> None:
    worker = wait_for(lambda: (master.get("/api/workers")["workers"] or [None])[0], "the worker")
    assert worker["endpoint"] == node.url
    wait_for(lambda: master.get("/api/workers")["workers"][0]["status"] == "idle", "it to be idle")
    talks = [write_talk(tmp_path / f"talk-{number}.wav", number) for number in range(2)]
    node.gate.touch()
    numbers = [submit(master, talk) for talk in talks]
    wait_for(lambda: task(master, numbers[0])["progress"] > 0, "progress")
    master.kill_scheduler()
    node.gate.unlink()
    wait_for(lambda: node.ask("GET", "/status")["tasks"]["undelivered"] == 1, "the result to wait")
    master.start_scheduler()
    done = [wait_task(master, number, "completed", "failed") for number in numbers]
    assert [one["status"] for one in done] == ["completed"] * 2, done
    assert [one["worker_id"] for one in done] == [worker["worker_id"]] * 2
    assert all("one" in talk.with_suffix(".en.srt").read_text().lower() for talk in talks[:1])
    # Each of them was done once.
    assert len(node.jobs()) == 2


def test_what_a_second_fleet_stops_is_stopped_and_what_fails_is_tried_again(
    master: FleetProcesses, node: AloneNode, tmp_path: Path
) -> None:
    talk = write_talk(tmp_path / "talk.wav")
    node.gate.touch()
    stopped = submit(master, talk)
    wait_for(lambda: task(master, stopped)["progress"] > 0, "progress")
    assert master.delete(f"/api/tasks/{stopped}") in {200, 202, 204}
    wait_task(master, stopped, "cancelled")
    wait_for(lambda: [job["status"] for job in node.jobs()] == ["cancelled"], "the job to end")
    node.gate.unlink()
    missing = submit(master, tmp_path / "nowhere.wav")
    failed = wait_task(master, missing, "completed", "failed")
    assert "There is no file" in str(failed)
    # There is room again.
    assert wait_task(master, submit(master, talk), "completed", "failed")["status"] == "completed"
