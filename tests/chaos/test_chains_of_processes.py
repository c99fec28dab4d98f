"""Chains of modules over real nodes: on one, over several, and while nodes come and go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_support.aftermath import check_aftermath
from tests_support.cluster_process import running_cluster
from tests_support.fleet_process import FleetProcesses, running_fleet, wait_for
from tests_support.speech_kind import OFFERS, site_folder, spoken

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

HEARS, TRANSLATES, SPEAKS = "recognise:en", "mt:en>es", "tts:es"
Start = Callable[..., None]


@pytest.fixture
def fleet(folder: Path) -> Iterator[FleetProcesses]:
    """A scheduler that knows the kind of these tests; nodes are the test's to start."""
    with running_fleet(folder, **site_folder(folder / "site")) as fleet:
        yield fleet


@pytest.fixture
def start(fleet: FleetProcesses) -> Start:
    """Starts a node that offers these things."""

    def start_node(name: str, *offers: str) -> None:
        fleet.environment[OFFERS] = " ".join(offers)
        fleet.start_node(name)

    return start_node


@pytest.fixture
def morse(folder: Path) -> Path:
    """Something said in English."""
    path = folder / "said.morse"
    path.write_text(spoken("good milk"))
    return path


def done(fleet: FleetProcesses, job: str) -> Any:
    """Return a job that did what it should."""
    view = fleet.wait_status(job, "completed", "failed")
    assert view["status"] == "completed", view["error"]
    assert view["result"] == {"synthesise": {"text": "buen leche", "heard": 2}}
    (output,) = view["outputs"]
    assert fleet.download(output["id"]).decode() == spoken("buen leche")
    return view


def where(fleet: FleetProcesses, view: Any) -> dict[str, str]:
    """Return on which node each task of a job ran, by their names."""
    hosts = {node["id"]: node["host"] for node in fleet.get("/api/v1/nodes")}
    return {task["id"].partition(".")[2]: hosts[task["executor"].partition("/")[0]] for task in view["tasks"]}


def test_a_chain_runs_on_the_one_node_that_can_do_all_of_it(fleet: FleetProcesses, start: Start, morse: Path) -> None:
    start("part", HEARS, TRANSLATES)
    start("whole", HEARS, TRANSLATES, SPEAKS)
    view = done(fleet, fleet.submit("speech", source=morse))
    assert where(fleet, view) == {"chain": "whole"}
    assert [task["attempt"] for task in view["tasks"]] == [1]
    check_aftermath(fleet, fleet.accepted)


def test_a_chain_goes_from_node_to_node_where_none_can_do_all_of_it(
    fleet: FleetProcesses, start: Start, morse: Path
) -> None:
    start("ear", HEARS)
    start("mouth", TRANSLATES, SPEAKS)
    view = done(fleet, fleet.submit("speech", source=morse))
    # What is left after the first step can be done by one node, so it is one task.
    assert where(fleet, view) == {"chain_recognise": "ear", "chain_from_translate": "mouth"}
    check_aftermath(fleet, fleet.accepted)


def test_a_chain_that_nobody_can_do_says_which_module_lacks_what_and_runs_when_a_node_joins(
    fleet: FleetProcesses, start: Start, morse: Path
) -> None:
    start("ear", HEARS, TRANSLATES)
    job = fleet.submit("speech", source=morse)
    why = wait_for(lambda: found if (found := fleet.get(f"/api/v1/jobs/{job}/why"))["modules"] else None, "a layout")
    assert why["sentence"] == f"No executor can do synthesise (the one that comes nearest lacks {SPEAKS})."
    assert [(one["module"], one["missing"]) for one in why["modules"]] == [
        ("recognise", []),
        ("translate", []),
        ("synthesise", [SPEAKS]),
    ]
    assert [task["state"] for task in fleet.job(job)["tasks"]] == ["NEW"], "nothing is begun in vain"
    start("mouth", SPEAKS)
    # One task was to be the whole chain; now each node does its part.
    assert where(fleet, done(fleet, job)) == {
        "chain_recognise": "ear",
        "chain_translate": "ear",
        "chain_synthesise": "mouth",
    }
    check_aftermath(fleet, fleet.accepted)


