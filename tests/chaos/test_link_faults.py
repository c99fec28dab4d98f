"""Connections that are cut, one way or both, for shorter and longer than the lease; nodes that do not answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import FleetProcesses, running_fleet, wait_for
from tests_support.proxy import Proxy, Verdict, Way, running_proxy

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

CALM = {"MEDIAFLEET_SCHEDULER__HEARTBEAT_MS": "1000", "MEDIAFLEET_SCHEDULER__NODE_LEASE_MS": "3000"}
"""A lease of three heartbeats, as by default, and shorter than any pace that is not theirs."""


class Line:
    """A node behind a line that can be spoilt, and one job that waits at a gate."""

    def __init__(self, fleet: FleetProcesses, proxy: Proxy) -> None:
        self.fleet, self.proxy = fleet, proxy
        self.gate, self.trace = fleet.folder / "gate", fleet.folder / "trace"
        self.trace.mkdir()
        fleet.start_node("one", via=proxy.url)

    def begin(self) -> str:
        """Submit the job and wait until the node works on it."""
        job = self.fleet.submit("relay", text="ab", parts=1, gate=str(self.gate), trace=str(self.trace))
        self.fleet.wait_stage(job, "waiting")
        return job

    def end(self, job: str) -> Any:
        """Open the gate; return the job once it has completed and all is at rest."""
        self.gate.touch()
        view = self.fleet.wait_status(job, "completed", "failed")
        assert view["status"] == "completed", view["error"]
        check_aftermath(self.fleet, [job])
        return next(task for task in view["tasks"] if task["id"].endswith("part-0"))

    @property
    def runs(self) -> int:
        """How often the work at the gate was begun."""
        return len(list(self.trace.iterdir()))

    def wait_state(self, *states: str) -> None:
        """Wait until the scheduler has the node in one of the states."""
        wait_for(lambda: self.fleet.node_state("one") in states, f"the node to be {states}")


@pytest.fixture
def line(folder: Path) -> Iterator[Line]:
    """A node behind a proxy, with short leases."""
    with running_fleet(folder) as fleet, running_proxy(fleet.port) as proxy:
        yield Line(fleet, proxy)


def test_a_cut_shorter_than_the_lease_costs_nothing(line: Line) -> None:
    job = line.begin()
    line.proxy.cut()
    line.wait_state("unlinked")
    line.proxy.mend()
    line.wait_state("ready")
    assert line.end(job)["attempt"] == 1
    assert line.runs == 1


def test_a_cut_longer_than_the_lease_costs_nothing_where_nobody_else_took_the_work(line: Line) -> None:
    job = line.begin()
    line.proxy.cut()
    line.wait_state("offline")
    line.proxy.mend()
    assert line.end(job)["attempt"] == 1
    assert line.runs == 1


def test_an_attempt_that_was_replaced_publishes_nothing(line: Line) -> None:
    """The first node does not hear that it lost its work: it ends it, and tries to publish the result."""
    job = line.begin()
    line.proxy.cut()
    line.fleet.start_node("two")
    wait_for(lambda: line.runs == 2, "the second node to work on it")
    line.gate.touch()
    view = line.fleet.wait_status(job, "completed", "failed")
    assert (view["status"], Path(view["result"]["nodes"][0]).name) == ("completed", "two")
    outputs = [output["id"] for output in view["outputs"]]
    line.proxy.mend()
    line.wait_state("ready")
    wait_for(lambda: not held_by(line.fleet, "one"), "the first node to be told that its result is not wanted")
    assert [output["id"] for output in line.fleet.job(job)["outputs"]] == outputs
    assert line.end(job)["attempt"] == 2


def held_by(fleet: FleetProcesses, node: str) -> list[Path]:
    """Return what a node still works on, or keeps until the scheduler has confirmed it."""
    return [*(fleet.folder / node / "work").iterdir(), *(fleet.folder / node / "outbox").glob("*.json")]


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_line_that_carries_one_way_only_holds_nothing_up(line: Line, way: Way) -> None:
    """Up: the node is not heard. Down: it hears nothing, and all that it says of itself is fine."""
    first = line.begin()
    line.proxy.hold(way)
    line.fleet.start_node("two")
    second = line.fleet.submit("noop", echo="goes elsewhere")
    line.gate.touch()
    # Who is not heard loses its work with its lease. Who hears nothing cannot even publish: that waits for an answer.
    for job in (first, second) if way == "up" else (second,):
        assert line.fleet.wait_status(job, "completed", "failed")["status"] == "completed"
    line.proxy.mend()
    assert line.fleet.wait_status(first, "completed", "failed")["status"] == "completed"
    line.wait_state("ready")
    check_aftermath(line.fleet, [first, second])


def test_a_half_closed_connection_is_given_up_and_made_anew(line: Line) -> None:
    job = line.begin()
    before = line.proxy.accepted
    line.proxy.half_close("down")
    wait_for(lambda: line.proxy.accepted > before and line.fleet.node_state("one") == "ready", "a new link")
    assert line.end(job)["attempt"] == 1
    assert line.runs == 1


def test_a_half_open_connection_is_found_before_three_heartbeats_are_over(folder: Path) -> None:
    """Both ends look open and nothing comes: the node dials again before its lease, three heartbeats, has ended."""
    with running_fleet(folder, **CALM) as fleet, running_proxy(fleet.port) as proxy:
        line = Line(fleet, proxy)
        job = line.begin()
        before = proxy.accepted
        proxy.strand()
        wait_for(lambda: proxy.accepted > before, "the node to dial again")
        line.wait_state("ready")
        assert line.end(job)["attempt"] == 1
        assert "node lost" not in fleet.logs()


def test_a_slow_line_delays_and_costs_no_attempt(line: Line) -> None:
    line.proxy.delay_s = {"up": 0.2, "down": 0.2}
    job = line.begin()
    assert line.end(job)["attempt"] == 1
    assert line.runs == 1


def test_an_assignment_slower_than_its_reservation_is_taken_back_and_done_elsewhere(line: Line) -> None:
    """It arrives, and the node begins; by then the work is another's."""
    late: list[Any] = []

    def keep_one_back(_: Way, frame: Any) -> Verdict:
        if frame["type"] == "job_assign" and not late:
            late.append(frame)
            return Verdict.LATE
        return Verdict.GO

    line.proxy.judge = keep_one_back
    job = line.fleet.submit("noop", echo="late")
    wait_for(lambda: late, "an assignment to be kept back")
    line.fleet.start_node("two")
    view = line.fleet.wait_status(job, "completed", "failed")
    assert (view["status"], view["tasks"][0]["attempt"]) == ("completed", 2)
    # The next frame to the node carries the late one with it.
    line.proxy.judge = lambda _, __: Verdict.GO
    others = [line.fleet.submit("noop", echo=str(number)) for number in range(4)]
    for other in others:
        assert line.fleet.wait_status(other, "completed", "failed")["status"] == "completed"
    check_aftermath(line.fleet, [job, *others])


