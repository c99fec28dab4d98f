"""What a transcode costs beside plain FFmpeg with the same arguments, in the same run."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from mediafleet.artifacts.fingerprint import uri_of_path
from mediafleet.bench.figure import Figure
from mediafleet.bench.fleet import bench_fleet
from mediafleet.domain.errors import TaskFailed
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.testing import make_clip

ROUNDS = 3
LONG_S = 30.0
SMALL_S = 2.0
SMALL_FILES = 20
POLL_S = 0.02
PARAMS = {"preset": "h264", "speed": "fast"}


async def measure_overhead() -> list[Figure]:
    """Measure one 30 s file: the fleet's time without its verifying decode, against plain FFmpeg."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "long.mp4"
        await make_clip(clip, seconds=LONG_S, size="1280x720")
        async with bench_fleet("up") as fleet, aiohttp.ClientSession(fleet.url) as session:
            await _until_ready(session)
            rounds = [await _round(session, clip, Path(folder)) for _ in range(ROUNDS)]
    fleet_s, plain_s, verify_s = (sorted(column)[ROUNDS // 2] for column in zip(*rounds, strict=True))
    net = fleet_s - verify_s
    return [
        Figure(
            "transcode_overhead_ratio",
            net / plain_s,
            "",
            f"plain ffmpeg {plain_s:.2f} s, {LONG_S:.0f} s of 720p",
            net / plain_s,
        ),
        Figure(
            "transcode_overhead_s",
            net - plain_s,
            "s",
            "submit to completed, less plain ffmpeg and the verifying decode",
        ),
        Figure("transcode_verify_s", verify_s, "s", "the verifying decode"),
    ]


async def measure_batch_overhead() -> list[Figure]:
    """Measure 20 small files: the fleet's whole time against plain FFmpeg one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder) / f"small-{number}.mp4" for number in range(SMALL_FILES)]
        for clip in clips:
            await make_clip(clip, seconds=SMALL_S, size="1280x720")
        async with bench_fleet("up") as fleet, aiohttp.ClientSession(fleet.url) as session:
            await _until_ready(session)
            first = await _transcode(session, clips[:1])
            started = time.perf_counter()
            await _transcode(session, clips)
            fleet_s = time.perf_counter() - started
        plain_s = 0.0
        for clip in clips:
            plain_s += await _plain(first[0], clip, Path(folder) / "plain.mp4")
    about = f"plain ffmpeg one by one {plain_s:.2f} s, {SMALL_FILES} files of {SMALL_S:.0f} s; verifying included"
    return [Figure("batch_overhead_ratio", fleet_s / plain_s, "", about, fleet_s / plain_s)]


async def _round(session: aiohttp.ClientSession, clip: Path, folder: Path) -> tuple[float, float, float]:
    started = time.perf_counter()
    view = (await _transcode(session, [clip]))[0]
    fleet_s = time.perf_counter() - started
    return fleet_s, await _plain(view, clip, folder / "plain.mp4"), float(view["result"]["verify_s"])


async def _transcode(session: aiohttp.ClientSession, clips: list[Path]) -> list[dict[str, Any]]:
    submissions = [{"kind": "transcode", "input": uri_of_path(clip), "params": PARAMS} for clip in clips]
    async with session.post("/api/v1/jobs", json=submissions) as response:
        response.raise_for_status()
        jobs = [job["id"] for job in await response.json()]
    return [await _finished(session, job) for job in jobs]


async def _finished(session: aiohttp.ClientSession, job: str) -> dict[str, Any]:
    while True:
        async with session.get(f"/api/v1/jobs/{job}") as response:
            view = await response.json()
        if view["status"] in {"completed", "failed", "cancelled"}:
            if view["status"] != "completed":
                raise TaskFailed(f"The transcode to be measured {view['status']}: {view['error']}")
            return view
        await asyncio.sleep(POLL_S)


async def _plain(view: dict[str, Any], clip: Path, output: Path) -> float:
    """Run the command that the fleet ran, on the same input, by itself; return the seconds."""
    command = _command(view["result"]["command"], clip, output)
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    if await process.wait():
        raise TaskFailed("Plain FFmpeg failed with the command that the fleet ran.")
    return time.perf_counter() - started


def _command(shown: list[str], clip: Path, output: Path) -> list[str]:
    """Return the command line that the fleet shows, with real paths in place of names."""
    words = [find_ffmpeg().path, *shown[1:]]
    words[words.index("-i") + 1] = f"file:{clip}"
    return [*words[:-1], f"file:{output}"]


async def _until_ready(session: aiohttp.ClientSession) -> None:
    while True:
        async with session.get("/api/v1/nodes") as response:
            if any(node["state"] == "ready" for node in await response.json()):
                return
        await asyncio.sleep(POLL_S)
