"""A job that waits for a person waits through whatever is killed, and goes on with what is put back then."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import PATIENCE_S, FleetProcesses, running_fleet
from tests_support.proofread_kind import site_folder

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]


@pytest.fixture
def proofreaders(tmp_path: Path) -> Iterator[FleetProcesses]:
    """A fleet whose processes have the kind."""
    with running_fleet(tmp_path, **site_folder(tmp_path / "site")) as fleet:
        fleet.start_node("one")
        yield fleet


def put_back(fleet: FleetProcesses, job: str, text: str) -> tuple[int, dict[str, Any]]:
    """Put a text back; return the status and what was answered."""
    body = json.dumps({"text": text}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{fleet.url}/api/v1/jobs/{job}/review", body, headers, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.parametrize("killed", ["scheduler", "all"])
def test_a_review_outlives_all_that_is_killed_while_it_waits(proofreaders: FleetProcesses, killed: str) -> None:
    fleet = proofreaders
    job = fleet.submit("proofread", text="teh end")
    assert fleet.wait_status(job, "review", "failed")["reviews"] == ["read-ann"]
    if killed == "all":
        fleet.kill_all()
        fleet.start_scheduler()
        fleet.start_node("one")
    else:
        fleet.kill_scheduler()
        fleet.start_scheduler()
    assert fleet.job(job)["status"] == "review"
    assert fleet.get(f"/api/v1/jobs/{job}/review") == {"text": "teh end"}
    assert put_back(fleet, job, "the end")[0] == 200
    view = fleet.wait_status(job, "completed", "failed")
    assert (view["status"], view["result"]["texts"]) == ("completed", ["the end"]), view["error"]
    assert put_back(fleet, job, "the end")[0] == 200, "the same answer may come again, whenever"
    assert put_back(fleet, job, "no end")[0] == 409
    check_aftermath(fleet, fleet.accepted)


def test_an_answer_is_not_lost_with_the_scheduler_that_took_it(proofreaders: FleetProcesses) -> None:
    fleet = proofreaders
    job = fleet.submit("proofread", text="teh end")
    fleet.wait_status(job, "review", "failed")
    assert put_back(fleet, job, "the end")[0] == 200
    fleet.kill_scheduler()
    fleet.start_scheduler()
    assert fleet.wait_status(job, "completed", "failed")["result"]["texts"] == ["the end"]
    check_aftermath(fleet, fleet.accepted)


def test_a_command_that_waits_says_what_to_type_and_what_is_typed_lets_it_go_on(
    proofreaders: FleetProcesses, tmp_path: Path
) -> None:
    fleet = proofreaders
    mediafleet = [sys.executable, "-m", "mediafleet.cli"]
    words = [*mediafleet, "submit", "proofread", "--param", "text=teh end", "--wait", "--server", fleet.url, "--json"]
    waiting = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=fleet.environment,
    )
    assert waiting.stderr is not None
    try:
        while "waits for a person" not in (line := waiting.stderr.readline()):
            assert line, "it ended without a word"
        job = line.partition(" ")[0]
        fleet.accepted.append(job)
        path = tmp_path / "text.json"
        for step in (["--out", str(path)], ["--put", str(path)]):
            command = [*mediafleet, "review", job, *step, "--server", fleet.url]
            subprocess.run(command, check=True, timeout=PATIENCE_S, env=fleet.environment, stdin=subprocess.DEVNULL)
            path.write_text(path.read_text().replace("teh", "the"))
        out, _ = waiting.communicate(timeout=PATIENCE_S)
    finally:
        waiting.kill()
        waiting.wait()
    assert (waiting.returncode, json.loads(out)["result"]["texts"]) == (0, ["the end"])
    check_aftermath(fleet, fleet.accepted)
