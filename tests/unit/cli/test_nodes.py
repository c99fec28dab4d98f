"""`nodes`, `drain`, `pools`: the machines of a fleet."""

from __future__ import annotations

from tests_support.command_line import RunCli
from tests_support.fake_scheduler import NODE, POOL


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
