"""Limits of load with their slack, and what is said of capabilities that are withheld."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.health import (
    RESOURCES,
    SLACK,
    Cause,
    Standing,
    Withheld,
    capability_of,
    has_gpu,
    judge_load,
    parse_headroom,
)
from mediafleet.domain.node import Executor

shares = st.floats(0, 1)
loads = st.dictionaries(st.sampled_from([*RESOURCES, "cpu_own", "gpu_busy"]), shares)


def test_headroom_is_read_by_resource() -> None:
    assert parse_headroom(["disk:10", "cpu:0"]) == {"disk": 10, "cpu": 0}
    assert parse_headroom([]) == {}


@pytest.mark.parametrize("line", ["disk", "disk:", "disk:101", "disk:-1", "tape:5", "disk:5:5", "", "disk: 5"])
def test_what_is_no_headroom_is_refused_with_an_example(line: str) -> None:
    with pytest.raises(InvalidRequest, match="disk:10"):
        parse_headroom([line])


def test_a_node_over_a_limit_is_pressed_and_the_reason_names_what_and_by_how_much() -> None:
    pressure = judge_load({"memory": 0.91, "disk": 0.2}, {}, headroom=25)
    assert pressure.reason == "memory 91% in use, 75% at most"
    assert not pressure.is_eased


@pytest.mark.parametrize(
    ("used", "is_pressed", "is_eased"),
    [(0.76, True, False), (0.75, False, False), (0.71, False, False), (0.7, False, True)],
)
def test_between_the_limit_and_some_way_below_nothing_changes(used: float, *, is_pressed: bool, is_eased: bool) -> None:
    pressure = judge_load({"disk": used}, {}, headroom=25)
    assert (bool(pressure.reason), pressure.is_eased) == (is_pressed, is_eased)


def test_the_nodes_own_work_on_the_processor_keeps_no_work_away() -> None:
    assert judge_load({"cpu": 1.0, "cpu_own": 0.9}, {}, headroom=25).is_eased
    assert judge_load({"cpu": 1.0, "cpu_own": 0.1}, {}, headroom=25).reason


def test_so_much_that_is_free_is_enough_unless_the_node_says_otherwise() -> None:
    load = {"disk": 0.9, "disk_free_gb": 400.0}
    assert judge_load(load, {}, headroom=25).is_eased
    assert judge_load(load, {"disk": 25}, headroom=25).reason
    assert judge_load({"disk": 0.9, "disk_free_gb": 20.0}, {}, headroom=25).reason


def test_a_limit_of_the_node_goes_before_that_of_the_fleet() -> None:
    assert judge_load({"disk": 0.9}, {"disk": 5}, headroom=25).is_eased is False
    assert judge_load({"disk": 0.9}, {"disk": 5}, headroom=25).reason == ""
    assert judge_load({"disk": 0.9}, {"disk": 0}, headroom=25).is_eased
    assert judge_load({"disk": 0.1}, {"disk": 100}, headroom=0).reason


@given(loads)
def test_a_fleet_that_looks_away_sees_nothing(load: dict[str, float]) -> None:
    assert judge_load(load, {}, headroom=0).is_eased


@given(loads, st.integers(0, 100))
def test_no_load_both_presses_and_eases(load: dict[str, float], headroom: int) -> None:
    pressure = judge_load(load, {}, headroom=headroom)
    assert not (pressure.reason and pressure.is_eased)


@given(loads, st.integers(1, 100), st.sampled_from(RESOURCES))
def test_more_in_use_never_eases(load: dict[str, float], headroom: int, name: str) -> None:
    before = judge_load(load, {}, headroom=headroom)
    after = judge_load({**load, name: min(1.0, load.get(name, 0.0) + SLACK)}, {}, headroom=headroom)
    assert after.is_eased <= before.is_eased
    assert bool(after.reason) >= bool(before.reason)


@pytest.mark.parametrize(
    ("missing", "capability"),
    [
        ("asr:vosk", "asr:vosk"),
        ("kind:subtitle", "kind:subtitle"),
        ("kind:subtitle/burn", "kind:subtitle"),
        ("kind:subtitle@3", ""),
        ("", ""),
        ("a disk", ""),
        ("mt:en>es", "mt:en>es"),
        ("kind:x\n", ""),
    ],
)
def test_what_a_node_says_that_it_lacks_names_a_capability_or_nothing(missing: str, capability: str) -> None:
    assert capability_of(missing) == capability


def test_a_gpu_is_any_hardware_that_an_executor_offers() -> None:
    assert has_gpu([Executor("cpu", 1, ("kind:noop",)), Executor("gpu0", 1, ("hw:cuda",))])
    assert not has_gpu([Executor("cpu", 1, ("kind:noop", "label:hw"))])


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize("standing", Standing)
def test_every_standing_has_a_sentence_that_names_the_capability(standing: Standing, cause: Cause) -> None:
    sentence = Withheld("asr:vosk", standing, cause, 3_600_000, reason="No model.").sentence
    assert "asr:vosk" in sentence
    assert sentence.endswith(".")
    if standing is Standing.OUT:
        assert "01:00:00 UTC" in sentence
