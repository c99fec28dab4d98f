"""What workers of older fleets say of themselves."""

from __future__ import annotations

from typing import Any

import pytest

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.worker import check_worker_id, worker_node_id
from mediafleet.doors.signalr.worker_words import Said, State, read_status


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Idle", State.IDLE),
        (" BUSY ", State.BUSY),
        ("Unavailable", State.AWAY),
        ("ready", State.READY),
        ("anything else", State.READY),
        ("", State.READY),
    ],
)
def test_a_word_in_any_case(word: str, state: State) -> None:
    said = read_status(word, Said())
    assert (said.state, said.word) == (state, word.strip())


@pytest.mark.parametrize(
    "able",
    [
        {"gpu_available": True, "concurrent_tasks": 4},
        {"gpuAvailable": True, "concurrentTasks": 4},
        {"GpuAvailable": True, "ConcurrentTasks": 4, "more": "of newer programs"},
    ],
)
def test_an_object_with_capabilities_in_either_spelling(able: dict[str, Any]) -> None:
    said = read_status({"Status": "idle", "capabilities": able}, Said())
    assert said == Said("idle", State.IDLE, 4, has_gpu=True)


def test_what_is_left_out_stays() -> None:
    before = Said("busy", State.BUSY, 3, has_gpu=True)
    assert read_status({}, before) == before
    assert read_status({"capabilities": {"concurrent_tasks": 2}}, before) == before._replace(slots=2)
    assert read_status("idle", before) == before._replace(word="idle", state=State.IDLE)


@pytest.mark.parametrize("status", [None, 3, ["idle"]])
def test_what_is_no_status_is_refused(status: Any) -> None:
    with pytest.raises(InvalidRequest, match="status"):
        read_status(status, Said())


@pytest.mark.parametrize("slots", [0, -1, 4097, 1.5, "2", True])
def test_slots_that_cannot_be_are_refused(slots: Any) -> None:
    with pytest.raises(InvalidRequest, match="concurrent_tasks"):
        read_status({"capabilities": {"concurrent_tasks": slots}}, Said())


def test_the_node_of_a_worker_is_always_the_same_and_shows_its_name() -> None:
    node = worker_node_id("0", "Studio B / 2")
    assert node == worker_node_id("0", "Studio B / 2")
    assert node.startswith("n0-studio-b-2-")
    assert worker_node_id("0", "studio b 2") != node
    assert worker_node_id("1", "…").startswith("n1-worker-")


@pytest.mark.parametrize("worker", ["", "  ", "a\nb", "\u202eb", "x" * 201])
def test_ids_that_cannot_be_are_refused(worker: str) -> None:
    with pytest.raises(InvalidRequest, match="id"):
        check_worker_id(worker)