@pytest.mark.parametrize("silent", ["stopped", "stranded"])
def test_a_cancelled_task_whose_node_does_not_answer_frees_its_slots(line: Line, silent: str) -> None:
    job = line.begin()
    pid = line.fleet.nodes["one"].pid
    if silent == "stopped":
        os.kill(pid, signal.SIGSTOP)
    else:
        line.proxy.hold("up", "down")
    assert line.fleet.delete(f"/api/v1/jobs/{job}") in {200, 202}
    assert line.fleet.job(job)["status"] == "cancelled"
    line.wait_state("offline")
    line.fleet.wait_idle()
    os.kill(pid, signal.SIGCONT)
    line.proxy.mend()
    line.wait_state("ready")
    # What it still ran is stopped without a gate that opens.
    wait_for(lambda: not held_by(line.fleet, "one"), "the node to stop what was cancelled")
    after = line.fleet.submit("noop", echo="next")
    assert line.fleet.wait_status(after, "completed", "failed")["status"] == "completed"
    check_aftermath(line.fleet, [job, after])


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_node_whose_clock_is_wrong_keeps_its_leases_and_results(
    fleet: FleetProcesses, folder: Path, minutes: int
) -> None:
    shifted = folder / "shifted"
    shifted.mkdir()
    (shifted / "sitecustomize.py").write_text(WRONG_CLOCK.format(seconds=minutes * 60))
    path = os.pathsep.join([str(shifted), os.environ.get("PYTHONPATH", "")])
    gate, trace = folder / "gate", folder / "trace"
    trace.mkdir()
    fleet.start_node("one", PYTHONPATH=path)
    job = fleet.submit("relay", text="ab", parts=1, gate=str(gate), trace=str(trace))
    fleet.wait_stage(job, "waiting")
    born = trace.stat().st_mtime
    # Longer than its lease, which a node with such a clock would lose if that had any part in it.
    wait_for(lambda: fleet.get("/api/v1/nodes")[0]["seen_ms"] / 1000 > born + 3, "heartbeats of longer than a lease")
    gate.touch()
    view = fleet.wait_status(job, "completed", "failed")
    assert view["status"] == "completed", view["error"]
    assert {task["attempt"] for task in view["tasks"]} == {1}
    times = [view["created_ms"], view["started_ms"], view["finished_ms"]]
    assert times == sorted(times)
    assert times[-1] - times[0] < 60_000, "no time of the node's is in the record"
    assert WRONG_YEAR_MARK in fleet.logs(), "the clock was not wrong after all"
    check_aftermath(fleet, [job])


WRONG_YEAR_MARK = "clock set wrong"
WRONG_CLOCK = f"""
import sys, time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {{seconds}}
time.time_ns = lambda: _time_ns() + {{seconds}} * 10**9
print("{WRONG_YEAR_MARK}", file=sys.stderr)
"""