def test_a_node_that_can_do_everything_takes_a_chain_that_waits_for_several(
    fleet: FleetProcesses, start: Start, morse: Path, folder: Path
) -> None:
    start("ear", HEARS)
    start("mouth", TRANSLATES, SPEAKS)
    # The one slot of the ear is taken, so that the second chain waits after it was decided to run step by step.
    gate = folder / "gate"
    first = fleet.submit("speech", source=morse, gate=str(gate))
    fleet.wait_status(first, "processing")
    second = fleet.submit("speech", source=morse)
    wait_for(lambda: [task["id"] for task in fleet.job(second)["tasks"]] == [f"{second}.chain_recognise"], "a layout")
    start("whole", HEARS, TRANSLATES, SPEAKS)
    assert where(fleet, done(fleet, second)) == {"chain": "whole"}
    gate.touch()
    view = done(fleet, first)
    # What has begun stays where it is.
    assert where(fleet, view)["chain_recognise"] == "ear"
    check_aftermath(fleet, fleet.accepted)


def test_an_instance_that_has_no_part_in_it_dies_and_the_chain_goes_on_through_another(
    folder: Path, morse: Path
) -> None:
    with running_cluster(folder, "one", "two", settings=site_folder(folder / "site")) as cluster:
        cluster.environment[OFFERS] = HEARS
        cluster.start_node("ear")
        cluster.use("one")
        gate = folder / "gate"
        jobs = [cluster.submit("speech", source=morse, gate=str(gate)) for _ in range(3)]
        for job in jobs:
            wait_for(lambda job=job: cluster.job(job)["tasks"], "a layout")
        cluster.kill_instance("one")
        cluster.use("two")
        cluster.environment[OFFERS] = f"{TRANSLATES} {SPEAKS}"
        cluster.start_node("mouth")
        gate.touch()
        for job in jobs:
            tasks = where(cluster, done(cluster, job))
            assert tasks == {"chain_recognise": "ear", "chain_from_translate": "mouth"}
        check_aftermath(cluster, cluster.accepted)


def test_a_chain_whose_node_is_killed_is_run_by_others(fleet: FleetProcesses, start: Start, morse: Path) -> None:
    start("first", HEARS, TRANSLATES, SPEAKS)
    job = fleet.submit("speech", source=morse, gate=str(fleet.folder / "gate"))
    wait_for(lambda: [task["state"] for task in fleet.job(job)["tasks"]] == ["ACKED"], "the chain to begin")
    fleet.kill_node("first")
    start("second", HEARS, TRANSLATES, SPEAKS)
    (fleet.folder / "gate").touch()
    view = done(fleet, job)
    assert where(fleet, view) == {"chain": "second"}
    assert view["tasks"][0]["attempt"] == 2
    check_aftermath(fleet, fleet.accepted)


def test_the_newest_version_that_the_catalogue_knows_and_a_node_offers_is_taken(folder: Path, morse: Path) -> None:
    services = [
        {"name": "ears", "version": version, "provides": [HEARS], "capabilities": [f"asr:ears@{version}"]}
        for version in ("1.9", "1.10", "2.0")
    ]
    document = folder / "catalogue.json"
    document.write_text(json.dumps({"format": 1, "revision": "r1", "services": services}))
    settings = {**site_folder(folder / "site"), "MEDIAFLEET_CATALOGUE__FILE": str(document)}
    with running_fleet(folder, **settings) as fleet:
        for name, version in (("old", "1.9"), ("new", "1.10")):
            fleet.environment[OFFERS] = f"asr:ears@{version} {TRANSLATES} {SPEAKS}"
            fleet.start_node(name)
        catalogue = fleet.get("/api/v1/catalogue")
        assert (catalogue["source"], catalogue["revision"], len(catalogue["services"])) == ("file", "r1", 3)
        jobs = [fleet.submit("speech", source=morse) for _ in range(2)]
        assert [where(fleet, done(fleet, job)) for job in jobs] == [{"chain": "new"}] * 2
        check_aftermath(fleet, fleet.accepted)
