"""What a transcode costs beside plain FFmpeg; the time of the verifying decode is a figure of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.bench import overhead
from mediafleet.bench.figure import Figure
from mediafleet.bench.overhead import batch_figures, overhead_figures, verifying_s
from mediafleet.domain.errors import ErrorInfo, SchedulerUnavailable, TaskFailed
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.testing import make_clip


@pytest.fixture
def scheduler() -> Iterator[FakeScheduler]:
    with FakeScheduler() as running:
        yield running


def by_name(figures: Sequence[Figure]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


def job(started_ms: int, finished_ms: int, verify_s: float) -> dict[str, Any]:
    return {"started_ms": started_ms, "finished_ms": finished_ms, "result": {"verify_s": verify_s}}


def test_the_verifying_decode_of_one_file_is_told_apart() -> None:
    figures = by_name(overhead_figures([(10.0, 5.0, 3.0)]))
    assert figures["transcode_verify_s"].value == 3.0
    assert figures["transcode_overhead_s"].value == 2.0
    assert figures["transcode_overhead_ratio"].value == figures["transcode_overhead_ratio"].ratio == 1.4


def test_one_disturbed_round_does_not_move_the_figures() -> None:
    calm = [(6.0, 5.0, 1.0), (6.0, 5.0, 1.0)]
    assert overhead_figures([*calm, (60.0, 50.0, 10.0)]) == overhead_figures(calm)
    assert overhead_figures([(60.0, 50.0, 10.0), *calm]) == overhead_figures(calm)


def test_what_a_file_is_compared_to_is_named_with_its_time() -> None:
    assert overhead_figures([(10.0, 5.0, 3.0)])[0].compared_to == "plain ffmpeg 5.00 s, 30 s of 720p"


def test_the_verifying_decodes_of_a_batch_are_told_apart() -> None:
    figures = by_name(batch_figures(12.0, 8.0, 2.0))
    assert figures["batch_verify_s"].value == 2.0
    assert figures["batch_verify_s"].unit == "s"
    assert figures["batch_overhead_ratio"].value == figures["batch_overhead_ratio"].ratio == 1.25


def test_a_batch_says_what_it_is_compared_to_and_what_is_left_out() -> None:
    told = batch_figures(12.0, 8.0, 2.0)[0].compared_to
    assert told == "plain ffmpeg one by one 8.00 s, 20 files of 2 s; less the verifying decodes"


def test_decodes_one_after_the_other_add_up() -> None:
    assert verifying_s([job(0, 1000, 0.2), job(1000, 2000, 0.3)]) == pytest.approx(0.5)


def test_decodes_side_by_side_share_their_time() -> None:
    assert verifying_s([job(0, 1000, 0.2), job(0, 1000, 0.4)]) == pytest.approx(0.3)


def test_a_pause_between_files_makes_no_decode_longer() -> None:
    assert verifying_s([job(0, 1000, 0.2), job(9000, 10_000, 0.3)]) == pytest.approx(0.5)


def test_files_that_took_no_measurable_time_break_no_figure() -> None:
    assert verifying_s([job(5, 5, 0.0)]) == 0.0


runs = st.tuples(st.integers(0, 60_000), st.integers(1, 60_000), st.floats(0, 1))


@given(st.lists(runs, min_size=1, max_size=30))
def test_decodes_never_take_longer_than_the_batch_ran(drawn: list[tuple[int, int, float]]) -> None:
    jobs = [job(start, start + length, share * length / 1000) for start, length, share in drawn]
    span_s = (max(one["finished_ms"] for one in jobs) - min(one["started_ms"] for one in jobs)) / 1000
    assert 0 <= verifying_s(jobs) <= span_s * 1.001 + 1e-9


def test_plain_ffmpeg_gets_the_words_that_the_fleet_shows_with_real_paths() -> None:
    shown = ["ffmpeg", "-nostdin", "-i", "a.mp4", "-c:v", "libx264", "out.mp4"]
    words = overhead._command(shown, Path("/m/a.mp4"), Path("/t/plain.mp4"))
    assert words == [find_ffmpeg().path, "-nostdin", "-i", "file:/m/a.mp4", "-c:v", "libx264", "file:/t/plain.mp4"]
    assert shown[0] == "ffmpeg"


async def test_plain_ffmpeg_really_runs_and_its_time_is_returned(tmp_path: Path) -> None:
    clip = await make_clip(tmp_path / "a.mp4", seconds=0.2)
    view = {"result": {"command": ["ffmpeg", "-y", "-i", "a.mp4", "-c", "copy", "out.mp4"]}}
    assert await overhead.plain_ffmpeg(view, clip, tmp_path / "plain.mp4") > 0
    assert (tmp_path / "plain.mp4").stat().st_size > 0


async def test_a_plain_run_that_fails_is_no_measurement(tmp_path: Path) -> None:
    view = {"result": {"command": ["ffmpeg", "-y", "-i", "a.mp4", "out.mp4"]}}
    with pytest.raises(TaskFailed, match="Plain FFmpeg failed"):
        await overhead.plain_ffmpeg(view, tmp_path / "missing.mp4", tmp_path / "plain.mp4")


async def test_jobs_are_handed_in_together_and_returned_in_order(scheduler: FakeScheduler) -> None:
    async with aiohttp.ClientSession(scheduler.url) as session:
        views = await overhead._transcode(session, [Path("/m/a b.mp4"), Path("/m/c.mp4")])
    assert [view["id"] for view in views] == list(scheduler.jobs)
    assert [one.input for one in scheduler.submissions] == ["file:///m/a%20b.mp4", "file:///m/c.mp4"]
    assert scheduler.requests.count("POST /api/v1/jobs") == 1


async def test_a_job_that_failed_is_never_taken_for_a_fast_one(scheduler: FakeScheduler) -> None:
    scheduler.outcomes[""] = ErrorInfo("task-failed", "It broke.")
    async with aiohttp.ClientSession(scheduler.url) as session:
        with pytest.raises(TaskFailed, match=r"failed.*It broke"):
            await overhead._transcode(session, [Path("/m/a.mp4")])


async def test_a_fleet_with_a_node_that_takes_work_is_ready(scheduler: FakeScheduler) -> None:
    async with aiohttp.ClientSession(scheduler.url) as session:
        await overhead.until_ready(session)
    assert scheduler.requests == ["GET /api/v1/nodes"]


async def test_a_fleet_whose_node_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "JOIN_S", 0.0)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(SchedulerUnavailable, match=r"No node .* was ready within 0 s"):
            await overhead.until_ready(session)
