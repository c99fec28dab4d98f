"""What a node tells of its machine before, while and after it looks at what it can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mediafleet.domain.errors import InvalidRequest
from mediafleet.node.executors import Offer
from mediafleet.node.gauges import Cards, LoadGauges
from mediafleet.node.machine import CUDA, Machine
from mediafleet.ops.settings import NodeSettings


def machine(folder: Path, *offers: Offer, gpus: tuple[str, ...] = (), **settings: Any) -> Machine:
    """Return a machine that finds these, one after another."""
    found = iter(offers)

    async def look() -> Offer:
        return next(found)

    return Machine(NodeSettings(slots=2, **settings), LoadGauges(folder, Cards("none")), gpus, look)


async def test_before_it_has_looked_a_machine_offers_its_labels_only(tmp_path: Path) -> None:
    cold = machine(tmp_path, Offer({"kind:noop"}, facts={"ffmpeg": "9.0"}), labels=("b",))
    assert ([one.capabilities for one in cold.executors], cold.is_warm) == ([("label:b",)], False)
    await cold.look()
    assert ([one.capabilities for one in cold.executors], cold.is_warm) == ([("kind:noop", "label:b")], True)
    assert cold.facts["ffmpeg"] == "9.0"


async def test_a_card_that_the_driver_shows_is_a_capability(tmp_path: Path) -> None:
    found = machine(tmp_path, gpus=("Card A",))
    assert found.executors[0].capabilities == (CUDA,)
    assert found.facts["gpus"] == ["Card A"]
    assert "gpus" not in machine(tmp_path).facts


async def test_it_is_announced_with_all_that_was_found(tmp_path: Path) -> None:
    warm = machine(tmp_path, Offer({"kind:noop"}))
    await warm.look()
    ready, again = warm.announcement("state"), warm.announcement("executors")
    assert (ready.event, ready.data["state"], ready.executors) == ("state", "ready", warm.executors)
    assert (again.event, again.executors, again.data["facts"]) == ("executors", warm.executors, warm.facts)
    assert "state" not in again.data


def test_headroom_that_cannot_be_read_is_refused_at_once(tmp_path: Path) -> None:
    assert machine(tmp_path, headroom=("disk:5",)).headroom == {"disk": 5}
    with pytest.raises(InvalidRequest, match="tape"):
        machine(tmp_path, headroom=("tape:5",))


async def test_the_load_is_what_the_gauges_saw_last(tmp_path: Path) -> None:
    found = machine(tmp_path)
    assert found.load() == {}
    with found._gauges:
        await found.wait_for_load()
        assert "memory" in found.load()
