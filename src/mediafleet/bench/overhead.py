"""What a transcode costs beside plain FFmpeg with the same arguments, in the same run."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from mediafleet.artifacts.fingerprint import uri_of_path
from mediafleet.bench.figure import Figure
from mediafleet.bench.fleet import bench_fleet
from mediafleet.domain.errors import SchedulerUnavailable, TaskFailed
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.testing import make_clip

ROUNDS = 3
LONG_S = 30.0
SMALL_S = 2.0
SMALL_FILES = 20
POLL_S = 0.02
WAIT_S = 60
"""The longest that the API holds an answer."""
JOIN_S = 60.0
"""Longest wait for the node: it tries every encoder when it starts for the first time."""
PARAMS = {"preset": "h264", "speed": "fast"}


async def measure_overhead() -> list[Figure]:
    """Measure one 30 s file: the fleet's time without its verifying decode, against plain FFmpeg."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "long.mp4"
        await make_clip(clip, seconds=LONG_S, size="1280x720")
        async with bench_fleet("up") as fleet, aiohttp.ClientSession(fleet.url) as session:
            await until_ready(session)
            rounds = [await _round(session, clip, Path(folder)) for _ in range(ROUNDS)]
    return overhead_figures(rounds)


def overhead_figures(rounds: Sequence[tuple[float, float, float]]) -> list[Figure]:
    """Return the figures of one file from rounds of seconds: the fleet, plain FFmpeg, the verifying decode."""
    # The median of each: one round that another program of this machine disturbed must not move the figures.
    fleet_s, plain_s, verify_s = (sorted(column)[len(rounds) // 2] for column in zip(*rounds, strict=True))
    # Plain FFmpeg reads nothing back. What the fleet does more for the user is a figure of its own, no overhead.
    net = fleet_s - verify_s
    about = f"plain ffmpeg {plain_s:.2f} s, {LONG_S:.0f} s of 720p"
    less = "submit to completed, less plain ffmpeg and the verifying decode"
    return [
        Figure("transcode_overhead_ratio", net / plain_s, "", about, net / plain_s),
        Figure("transcode_overhead_s", net - plain_s, "s", less),
        Figure("transcode_verify_s", verify_s, "s", "the verifying decode"),
    ]


async def measure_batch_overhead() -> list[Figure]:
    """Measure 20 small files: the fleet's time without its verifying decodes, against plain FFmpeg one by one."""
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder) / f"small-{number}.mp4" for number in range(SMALL_FILES)]
        for clip in clips:
            await make_clip(clip, seconds=SMALL_S, size="1280x720")
        async with bench_fleet("up") as fleet, aiohttp.ClientSession(fleet.url) as session:
            await until_ready(session)
            # A first file apart: it pays once for what every later one finds ready, and shows the command for plain runs.
            first = await _transcode(session, clips[:1])
            started = time.perf_counter()
            views = await _transcode(session, clips)
            fleet_s = time.perf_counter() - started
        plain_s = 0.0
        for clip in clips:
            plain_s += await plain_ffmpeg(first[0], clip, Path(folder) / "plain.mp4")
    return batch_figures(fleet_s, plain_s, verifying_s(views))


def batch_figures(fleet_s: float, plain_s: float, verify_s: float) -> list[Figure]:
    """Return the figures of the small files from three lengths of time in seconds."""
    net = fleet_s - verify_s
    about = f"plain ffmpeg one by one {plain_s:.2f} s, {SMALL_FILES} files of {SMALL_S:.0f} s"
    return [
        Figure("batch_overhead_ratio", net / plain_s, "", f"{about}; less the verifying decodes", net / plain_s),
        Figure("batch_verify_s", verify_s, "s", "the verifying decodes, as far as the batch took longer for them"),
    ]


