"""Nodes, and all there is, are killed while a result takes its source's place: nothing is lost, and it is done once."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import FleetProcesses, wait_for

from mediafleet.artifacts.fingerprint import path_of_uri
from mediafleet.artifacts.originals import ReplaceStep, RestoreStep
from mediafleet.testing import make_clip


@pytest.fixture
async def film(folder: Path) -> Path:
    """A film in a library of its own."""
    library = folder / "media"
    library.mkdir()
    return await make_clip(library / "film.mkv")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def start_dying_node(fleet: FleetProcesses, name: str, step: str) -> subprocess.Popen[bytes]:
    """Start a node that is killed when it comes to the step."""
    words = ["node", "--scheduler", fleet.url, "--data", str(fleet.folder / name), "--name", name]
    environment = fleet.environment | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with (fleet.folder / f"{name}.log").open("ab") as log:
        fleet.nodes[name] = subprocess.Popen(
            [sys.executable, "-m", "tests_support.dying_node", step, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    return fleet.nodes[name]


def submit(fleet: FleetProcesses, film: Path) -> str:
    return fleet.submit("transcode", source=film, speed="fastest", container="mp4", replace={"days": 3})


@pytest.fixture
def replacing(fleet: FleetProcesses, folder: Path) -> FleetProcesses:
    """A fleet whose nodes may replace files in the library."""
    fleet.environment["MEDIAFLEET_NODE__REPLACE_ROOTS"] = str(folder / "media")
    return fleet


def check_replaced(view: Any, film: Path, before: str) -> None:
    assert view["status"] == "completed", view["error"]
    replaced = view["result"]["replaced"]
    kept, result = path_of_uri(replaced["kept"]), path_of_uri(replaced["path"])
    assert digest(kept) == before
    assert (result, result.stat().st_size) == (film.with_suffix(".mp4"), view["result"]["size"])
    journals = list(kept.parent.parent.glob("*.json"))
    assert [json.loads(path.read_bytes())["state"] for path in journals] == ["done"]
    # Neither the original's own name nor any draft is left.
    assert sorted(path.name for path in film.parent.iterdir()) == [".mediafleet-trash", "film.mp4"]


@pytest.mark.parametrize("step", [ReplaceStep.WRITING, ReplaceStep.KEPT, ReplaceStep.PLACED, ReplaceStep.DONE])
def test_a_node_is_killed_while_it_replaces_and_comes_back(
    replacing: FleetProcesses, film: Path, step: ReplaceStep
) -> None:
    before = digest(film)
    node = start_dying_node(replacing, "a", step)
    job = submit(replacing, film)
    wait_for(lambda: node.poll() is not None, f"the node to die at {step}")
    assert node.returncode == -9
    assert before in {digest(path) for path in film.parent.rglob("film.mkv")}

    del replacing.nodes["a"]
    replacing.start_node("a")

    check_replaced(replacing.wait_status(job, "completed", "failed"), film, before)
    check_aftermath(replacing, replacing.accepted)


def test_a_node_is_killed_while_it_replaces_and_another_goes_on(replacing: FleetProcesses, film: Path) -> None:
    before = digest(film)
    node = start_dying_node(replacing, "a", ReplaceStep.PLACED)
    job = submit(replacing, film)
    wait_for(lambda: node.poll() is not None, "the node to die")
    del replacing.nodes["a"]
    replacing.start_node("b")
    check_replaced(replacing.wait_status(job, "completed", "failed"), film, before)
    check_aftermath(replacing, replacing.accepted)


@pytest.mark.parametrize("step", [ReplaceStep.WRITING, ReplaceStep.KEPT, ReplaceStep.PLACED, ReplaceStep.DONE])
def test_the_scheduler_is_killed_while_a_result_takes_its_place(
    replacing: FleetProcesses, film: Path, step: ReplaceStep
) -> None:
    before = digest(film)
    node = start_dying_node(replacing, "a", f"stop@{step}")
    job = submit(replacing, film)
    status = psutil.Process(node.pid).status
    wait_for(lambda: status() == psutil.STATUS_STOPPED, f"the node to come to {step}")
    replacing.kill_scheduler()
    assert before in {digest(path) for path in film.parent.rglob("film.mkv")}
    os.kill(node.pid, signal.SIGCONT)
    replacing.start_scheduler()

    check_replaced(replacing.wait_status(job, "completed", "failed"), film, before)
    assert node.poll() is None
    check_aftermath(replacing, replacing.accepted)


def test_all_is_killed_while_a_result_takes_its_place_and_while_the_original_comes_back(
    replacing: FleetProcesses, film: Path
) -> None:
    before = digest(film)
    node = start_dying_node(replacing, "a", ReplaceStep.KEPT)
    job = submit(replacing, film)
    wait_for(lambda: node.poll() is not None, "the node to die")
    replacing.kill_store_and_scheduler()
    del replacing.nodes["a"]
    replacing.start_scheduler()
    node = start_dying_node(replacing, "a", RestoreStep.RETURNED)
    view = replacing.wait_status(job, "completed", "failed")
    check_replaced(view, film, before)

    back = replacing.submit("transcode", source=path_of_uri(view["result"]["replaced"]["kept"]), restore=job)
    wait_for(lambda: node.poll() is not None, "the node to die")
    replacing.kill_store_and_scheduler()
    del replacing.nodes["a"]
    replacing.start_scheduler()
    replacing.start_node("a")

    restored = replacing.wait_status(back, "completed", "failed")
    assert path_of_uri(restored["result"]["restored"]) == film
    assert digest(film) == before
    assert sorted(path.name for path in film.parent.iterdir()) == [".mediafleet-trash", "film.mkv"]
    check_aftermath(replacing, replacing.accepted)


def test_where_no_node_may_replace_files_the_source_stays_and_the_job_waits(fleet: FleetProcesses, film: Path) -> None:
    before = digest(film)
    fleet.start_node("a")
    job = submit(fleet, film)
    wait_for(lambda: "files:replace" in json.dumps(fleet.get(f"/api/v1/jobs/{job}/why")), "the reason")
    assert digest(film) == before
    fleet.delete(f"/api/v1/jobs/{job}")
    check_aftermath(fleet, fleet.accepted)
