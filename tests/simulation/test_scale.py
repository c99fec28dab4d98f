"""The larger runs, in small: what they report is true of the fleets that they ran."""

from __future__ import annotations

from fleet_simulator.day import run_day
from fleet_simulator.scale import run_scale

from mediafleet.domain.lifecycle import PriorityClass


def test_a_fleet_without_faults_does_all_its_work_and_beats_in_time() -> None:
    report = run_scale(12, seconds=90, jobs_per_s=0.5, instances=2)
    assert report.broken == ()
    assert report.completed == report.jobs == 15
    assert report.calls["register"] == 12
    assert report.calls["finish"] > 0
    assert report.virtual_s >= 90


def test_a_day_of_mixed_traffic_ends_with_every_task_final() -> None:
    report = run_day(6)
    assert report.tasks > 1_000
    assert report.done + report.failed == report.tasks
    assert report.failed < report.tasks / 1_000
    assert report.most_used <= report.slots


def test_live_work_waits_less_than_batch_in_the_busiest_hours() -> None:
    report = run_day(6)
    assert report.wait(PriorityClass.LIVE, 0.99) < report.wait(PriorityClass.BATCH, 0.99)
