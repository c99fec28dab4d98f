"""What a job costs that has next to nothing to do: a small file is copied, verified and stored."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from mediafleet.artifacts.fingerprint import uri_of_path
from mediafleet.bench.figure import Figure
from mediafleet.bench.fleet import bench_fleet
from mediafleet.bench.overhead import plain_ffmpeg, until_ready
from mediafleet.domain.errors import TaskFailed
from mediafleet.testing import make_clip

ROUNDS = 15
REST_S = 0.5
"""Between two rounds: a node that has nothing to do gets ready for the next job."""
PATIENCE_S = 60


async def measure_copy() -> list[Figure]:
    """Measure the copy of a file of some 100 KB on an idle fleet of one node, from submission to the answer that it is done."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "small.mp4"
        await make_clip(clip, seconds=2, size="320x240")
        async with bench_fleet("up") as fleet, aiohttp.ClientSession(fleet.url) as session:
            await until_ready(session)
            rounds = [await _round(session, clip, Path(folder)) for _ in range(ROUNDS)]
    return copy_figures(rounds)


def copy_figures(rounds: Sequence[tuple[float, float]]) -> list[Figure]:
    """Return the figures from rounds of seconds: the job, and plain FFmpeg."""
    job_s, plain_s = (statistics.median(column) for column in zip(*rounds, strict=True))
    about = f"plain ffmpeg, which verifies nothing, {plain_s:.3f} s"
    return [
        Figure("copy_job_s", job_s, "s", f"median of {len(rounds)}, submit to verified and done; {about}"),
        Figure("copy_overhead_s", job_s - plain_s, "s", "the same less plain ffmpeg"),
    ]


async def _round(session: aiohttp.ClientSession, clip: Path, folder: Path) -> tuple[float, float]:
    await asyncio.sleep(REST_S)
    submission = {"kind": "transcode", "input": uri_of_path(clip), "params": {"preset": "copy"}}
    started = time.perf_counter()
    async with session.post(f"/api/v1/jobs?wait_s={PATIENCE_S}", json=submission) as response:
        response.raise_for_status()
        view = await response.json()
    job_s = time.perf_counter() - started
    # A job that failed early would otherwise count as a fast one.
    if view["status"] != "completed":
        raise TaskFailed(f"The copy to be measured is {view['status']}: {view['error']}")
    return job_s, await plain_ffmpeg(view, clip, folder / "plain.mp4")
