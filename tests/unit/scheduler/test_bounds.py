"""What a submission that does not fit is answered, and by whose rules."""

from __future__ import annotations

import pytest
from running_instances import Instances
from tests_support.store_driver import StoreDriver

from mediafleet.domain.errors import QueueFull
from mediafleet.domain.insight import OpenTasks
from mediafleet.domain.job import Submission
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.rules import FleetRules
from mediafleet.ops.settings import SchedulerSettings
from mediafleet.scheduler.bounds import bounds_of, describe_bounds, queue_full
from mediafleet.scheduler.service import fleet_rules
from mediafleet.store.cell_records import Bounds, Full


@pytest.mark.parametrize(
    ("full", "said"),
    [
        (Full("all", 9, 10, 2), "The fleet has 9 open tasks of 10 that scheduler.max_open allows, and 2 more"),
        (Full("tenant:a", 3, 3, 1), "The tenant 'a' has 3 open tasks of 3 that scheduler.max_open_per_tenant allows"),
        (Full("class:b", 1, 1, 1), "The class 'batch' has 1 open tasks of 1 that scheduler.max_open_batch allows"),
    ],
)
def test_the_sentence_names_the_bound_how_full_it_is_and_what_to_do(full: Full, said: str) -> None:
    error = queue_full(full)
    assert error.message.startswith(said)
    assert "cancel some" in error.message
    assert error.bound == full.field.partition(":")[0]


def test_what_can_never_fit_is_not_asked_to_wait() -> None:
    assert "hand in fewer at a time" in queue_full(Full("all", 0, 10, 11)).message


def test_each_setting_becomes_its_bound() -> None:
    settings = SchedulerSettings(
        max_open=1, max_open_per_tenant=2, max_open_live=3, max_open_interactive=4, max_open_batch=5
    )
    assert bounds_of(fleet_rules(settings)) == Bounds(1, 2, {"l": 3, "i": 4, "b": 5})
    assert bounds_of(FleetRules()) == Bounds(1_000_000, 200_000, {"l": 0, "i": 0, "b": 0})


async def test_an_instance_refuses_by_the_leaders_rules_and_counts_it(instances: Instances) -> None:
    async with instances.run(max_open=3) as fleet:
        await StoreDriver(instances.store).submit_many(2)
        batch = [Submission("noop"), Submission("noop")]
        with pytest.raises(QueueFull, match="2 open tasks of 3"):
            await fleet.submit(batch, principal="ann")
        assert (await fleet.jobs()).total == 2
        assert fleet.metrics.registry.get_sample_value("mediafleet_submissions_refused_total", {"reason": "all"}) == 1
        await fleet.submit(batch[:1], principal="ann")


def test_each_bound_is_shown_with_what_counts_against_it() -> None:
    rules = FleetRules(max_open=100, max_open_per_tenant=10, max_open_live=7)
    found = OpenTasks(9, {PriorityClass.LIVE: 3, PriorityClass.BATCH: 6}, "ann", 6)
    shown = describe_bounds(rules, found, cells=2)
    assert shown["all"] == {"open": 9, "most": 200}
    assert shown["tenant"] == {"open": 6, "most": 10, "fullest": "ann"}
    assert shown["class"] == {
        "live": {"open": 3, "most": 14},
        "interactive": {"open": 0, "most": 0},
        "batch": {"open": 6, "most": 0},
    }
