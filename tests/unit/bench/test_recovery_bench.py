"""Recovery is measured on real processes that are really killed; here with few nodes and few kills."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mediafleet import bench
from mediafleet.bench import BENCHES, recovery
from mediafleet.bench.roaming_nodes import RoamingNode

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure little, with a lease that a start does not hold back for long."""
    rules = {"HEARTBEAT": 500, "NODE_LEASE": 3_000, "RESERVATION": 1_000, "OUTAGE_GAP": 2_000}
    short = {f"MEDIAFLEET_SCHEDULER__{name}_MS": str(value) for name, value in rules.items()}
    for name, value in {"NODES": 4, "KILLS": 2, "JOBS": 6, "ROUNDS": 1, "GRACE_S": 4.0, "BEAT_S": 0.5}.items():
        monkeypatch.setattr(recovery, name, value)
    monkeypatch.setattr(recovery, "SHORT", short)
    monkeypatch.setattr(recovery, "USUAL", short)


@pytest.mark.usefixtures("small_numbers")
def test_every_figure_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["recovery"], json=True) == 0
    figures = {one.name: one for one in msgspec.json.decode(capsys.readouterr().out, type=list[bench.Figure])}
    assert set(figures) == set(BENCHES["recovery"].figures)
    assert all(figure.value > 0 and "the aim of" in figure.compared_to for figure in figures.values())
    assert figures["recovery_live_silent_max_beats"].unit == "heartbeats"


def test_one_figure_may_be_asked_for_by_its_name() -> None:
    assert bench.choose(["recovery_live_closed_max_s"]) == {"recovery": {"recovery_live_closed_max_s"}}


async def test_a_node_that_finds_nobody_tries_the_next_address_until_it_is_killed() -> None:
    tried: list[str] = []
    node = RoamingNode(1, ["http://127.0.0.1:9", "http://127.0.0.1:1"], lambda _, __: True)

    def note() -> None:
        tried.append(node.address)
        if len(tried) == 3:
            node.kill()

    async with asyncio.timeout(30):
        await node.run(note)
    assert tried == ["http://127.0.0.1:9", "http://127.0.0.1:1", "http://127.0.0.1:9"]
    assert node.linked_to == ""
