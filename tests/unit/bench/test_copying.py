"""What a job costs that has next to nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.bench import BENCHES, copying
from mediafleet.bench.copying import copy_figures, measure_copy
from mediafleet.domain.errors import TaskFailed


@pytest.fixture
def scheduler() -> Iterator[FakeScheduler]:
    with FakeScheduler() as running:
        yield running


def test_plain_ffmpeg_is_taken_off_and_named() -> None:
    job, overhead = copy_figures([(0.15, 0.05)])
    assert (job.value, overhead.value) == (0.15, pytest.approx(0.1))
    assert job.compared_to == "median of 1, submit to verified and done; plain ffmpeg, which verifies nothing, 0.050 s"


def test_one_disturbed_round_does_not_move_the_figures() -> None:
    rounds = [(0.15, 0.05), (0.16, 0.06), (9.0, 0.06)]
    assert [figure.value for figure in copy_figures(rounds)] == [0.16, pytest.approx(0.1)]


async def test_a_real_fleet_copies_a_real_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "ROUNDS", 1)
    figures = await measure_copy()
    assert tuple(figure.name for figure in figures) == BENCHES["copy"].figures
    # What plain FFmpeg took is the difference; on a machine that halts for a while the fleet may be the faster of the two.
    assert figures[0].value > max(0, figures[1].value)


async def test_a_job_that_is_not_done_is_no_fast_one(scheduler: FakeScheduler, tmp_path: Path) -> None:
    async with aiohttp.ClientSession(scheduler.url) as session:
        with pytest.raises(TaskFailed, match="The copy to be measured is processing"):
            await copying._round(session, tmp_path / "film.mp4", tmp_path)
