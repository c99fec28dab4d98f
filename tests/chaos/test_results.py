"""Results that come twice, late, in the wrong order, or from an attempt that counts no more."""

from __future__ import annotations

import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.fleet_process import FleetProcesses, running_fleet, wait_for
from tests_support.proxy import Verdict, Way, running_proxy
from tests_support.raw_node import RawNode, done, raw_node

from mediafleet.domain.errors import ErrorInfo
from mediafleet.domain.frames import AttemptRef, JobAck, JobCancel, JobResultAck, JobResults, Outcome

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

FAULT = ErrorInfo("task-failed", "It failed.")


class SharedFleet:
    """A scheduler for all tests here, and what it accepted from them."""

    def __init__(self, fleet: FleetProcesses) -> None:
        self.fleet = fleet
        self._jobs: list[str] = []

    def submit(self) -> str:
        """Submit a no-op job."""
        self._jobs.append(self.fleet.submit("noop", echo="asked"))
        return self._jobs[-1]

    def end(self, job: str) -> Any:
        """Return the job once it is final, after checking all there were."""
        view = self.fleet.wait_status(job, "completed", "failed", "cancelled")
        check_aftermath(self.fleet, self._jobs)
        return view


@pytest.fixture(scope="module")
def shared() -> Iterator[SharedFleet]:
    """A scheduler whose nodes are those of the tests."""
    with tempfile.TemporaryDirectory(prefix="mf-") as folder, running_fleet(Path(folder)) as fleet:
        yield SharedFleet(fleet)


@pytest.fixture
def node(shared: SharedFleet) -> Iterator[RawNode]:
    """A node with one slot whose every word is the test's."""
    with raw_node(shared.fleet.url) as node:
        yield node


def duplicate_results(fleet: FleetProcesses) -> int:
    """Return how many results came again and counted for nothing, as the metrics have it."""
    with urllib.request.urlopen(f"{fleet.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("mediafleet_duplicate_results_total"))


def test_only_the_first_of_a_result_that_comes_again_and_again_counts(shared: SharedFleet, node: RawNode) -> None:
    job = shared.submit()
    ref = node.take()
    node.say(JobAck((ref,)), *(JobResults((done(ref, word),)) for word in ("first", "second", "third")))
    confirmed = 0
    # Who is told nothing would send it for ever; how many one frame confirms depends on how they came.
    while confirmed < 3:
        confirmed += node.expect(JobResultAck).attempts.count(ref)
    view = shared.end(job)
    assert (view["status"], view["result"]) == ("completed", {"echo": "first"})
    assert duplicate_results(shared.fleet) >= 1


def test_a_result_before_its_confirmation_counts_and_what_comes_after_it_does_not(
    shared: SharedFleet, node: RawNode
) -> None:
    job = shared.submit()
    ref = node.take()
    node.say(JobResults((done(ref, "early"),)))
    node.expect(JobResultAck)
    node.say(JobAck((ref,)), JobResults((Outcome(ref.task, ref.grant, error=FAULT),)))
    node.expect(JobResultAck)
    view = shared.end(job)
    assert (view["status"], view["result"]) == ("completed", {"echo": "early"})


def test_an_assignment_that_arrives_after_its_reservation_expired_is_taken_back(
    shared: SharedFleet, node: RawNode
) -> None:
    job = shared.submit()
    late = node.take()
    # Nothing was confirmed within the reservation, so the task is placed again: here, since there is no other node.
    ref = node.take()
    node.say(JobAck((late,)))
    assert late in node.expect(JobCancel).attempts
    node.say(JobResults((Outcome(late.task, late.grant, cancelled=True),)), JobAck((ref,)))
    node.say(JobResults((done(ref, "second"),)))
    view = shared.end(job)
    assert (view["result"], view["tasks"][0]["attempt"]) == ({"echo": "second"}, 2)


def test_a_result_of_a_cancelled_job_changes_nothing_and_frees_the_slot(shared: SharedFleet, node: RawNode) -> None:
    job = shared.submit()
    ref = node.take()
    node.running = (ref,)
    node.say(JobAck((ref,)))
    wait_for(lambda: shared.fleet.job(job)["tasks"][0]["state"] == "ACKED", "the task to run")
    shared.fleet.delete(f"/api/v1/jobs/{job}")
    assert node.expect(JobCancel).attempts == (ref,)
    node.running = ()
    node.say(JobResults((done(ref, "too late"),)))
    assert shared.end(job)["status"] == "cancelled"


def test_grants_that_the_store_never_gave_are_stopped_and_their_results_refused(
    shared: SharedFleet, node: RawNode
) -> None:
    """What a node holds after the store went back in time: nobody knows of it any more."""
    job = shared.submit()
    ref = node.take()
    forged = AttemptRef(ref.task, "a-grant-that-was-forgotten")
    node.say(JobAck((forged,)))
    assert forged in node.expect(JobCancel).attempts
    node.say(JobResults((done(forged, "forged"),)))
    assert [one.grant for one in node.expect(JobResultAck).attempts] == [forged.grant]
    node.say(JobAck((ref,)), JobResults((done(ref, "real"),)))
    assert shared.end(job)["result"] == {"echo": "real"}


def test_every_tenth_dispatch_may_be_lost(folder: Path) -> None:
    # In turn and not by chance: a busy machine sends few frames, each with many tasks.
    fates = cycle((Verdict.DROP, *[Verdict.GO] * 9))

    def lose_a_tenth(_: Way, frame: Any) -> Verdict:
        return next(fates) if frame["type"] == "job_assign" else Verdict.GO

    # A reservation is what a lost dispatch costs; eight slots keep the others at work meanwhile.
    with running_fleet(folder, MEDIAFLEET_NODE__SLOTS="8") as fleet, running_proxy(fleet.port) as proxy:
        fleet.start_node("one", via=proxy.url)
        proxy.judge = lose_a_tenth
        # One at a time, since one frame carries all that a node gets of one placing.
        jobs = [fleet.submit("noop", echo=str(number)) for number in range(60)]
        for job in jobs:
            assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"
        assert proxy.judged[Verdict.DROP, "job_assign"] > 0
        check_aftermath(fleet, jobs)


def test_frames_that_come_twice_or_overtake_each_other_run_nothing_twice(folder: Path) -> None:
    trace = folder / "trace"
    trace.mkdir()
    # In turn for each kind of frame, so that every kind comes twice and late however few of it there are.
    fates = defaultdict[str, Iterator[Verdict]](lambda: cycle((Verdict.TWICE, Verdict.LATE, Verdict.GO)))

    def shuffle(_: Way, frame: Any) -> Verdict:
        if frame["type"] in {"register", "registered", "heartbeat"}:
            return Verdict.GO
        return next(fates[frame["type"]])

    with running_fleet(folder, MEDIAFLEET_NODE__SLOTS="4") as fleet, running_proxy(fleet.port) as proxy:
        fleet.start_node("one", via=proxy.url)
        proxy.judge = shuffle
        jobs = [fleet.submit("relay", text="abcd", parts=2, trace=str(trace)) for _ in range(3)]
        for job in jobs:
            assert fleet.wait_status(job, "completed", "failed")["status"] == "completed"
        assert proxy.judged[Verdict.TWICE, "job_result"] > 0
        assert proxy.judged[Verdict.LATE, "job_result"] > 0
        check_aftermath(fleet, jobs)