def verifying_s(views: Sequence[dict[str, Any]]) -> float:
    """Return by how many seconds the verifying decodes made a batch longer, from the views of its completed jobs."""
    ran_ms = sum(view["finished_ms"] - view["started_ms"] for view in views)
    span_ms = max(view["finished_ms"] for view in views) - min(view["started_ms"] for view in views)
    # Files run side by side and so do their decodes: the sum of the decodes' seconds would be more than the batch
    # took for them. It is divided by how many files ran at once on average; pauses between files are no such time.
    at_once = max(1.0, ran_ms / max(1, span_ms))
    return sum(float(view["result"]["verify_s"]) for view in views) / at_once


async def _round(session: aiohttp.ClientSession, clip: Path, folder: Path) -> tuple[float, float, float]:
    # Plain FFmpeg follows at once in the same round: what slows this machine for a while slows both.
    started = time.perf_counter()
    view = (await _transcode(session, [clip]))[0]
    fleet_s = time.perf_counter() - started
    return fleet_s, await plain_ffmpeg(view, clip, folder / "plain.mp4"), float(view["result"]["verify_s"])


async def _transcode(session: aiohttp.ClientSession, clips: Sequence[Path]) -> list[dict[str, Any]]:
    return await finished_jobs(session, await hand_in(session, clips, PARAMS))


async def hand_in(session: aiohttp.ClientSession, clips: Sequence[Path], params: dict[str, Any]) -> list[str]:
    """Submit a transcode of each file in one call; return the jobs."""
    submissions = [{"kind": "transcode", "input": uri_of_path(clip), "params": params} for clip in clips]
    async with session.post("/api/v1/jobs", json=submissions) as response:
        response.raise_for_status()
        return [job["id"] for job in await response.json()]


async def finished_jobs(session: aiohttp.ClientSession, jobs: Sequence[str]) -> list[dict[str, Any]]:
    """Return the views of jobs once they are completed. Raises TaskFailed."""
    return [await _finished(session, job) for job in jobs]


async def _finished(session: aiohttp.ClientSession, job: str) -> dict[str, Any]:
    while True:
        # Held until the job is final: asking again and again would cost what is measured.
        async with session.get(f"/api/v1/jobs/{job}", params={"wait_s": WAIT_S}) as response:
            view = await response.json()
        if view["status"] in {"completed", "failed", "cancelled"}:
            # A job that failed early would otherwise count as a fast one.
            if view["status"] != "completed":
                raise TaskFailed(f"The transcode to be measured {view['status']}: {view['error']}")
            return view


async def plain_ffmpeg(view: dict[str, Any], clip: Path, output: Path, *, threads: int = 0) -> float:
    """Run the command that the fleet ran, on the same input, by itself; return the seconds.

    Args:
        view: The fleet's job.
        clip: The input.
        output: Where to write.
        threads: Of the encoder; 0 for as many as it likes.
    """
    return await time_command(_command(view["result"]["command"], clip, output), threads=threads)


async def time_command(command: Sequence[str], *, threads: int = 0) -> float:
    """Run an FFmpeg command whose last word is its output; return the seconds. Raises TaskFailed."""
    told = ("-threads", str(threads)) if threads else ()
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command[:-1],
        *told,
        command[-1],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    if await process.wait():
        raise TaskFailed("Plain FFmpeg failed with the command that the fleet runs.")
    return time.perf_counter() - started


def _command(shown: list[str], clip: Path, output: Path) -> list[str]:
    """Return the command line that the fleet shows, with real paths in place of names."""
    # The fleet shows names, never paths of a node's workspace; all other words are those that ran.
    words = [find_ffmpeg().path, *shown[1:]]
    words[words.index("-i") + 1] = f"file:{clip}"
    return [*words[:-1], f"file:{output}"]


async def until_ready(session: aiohttp.ClientSession, *, nodes: int = 1) -> None:
    """Wait until so many nodes take work. Raises SchedulerUnavailable."""
    deadline = time.monotonic() + JOIN_S
    while time.monotonic() < deadline:
        async with session.get("/api/v1/nodes") as response:
            if sum(node["state"] == "ready" for node in await response.json()) >= nodes:
                return
        await asyncio.sleep(POLL_S)
    raise SchedulerUnavailable(
        f"No node of the fleet to be measured was ready within {JOIN_S:.0f} s; `mediafleet check` may say why."
    )
