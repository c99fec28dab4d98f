"""Real processes: nodes without room, nodes that warm up, and executors that lack what they claim or keep failing."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support.fleet_process import PATIENCE_S, FleetProcesses, running_fleet, wait_for

pytestmark = pytest.mark.timeout(180)

FICKLE = '''
"""A kind whose model comes and goes: `model` must exist, `broken` must not, `gate` holds detection up."""

import asyncio
import os
from pathlib import Path

import msgspec

from mediafleet.domain.capability import Requirement
from mediafleet.domain.errors import CapabilityMissing, TransientFailure
from mediafleet.domain.plan import Expand, NewTask, TaskLimits, TaskResult
from mediafleet.kinds.seam import Detected, Kind

FOLDER = Path(os.environ["FICKLE_FOLDER"])


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


async def detect(context):
    while os.environ.get("FICKLE_GATE") and not (FOLDER / "gate").exists():
        await asyncio.sleep(0.02)
    extra = {"model:extra"} if (FOLDER / "extra").exists() else set()
    return Detected(capabilities=frozenset({"model:fickle"} | extra))


def plan(job, finished):
    limits = TaskLimits(max_tries=1)
    task = NewTask(name="run", step="run", requirement=Requirement(("model:fickle",)), limits=limits)
    return Expand((task,), outcome_of="run")


async def run(context):
    if not (FOLDER / "model").exists():
        raise CapabilityMissing("model:fickle")
    if (FOLDER / "broken").exists():
        raise TransientFailure("It is broken.")
    return TaskResult(result={"done": True})


KIND = Kind("fickle", 1, Params, plan, {"run": run}, "Come and go.", inputs=(0, 0), detect=detect)
'''


class FickleFleet:
    """A scheduler that knows the kind, and the folder that decides how its tasks fare."""

    def __init__(self, fleet: FleetProcesses, folder: Path) -> None:
        self.fleet = fleet
        self.folder = folder

    def put(self, name: str) -> None:
        (self.folder / name).touch()

    def node(self, name: str) -> Any:
        """Return the node with that host name."""
        return next(node for node in self.fleet.get("/api/v1/nodes") if node["host"] == name)

    def withheld(self, name: str) -> list[Any]:
        return self.node(name)["executors"][0]["withheld"]


def install(folder: Path) -> None:
    """Put the kind where a process finds it that has the folder on its path."""
    (folder / "fickle_kind.py").write_text(FICKLE)
    info = folder / "fickle_kind-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fickle-kind\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[mediafleet.kinds]\nfickle = fickle_kind:KIND\n")


@pytest.fixture(scope="module")
def fickle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FickleFleet]:
    """A fleet for all tests of this module; each starts nodes of its own."""
    packages, folder = tmp_path_factory.mktemp("packages"), tmp_path_factory.mktemp("fickle")
    install(packages)
    # The store's socket must fit below it.
    with tempfile.TemporaryDirectory(prefix="mf-") as home:
        path = f"{packages}:{Path(__file__).parents[2] / 'src'}"
        settings = {
            "PYTHONPATH": path,
            "FICKLE_FOLDER": str(folder),
            "MEDIAFLEET_SCHEDULER__MISSING_MS": "1500",
            "MEDIAFLEET_SCHEDULER__BREAKER_COOL_MS": "1500",
            "MEDIAFLEET_SCHEDULER__BREAKER_FAILURES": "2",
            "MEDIAFLEET_SCHEDULER__WITHHELD_LONGEST_MS": "3000",
        }
        with running_fleet(Path(home), **settings) as fleet:
            yield FickleFleet(fleet, folder)


@pytest.fixture(autouse=True)
def alone(fickle: FickleFleet) -> Iterator[None]:
    """Begin with no node and an empty folder."""
    yield
    for process in fickle.fleet.nodes.values():
        process.terminate()
        process.wait(PATIENCE_S)
    fickle.fleet.nodes.clear()
    for path in fickle.folder.iterdir():
        path.unlink()


def test_a_node_that_is_told_so_looks_again_at_what_its_machine_can_do(fickle: FickleFleet) -> None:
    def offered() -> list[str]:
        return fickle.node("grows")["executors"][0]["capabilities"]

    process = fickle.fleet.start_node("grows")
    assert "model:fickle" in offered()
    assert "model:extra" not in offered()
    fickle.put("extra")
    process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "model:extra" in offered(), "the node to offer what was installed")
    assert fickle.fleet.node_state("grows") == "ready"


def test_a_node_whose_limits_cannot_be_met_gets_no_work_and_says_why(fickle: FickleFleet) -> None:
    fickle.put("model")
    fickle.fleet.start_node("full", until="degraded", MEDIAFLEET_NODE__HEADROOM="memory:100,cpu:0,disk:0,gpu:0")
    job = fickle.fleet.submit("fickle")
    assert "memory" in fickle.node("full")["reason"]
    why = wait_for(
        lambda: (
            found
            if "1 short of room on their machines" in str(found := fickle.fleet.get(f"/api/v1/jobs/{job}/why"))
            else None
        ),
        "a reason",
    )
    # Nodes of other tests may be known still.
    known = {one["executor"]: one for one in why["tasks"][0]["explanation"]["executors"]}
    executor = known[f"{fickle.node('full')['id']}/cpu"]
    assert executor["verdict"] == "degraded"
    assert "memory" in executor["reason"]
    assert fickle.fleet.job(job)["tasks"][0]["attempt"] == 0
    # Room elsewhere is all that it waited for.
    fickle.fleet.start_node("roomy")
    done = fickle.fleet.wait_status(job, "completed")
    assert done["tasks"][0]["executor"] == f"{fickle.node('roomy')['id']}/cpu"


def test_a_node_that_lacks_a_model_moves_to_another_pool_and_comes_back(fickle: FickleFleet) -> None:
    fickle.fleet.start_node("lacking")
    before = fickle.node("lacking")["executors"][0]["pool"]
    job = fickle.fleet.submit("fickle")
    (entry,) = wait_for(lambda: fickle.withheld("lacking"), "the model to be withheld")
    assert (entry["capability"], entry["cause"]) == ("model:fickle", "missing")
    assert fickle.node("lacking")["state"] == "ready", "it still gets other work"
    assert fickle.fleet.wait_status(fickle.fleet.submit("noop"), "completed")
    fickle.put("model")
    done = fickle.fleet.wait_status(job, "completed")
    assert done["tasks"][0]["tries"] == 0
    assert fickle.node("lacking")["executors"][0]["pool"] == before


def test_a_task_goes_to_a_node_that_has_the_model_at_once(fickle: FickleFleet, tmp_path: Path) -> None:
    (tmp_path / "model").touch()
    fickle.fleet.start_node("lacking")
    job = fickle.fleet.submit("fickle")
    wait_for(lambda: fickle.withheld("lacking"), "the model to be withheld")
    fickle.fleet.start_node("having", FICKLE_FOLDER=str(tmp_path))
    done = fickle.fleet.wait_status(job, "completed")
    assert done["tasks"][0]["executor"] == f"{fickle.node('having')['id']}/cpu"


def test_a_kind_that_keeps_failing_is_taken_from_the_executor_and_one_task_brings_it_back(fickle: FickleFleet) -> None:
    fickle.put("model")
    fickle.put("broken")
    fickle.fleet.start_node("breaking")
    for _ in range(2):
        fickle.fleet.wait_status(fickle.fleet.submit("fickle"), "failed")
    (entry,) = wait_for(lambda: fickle.withheld("breaking"), "the breaker to open")
    assert (entry["capability"], entry["cause"]) == ("kind:fickle", "failures")
    (fickle.folder / "broken").unlink()
    job = fickle.fleet.submit("fickle")
    assert fickle.fleet.wait_status(job, "completed")
    assert fickle.withheld("breaking") == []


def test_a_node_joins_while_it_still_looks_at_what_it_has(fickle: FickleFleet) -> None:
    fickle.put("model")
    settings = {"FICKLE_GATE": "1", "MEDIAFLEET_NODE__WARMUP_AFTER_MS": "50"}
    fickle.fleet.start_node("slow", until="warmup", **settings)
    job = fickle.fleet.submit("fickle")
    assert "finding out" in fickle.node("slow")["reason"]
    assert fickle.fleet.job(job)["tasks"][0]["attempt"] == 0
    fickle.put("gate")
    assert fickle.fleet.wait_status(job, "completed")
    assert fickle.node("slow")["state"] == "ready"
    assert "ffmpeg" in fickle.node("slow")["facts"]


def test_a_fleet_that_requires_a_gpu_ends_a_node_without_one_with_the_reason() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="mf-") as home,
        running_fleet(Path(home), MEDIAFLEET_SCHEDULER__REQUIRE_GPU="true") as fleet,
    ):
        words = ("node", "--scheduler", fleet.url, "--data", str(Path(home) / "plain"), "--name", "plain")
        process: subprocess.Popen[bytes] = fleet._start("plain", *words)
        assert process.wait(PATIENCE_S) != 0
        assert "require_gpu" in (Path(home) / "plain.log").read_text()
        assert fleet.get("/api/v1/nodes") == []
