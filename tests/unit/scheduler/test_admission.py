"""What a node says of itself when it registers, and which nodes may not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from recording_link import RecordingLink

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.frames import PROTOCOL_VERSION, Register
from mediafleet.domain.node import Executor, NodeState
from mediafleet.ops.settings import SchedulerSettings
from mediafleet.scheduler.admission import check_gpu, node_record, state_of
from mediafleet.store.records import NodeRecord

CPU = Executor("cpu", 2, ("kind:noop",))
GPU = Executor("gpu0", 1, ("hw:cuda",))


def register(**changes: Any) -> Register:
    """Return a registration that is in order but for the changes."""
    whole = Register(PROTOCOL_VERSION, "n0-a-1", "i", "host", "0", (CPU,))
    return msgspec.structs.replace(whole, **changes)


def admit(frame: Register, **settings: Any) -> NodeRecord:
    return node_record(frame, "i-1", SchedulerSettings(**settings), max_kills=2, link=RecordingLink(frame.node))


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("", NodeState.READY),
        ("ready", NodeState.READY),
        ("WARMUP", NodeState.WARMUP),
        ("degraded", NodeState.DEGRADED),
        ("Draining", NodeState.DRAINING),
    ],
)
def test_a_node_may_say_in_which_state_it_joins(word: str, state: NodeState) -> None:
    assert state_of(register(state=word)) is state


@pytest.mark.parametrize("word", ["offline", "unavailable", "unlinked", "sleeping"])
def test_a_node_cannot_join_in_a_state_in_which_it_would_not_be_there(word: str) -> None:
    with pytest.raises(InvalidRequest, match=word):
        state_of(register(state=word))


def test_the_state_is_what_the_store_goes_by() -> None:
    warm, ill, leaving = (admit(register(state=word)) for word in ("warmup", "degraded", "draining"))
    assert (warm.warming, warm.ailing, warm.draining) == (True, "", False)
    assert (ill.warming, ill.ailing != "", ill.draining) == (False, True, False)
    assert (leaving.warming, leaving.ailing, leaving.draining) == (False, "", True)


def test_the_load_that_a_node_joins_with_is_judged_by_its_own_limits_and_the_fleets() -> None:
    assert admit(register(load={"memory": 0.9})).pressed.startswith("memory 90%")
    assert admit(register(load={"memory": 0.9}, headroom={"memory": 5})).pressed == ""
    assert admit(register(load={"memory": 0.9}), headroom_percent=0).pressed == ""
    assert admit(register(load={"memory": 0.5})).load == '{"memory":0.5}'


def test_a_fleet_that_requires_a_gpu_refuses_a_node_without_one_and_says_why() -> None:
    with pytest.raises(InvalidRequest, match=r"require_gpu.*hw:"):
        admit(register(), require_gpu=True)
    assert admit(register(executors=(CPU, GPU)), require_gpu=True).node == "n0-a-1"
    assert admit(register()).node == "n0-a-1"


def test_a_node_that_warms_up_need_not_know_yet_whether_it_has_a_gpu() -> None:
    assert admit(register(state="warmup"), require_gpu=True).warming
    with pytest.raises(InvalidRequest, match="require_gpu"):
        check_gpu([CPU], is_required=True)
