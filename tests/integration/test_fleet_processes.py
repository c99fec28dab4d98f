"""A scheduler and its nodes as real processes: the ways of a job that no kill disturbs."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import urllib.error
from collections.abc import Iterator
from email.message import Message
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from tests_support.fleet_process import FleetProcesses, running_fleet, wait_for

from mediafleet.artifacts.fingerprint import path_of_uri
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.testing import make_clip

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcesses]:
    """A scheduler with two nodes of one slot each, for all tests of this module."""
    with running_fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        fleet.start_node("one")
        fleet.start_node("two")
        yield fleet


@pytest.fixture
async def clip(tmp_path: Path) -> Path:
    """A short clip."""
    return await make_clip(tmp_path / "clip.mp4", seconds=1)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a short path, for a fleet of a test's own: the store's socket must fit below it."""
    with tempfile.TemporaryDirectory(prefix="mf-") as name:
        yield Path(name)


def refused(fleet: FleetProcesses, path: str, body: Any) -> tuple[int, str, Message]:
    """Return status, sentence and headers of the answer to a request that must not succeed."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        fleet.post(path, body)
    with caught.value as answer:
        return answer.code, json.load(answer)["detail"], answer.headers


def both_work(fleet: FleetProcesses) -> bool:
    """Tell whether two slots are in use, which are all that two nodes have."""
    return sum(e["used"] for node in fleet.get("/api/v1/nodes") for e in node["executors"]) == 2


def test_a_third_partys_kind_passes_artifacts_over_two_nodes(fleet: FleetProcesses, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = fleet.submit("relay", text="hello fleet", parts=2, gate=str(gate))
    wait_for(lambda: both_work(fleet), "both nodes to work")
    gate.touch()
    view = fleet.wait_status(job, "completed", "failed")
    assert view["status"] == "completed", view["error"]
    assert sorted(Path(node).name for node in view["result"]["nodes"]) == ["one", "two"]
    assert fleet.download(view["outputs"][0]["id"]) == b"HELLO FLEET"
    fleet.wait_idle()


def test_a_try_that_fails_is_repeated(fleet: FleetProcesses, tmp_path: Path) -> None:
    job = fleet.submit("relay", text="ab", parts=1, trace=str(tmp_path), fail="once")
    assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"
    part = next(task for task in fleet.job(job)["tasks"] if task["id"].endswith("part-0"))
    assert (part["attempt"], part["tries"]) == (2, 1)


def test_a_failed_job_says_why_and_may_be_tried_again(fleet: FleetProcesses, tmp_path: Path) -> None:
    job = fleet.submit("relay", text="ab", parts=1, trace=str(tmp_path), fail="first")
    view = fleet.wait_status(job, "completed", "failed")
    assert (view["status"], view["error"]["message"]) == ("failed", "Part 0 cannot be done.")
    fleet.post(f"/api/v1/jobs/{job}/retry", {})
    view = fleet.wait_status(job, "completed")
    assert fleet.download(view["outputs"][0]["id"]) == b"AB"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_task_past_its_limit_is_stopped_and_its_slot_is_free_again(fleet: FleetProcesses, tmp_path: Path) -> None:
    job = fleet.submit("relay", text="ab", parts=1, gate=str(tmp_path / "never"), slow_ms=300)
    view = fleet.wait_status(job, "completed", "failed")
    assert view["error"]["code"] == "timed-out"
    fleet.wait_idle()


async def test_cancelling_ends_the_encoder_and_frees_the_slot(fleet: FleetProcesses, tmp_path: Path) -> None:
    clip = await make_clip(tmp_path / "long.mp4", seconds=8, size="640x360")
    job = fleet.submit("transcode", source=clip, preset="h264", speed="slowest", crf=10, chunks="never")
    fleet.wait_stage(job, "encoding")
    (encoder,) = fleet.ffmpegs()
    assert fleet.delete(f"/api/v1/jobs/{job}") == 202
    assert fleet.wait_status(job, "cancelled")["tasks"]
    encoder.wait(30)
    fleet.wait_idle()
    wait_for(lambda: not [*chain.from_iterable(map(Path.iterdir, fleet.folder.glob("*/work")))], "the workspaces to go")


def test_cancelling_ends_all_parts_of_a_job(fleet: FleetProcesses, tmp_path: Path) -> None:
    job = fleet.submit("relay", text="abc", parts=3, gate=str(tmp_path / "never"))
    wait_for(lambda: both_work(fleet), "both nodes to work")
    assert fleet.delete(f"/api/v1/jobs/{job}") == 202
    fleet.wait_status(job, "cancelled")
    fleet.wait_idle()
    states = {task["id"].rsplit(":")[-1]: task["state"] for task in fleet.job(job)["tasks"]}
    assert [state for name, state in states.items() if "part" in name] == ["CANCELLED"] * 3


def test_the_same_key_returns_the_same_job(fleet: FleetProcesses) -> None:
    body = {"kind": "noop", "params": {"echo": "x"}, "idempotency_key": "only-once"}
    first, second = fleet.post("/api/v1/jobs", body), fleet.post("/api/v1/jobs", body)
    assert first["id"] == second["id"]


def test_a_job_begins_after_those_that_it_waits_for_and_fails_with_them(fleet: FleetProcesses, tmp_path: Path) -> None:
    gate, body = tmp_path / "gate", {"text": "ab", "parts": 1, "gate": str(tmp_path / "gate")}
    first, second, third = (
        view["id"]
        for view in fleet.post(
            "/api/v1/jobs",
            [
                {"kind": "relay", "params": body},
                {"kind": "noop", "after": [0]},
                {"kind": "noop", "after": [0, 1]},
            ],
        )
    )
    assert fleet.job(third)["waits_for"] == [first, second]
    assert fleet.get(f"/api/v1/jobs/{second}/why")["sentence"] == f"The job waits for the job {first} to complete."
    gate.touch()
    ended = [fleet.wait_status(job, "completed", "failed") for job in (first, second, third)]
    assert [view["status"] for view in ended] == ["completed"] * 3
    assert ended[0]["finished_ms"] <= ended[1]["started_ms"] <= ended[1]["finished_ms"] <= ended[2]["started_ms"]
    gate.unlink()
    first = fleet.post("/api/v1/jobs", {"kind": "relay", "params": body})["id"]
    second = fleet.post("/api/v1/jobs", {"kind": "noop", "after": [first]})["id"]
    assert fleet.delete(f"/api/v1/jobs/{first}") == 202
    view = fleet.wait_status(second, "completed", "failed")
    assert (view["status"], view["error"]["code"]) == ("failed", "dependency-failed")
    assert refused(fleet, "/api/v1/jobs", {"kind": "noop", "after": ["j0-none"]})[0] == 422
    fleet.wait_idle()


def test_an_upload_may_be_named_before_it_is_complete(fleet: FleetProcesses, clip: Path) -> None:
    content = clip.read_bytes()
    upload = fleet.post("/api/v1/artifacts", {"name": "late.mp4", "size": len(content)})["id"]
    job = fleet.post(
        "/api/v1/jobs", {"kind": "transcode", "input": f"artifact:{upload}", "params": {"preset": "copy"}}
    )["id"]
    assert fleet.job(job)["status"] == "uploading"
    fleet.upload(upload, content)
    view = fleet.wait_status(job, "completed", "failed")
    assert view["status"] == "completed", view["error"]
    (output,) = view["outputs"]
    assert output["name"] == "late.mp4"
    assert len(fleet.download(output["id"])) == output["size"] > 0


def test_a_job_waits_on_over_the_death_of_its_scheduler(short_folder: Path) -> None:
    with running_fleet(short_folder) as fleet:
        wishes = [{"kind": "noop"}, {"kind": "noop", "after": [0], "idempotency_key": "second"}]
        first, second = (view["id"] for view in fleet.post("/api/v1/jobs", wishes))
        wait_for(lambda: fleet.job(second)["waits_for"] == [first], "the job to wait")
        fleet.kill_scheduler()
        fleet.start_scheduler()
        assert fleet.job(second)["waits_for"] == [first]
        fleet.start_node("one")
        ended = [fleet.wait_status(job, "completed", "failed") for job in (first, second)]
        assert [view["status"] for view in ended] == ["completed"] * 2
        assert ended[0]["finished_ms"] <= ended[1]["started_ms"]


def test_a_node_drained_by_a_signal_ends_its_work_and_takes_more_after_its_return(
    fleet: FleetProcesses, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    job = fleet.submit("relay", text="ab", parts=2, gate=str(gate))
    wait_for(lambda: both_work(fleet), "both nodes to work")
    process = fleet.nodes.pop("two")
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: fleet.node_state("two") == "draining", "the node to drain")
    gate.touch()
    assert process.wait(30) == 0
    assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"
    assert [task["attempt"] for task in fleet.job(job)["tasks"]] == [1] * 4
    wait_for(lambda: fleet.node_state("two") == "offline", "the node's goodbye")
    fleet.start_node("two")
    gate.unlink()
    job = fleet.submit("relay", text="ab", parts=2, gate=str(gate))
    wait_for(lambda: both_work(fleet), "both nodes to work again")
    gate.touch()
    view = fleet.wait_status(job, "completed", "failed")
    assert sorted(Path(node).name for node in view["result"]["nodes"]) == ["one", "two"]
    fleet.wait_idle()


def test_a_job_without_a_plan_a_kind_or_an_input_is_refused_with_a_sentence(fleet: FleetProcesses) -> None:
    assert refused(fleet, "/api/v1/jobs", {"kind": "nope"})[0] == 422
    assert refused(fleet, "/api/v1/jobs", {"kind": "transcode"})[0] == 422
    status, sentence, _ = refused(fleet, "/api/v1/jobs", {"kind": "transcode", "input": "https://example.org/a.mp4"})
    assert (status, "upload" in sentence) == (422, True)
    status, sentence, _ = refused(fleet, "/api/v1/jobs", {"kind": "transcode", "input": "file:///no/such/file.mp4"})
    assert (status, "cannot see" in sentence) == (422, True)
    assert refused(fleet, "/api/v1/jobs", [{"kind": "noop"}] * 10_001)[0] in {400, 413, 422}


def test_who_comes_back_with_a_position_gets_the_rest_and_nothing_twice(fleet: FleetProcesses) -> None:
    job = fleet.submit("noop", echo="told")
    path = f"/api/v1/jobs/{job}/events"
    told = list(fleet.events(path))
    assert [event["type"] for _, event in told if "progress" not in event["type"]] == [
        "job.accepted",
        "job.started",
        "job.completed",
    ]
    for number, (position, _) in enumerate(told[:-1]):
        assert list(fleet.events(path, after=position)) == told[number + 1 :]


def test_a_store_that_hangs_is_said_and_costs_no_work(fleet: FleetProcesses, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    held = fleet.submit("relay", text="ab", parts=1, gate=str(gate))
    fleet.wait_stage(held, "waiting")
    body = {"kind": "noop", "params": {"echo": "x"}, "idempotency_key": "while-it-hangs"}
    redis = fleet.redis_pid()
    os.kill(redis, signal.SIGSTOP)
    try:
        status, _, headers = refused(fleet, "/api/v1/jobs", body)
    finally:
        os.kill(redis, signal.SIGCONT)
    assert status == 503
    assert int(headers["Retry-After"]) > 0
    wait_for(lambda: fleet.get("/ready", default=None), "the store to be back")
    first, second = fleet.post("/api/v1/jobs", body)["id"], fleet.post("/api/v1/jobs", body)["id"]
    assert first == second
    gate.touch()
    for job in (first, held):
        assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"
    assert {task["attempt"] for task in fleet.job(held)["tasks"]} == {1}


def test_service_resumes_when_the_store_was_killed(fleet: FleetProcesses) -> None:
    os.kill(fleet.redis_pid(), signal.SIGKILL)
    job = wait_for(lambda: submit_or_none(fleet), "a submission to be taken")
    assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"


def submit_or_none(fleet: FleetProcesses) -> str | None:
    """Submit; None while the store is away, which must be said with 503 and when to come back."""
    try:
        return fleet.submit("noop", echo="again")
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        assert answer.code == 503
        assert answer.headers["Retry-After"]
    return None


def test_files_are_used_in_place_only_below_the_roots(short_folder: Path, clip: Path) -> None:
    root = short_folder / "root"
    root.mkdir()
    inside = root / "inside.mp4"
    inside.write_bytes(clip.read_bytes())
    (root / "link.mp4").symlink_to(clip)
    with running_fleet(short_folder, MEDIAFLEET_ARTIFACTS__FILE_ROOTS=str(root)) as fleet:
        for outside in (clip, root / "link.mp4"):
            body = {"kind": "transcode", "input": f"file://{outside}", "params": {"preset": "copy"}}
            status, sentence, _ = refused(fleet, "/api/v1/jobs", body)
            assert (status, "artifacts.file_roots" in sentence) == (422, True), sentence
        assert (
            refused(fleet, "/api/v1/jobs", {"kind": "transcode", "input": f"file://{root}/../scheduler.log"})[0] == 400
        )
        fleet.start_node("one")
        job = fleet.submit("transcode", source=inside, preset="copy")
        assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"


def test_finished_jobs_leave_no_key_and_no_byte_behind(short_folder: Path, clip: Path, tmp_path: Path) -> None:
    with running_fleet(short_folder, MEDIAFLEET_SCHEDULER__JOB_RETENTION_S="1") as fleet:
        fleet.start_node("one")
        # The keys that every fleet has are made by these: each class has a clock, which begins with its second task.
        fleet.post("/api/v1/jobs", [{"kind": "noop", "priority": priority} for priority in PriorityClass] * 2)
        wait_for(lambda: fleet.get("/api/v1/jobs")["total"] == 0, "retention")
        # How fast work went is kept for jobs to come: one key, however many there were.
        before = fleet.keys() | {"sched:{0}:paces"}
        upload = fleet.post("/api/v1/artifacts", {"name": "a.mp4", "size": clip.stat().st_size})["id"]
        fleet.upload(upload, clip.read_bytes())
        jobs = [
            {"kind": "transcode", "input": f"artifact:{upload}", "params": {"preset": "copy"}, "idempotency_key": "k"},
            {"kind": "relay", "params": {"text": "ab"}},
            {"kind": "relay", "params": {"text": "ab", "fail": "always"}, "tenant": "other"},
            {"kind": "relay", "params": {"text": "ab", "gate": str(tmp_path / "never")}},
        ]
        last = fleet.post("/api/v1/jobs", jobs)[-1]["id"]
        fleet.wait_stage(last, "waiting")
        fleet.delete(f"/api/v1/jobs/{last}")
        wait_for(lambda: fleet.get("/api/v1/jobs")["total"] == 0, "retention")
        wait_for(lambda: not list((short_folder / "fleet" / "artifacts").glob("a0-*")), "the bytes to go")
        wait_for(lambda: fleet.keys() <= before, f"no key to be left, other than {sorted(fleet.keys() - before)}")


async def test_a_node_replaces_where_its_folder_is_and_tells_where_that_is_for_the_fleet(short_folder: Path) -> None:
    """Two folders with one film, as two machines see one share."""
    (media := short_folder / "media").mkdir()
    (volumes := short_folder / "volumes").mkdir()
    film = await make_clip(media / "film.mkv", seconds=1)
    (volumes / "film.mkv").hardlink_to(film)
    with running_fleet(short_folder) as fleet:
        roots = {"MEDIAFLEET_NODE__REPLACE_ROOTS": str(volumes), "MEDIAFLEET_NODE__PATHS": f"{media}={volumes}"}
        fleet.start_node("one", **roots)
        job = fleet.submit("transcode", source=film, speed="fastest", container="mp4", replace={"days": 3})
        view = fleet.wait_status(job, "completed", "failed")
        assert view["status"] == "completed", view["error"]
        replaced = view["result"]["replaced"]
        assert path_of_uri(replaced["path"]) == media / "film.mp4"
        assert path_of_uri(replaced["kept"]) == media / ".mediafleet-trash" / job / "film.mkv"
    assert sorted(path.name for path in volumes.iterdir()) == [".mediafleet-trash", "film.mp4"]
