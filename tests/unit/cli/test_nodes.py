"""`nodes`, `drain`, `pools`: the machines of a fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import NODE, POOL, FakeScheduler


class Empty(FakeScheduler):
    """A fleet that no machine has joined."""

    def _answer(self, make: Callable[[web.Request], object], status: int = 200) -> Any:
        def none(request: web.Request) -> object:
            return [] if request.path in {"/api/v1/nodes", "/api/v1/pools"} else make(request)

        return super()._answer(none, status)


def test_nodes_are_listed_with_what_they_run(cli: RunCli) -> None:
    ran = cli("nodes")
    assert ran.out.splitlines()[1].split()[:5] == [NODE.id, "studio", "ready", "cpu", "1/2"]
    assert cli("nodes", "--json").json[0]["id"] == NODE.id


def test_a_drain_says_what_it_did_and_can_be_undone(cli: RunCli) -> None:
    assert "takes nothing new" in cli("drain", NODE.id).out
    assert cli("drain", NODE.id, "--undo", "--json").json["state"] == "ready"
    assert cli("drain", "n0-nothing-abc").code == 1


def test_pools_are_listed(cli: RunCli) -> None:
    assert cli("pools").out.splitlines()[1].split()[0] == POOL.pool
    assert cli("pools", "--json").json[0]["slots"] == 2


def test_a_fleet_without_machines_says_so(bare: RunCli) -> None:
    with Empty() as scheduler:
        assert bare("nodes", "--server", scheduler.url).out == "The fleet has no nodes yet.\n"
        assert bare("pools", "--server", scheduler.url).out == "The fleet has no executors yet.\n"
        assert bare("nodes", "--server", scheduler.url, "--json").json == []


def test_a_drain_is_told_in_a_sentence_both_ways(cli: RunCli) -> None:
    assert cli("drain", NODE.id).out == f"{NODE.id} finishes what it runs and takes nothing new.\n"
    assert cli("drain", NODE.id, "--undo").out == f"{NODE.id} takes work again.\n"


def test_a_program_gets_the_node_as_it_is_then(cli: RunCli) -> None:
    ran = cli("drain", NODE.id, "--json")
    assert (ran.json["id"], ran.json["state"]) == (NODE.id, "draining")


def test_a_node_that_is_unknown_is_an_error_for_people_and_programs(cli: RunCli) -> None:
    ran = cli("drain", "n0-nothing-abc", "--json")
    assert ran.code == 1
    assert ran.json["error"]["code"] == "not-found"
    assert ran.err.startswith("mediafleet: There is no node")


def test_a_drain_names_its_node(bare: RunCli) -> None:
    assert bare("drain").code == 2


@pytest.mark.parametrize("command", ["nodes", "pools"])
def test_a_scheduler_that_is_away_is_a_sentence(bare: RunCli, scheduler: FakeScheduler, command: str) -> None:
    scheduler.stop()
    ran = bare(command, "--server", scheduler.url)
    assert ran.code == 1
    assert ran.err.startswith("mediafleet: No scheduler answers")
    assert not ran.out


def test_nodes_are_listed_by_state(cli: RunCli) -> None:
    assert [node["id"] for node in cli("nodes", "--state", "ready", "--json").json] == [NODE.id]
    assert cli("nodes", "--state", "Unavailable", "--json").json == []
    assert cli("nodes", "--state", "sleepy").code != 0
