"""A scheduler and its nodes as real processes: the ways of a job that no kill disturbs."""

from __future__ import annotations

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support.fleet_process import FleetProcesses, wait_for

from mediafleet.testing import make_clip

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcesses]:
    """A scheduler with two nodes of one slot each, for all tests of this module."""
    fleet = FleetProcesses(tmp_path_factory.mktemp("fleet"))
    fleet.start_scheduler()
    fleet.start_node("one")
    fleet.start_node("two")
    yield fleet
    fleet.close()
    assert "Traceback" not in fleet.logs()


@pytest.fixture
async def clip(tmp_path: Path) -> Path:
    """A short clip."""
    return await make_clip(tmp_path / "clip.mp4", seconds=1)


def refused(fleet: FleetProcesses, path: str, body: Any) -> tuple[int, str]:
    """Return status and sentence of a request that must not succeed."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        fleet.post(path, body)
    problem = caught.value.read().decode()
    return caught.value.code, problem


def test_a_third_partys_kind_passes_artifacts_over_two_nodes(fleet: FleetProcesses, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = fleet.submit("relay", text="hello fleet", parts=2, gate=str(gate))

    def both_work() -> bool:
        return sum(e["used"] for node in fleet.get("/api/v1/nodes") for e in node["executors"]) == 2

    wait_for(both_work, "both nodes to work")
    gate.touch()
    view = fleet.wait_status(job, "completed", "failed")
    assert view["status"] == "completed", view["error"]
    assert sorted(Path(node).name for node in view["result"]["nodes"]) == ["one", "two"]
    with urllib.request.urlopen(f"{fleet.url}/api/v1/artifacts/{view['outputs'][0]['id']}") as response:
        assert response.read() == b"HELLO FLEET"
    fleet.wait_idle()


def test_a_try_that_fails_is_repeated(fleet: FleetProcesses, tmp_path: Path) -> None:
    job = fleet.submit("relay", text="ab", parts=1, trace=str(tmp_path), fail="once")
    assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"
    part = next(task for task in fleet.job(job)["tasks"] if task["id"].endswith("part-0"))
    assert (part["attempt"], part["tries"]) == (2, 1)


def test_a_failed_job_says_why_and_may_be_tried_again(fleet: FleetProcesses, tmp_path: Path) -> None:
    job = fleet.submit("relay", text="ab", parts=1, trace=str(tmp_path), fail="always")
    view = fleet.wait_status(job, "completed", "failed")
    assert view["error"]["message"] == "Part 0 cannot be done."
    fleet.post(f"/api/v1/jobs/{job}/retry", {})
    fleet.wait_status(job, "failed")
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2, "the second go")


def test_a_task_past_its_limit_is_stopped_and_its_slot_is_free_again(fleet: FleetProcesses, tmp_path: Path) -> None:
    job = fleet.submit("relay", text="ab", parts=1, gate=str(tmp_path / "never"), slow_ms=300)
    view = fleet.wait_status(job, "completed", "failed")
    assert view["error"]["code"] == "timed-out"
    fleet.wait_idle()


def test_cancelling_ends_the_encoder_and_frees_the_slot(fleet: FleetProcesses, clip: Path) -> None:
    job = fleet.submit("relay", text="ab", parts=2, gate=str(clip.parent / "never"))
    fleet.wait_stage(job, "waiting")
    request = urllib.request.Request(f"{fleet.url}/api/v1/jobs/{job}", method="DELETE")
    with urllib.request.urlopen(request) as response:
        assert response.status == 202
    assert fleet.wait_status(job, "cancelled")["tasks"]
    fleet.wait_idle()


def test_the_same_key_returns_the_same_job(fleet: FleetProcesses) -> None:
    body = {"kind": "noop", "params": {"echo": "x"}, "idempotency_key": "only-once"}
    first, second = fleet.post("/api/v1/jobs", body), fleet.post("/api/v1/jobs", body)
    assert first["id"] == second["id"]


def test_an_upload_may_be_named_before_it_is_complete(fleet: FleetProcesses, clip: Path) -> None:
    content = clip.read_bytes()
    upload = fleet.post("/api/v1/artifacts", {"name": "late.mp4", "size": len(content)})["id"]
    job = fleet.post(
        "/api/v1/jobs", {"kind": "transcode", "input": f"artifact:{upload}", "params": {"preset": "copy"}}
    )["id"]
    assert fleet.job(job)["status"] == "uploading"
    put = urllib.request.Request(f"{fleet.url}/api/v1/artifacts/{upload}?offset=0", content, method="PUT")
    with urllib.request.urlopen(put) as response:
        assert response.status == 200
    view = fleet.wait_status(job, "completed", "failed")
    assert view["status"] == "completed", view["error"]
    assert view["outputs"][0]["name"] == "late.mp4"


def test_a_node_that_was_drained_by_a_signal_takes_work_after_its_return(fleet: FleetProcesses) -> None:
    process = fleet.nodes.pop("two")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    wait_for(lambda: fleet.node_state("two") == "offline", "the node's goodbye")
    fleet.start_node("two")
    assert fleet.node_state("two") == "ready"


def test_a_job_without_a_plan_a_kind_or_an_input_is_refused_with_a_sentence(fleet: FleetProcesses) -> None:
    assert refused(fleet, "/api/v1/jobs", {"kind": "nope"})[0] == 422
    assert refused(fleet, "/api/v1/jobs", {"kind": "transcode"})[0] == 422
    status, sentence = refused(fleet, "/api/v1/jobs", {"kind": "transcode", "input": "https://example.org/a.mp4"})
    assert (status, "upload" in sentence) == (422, True)
    status, sentence = refused(fleet, "/api/v1/jobs", {"kind": "transcode", "input": "file:///no/such/file.mp4"})
    assert (status, "cannot see" in sentence) == (422, True)
    assert refused(fleet, "/api/v1/jobs", [{"kind": "noop"}] * 1001)[0] in {400, 413, 422}


def test_service_resumes_when_the_store_comes_back(fleet: FleetProcesses) -> None:
    os.kill(fleet.redis_pid(), signal.SIGSTOP)
    os.kill(fleet.redis_pid(), signal.SIGCONT)
    old = fleet.redis_pid()
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: fleet.get("/ready", default=None), "the store to be back")
    job = wait_for(lambda: submit_or_none(fleet), "a submission to be taken")
    assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"


def submit_or_none(fleet: FleetProcesses) -> str | None:
    """Submit; None while the store is away, which must be said with 503 and when to come back."""
    try:
        job = fleet.submit("noop", echo="again")
    except urllib.error.HTTPError as answer:
        error = answer
    else:
        return job
    assert error.code == 503
    assert error.headers["Retry-After"]
    return None


def test_finished_jobs_leave_no_key_and_no_byte_behind(tmp_path: Path, clip: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    fleet = FleetProcesses(folder, MEDIAFLEET_SCHEDULER__JOB_RETENTION_S="1")
    fleet.start_scheduler()
    fleet.start_node("one")
    job = fleet.submit("transcode", source=clip, preset="copy")
    fleet.wait_status(job, "completed")
    blobs = folder / "fleet" / "artifacts"
    wait_for(lambda: fleet.get("/api/v1/jobs")["total"] == 0, "retention")
    wait_for(lambda: not list(blobs.glob("a0-*")), "the bytes to go")
    fleet.close()
