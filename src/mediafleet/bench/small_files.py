"""Many small files on two nodes of one core each, against one plain FFmpeg with both cores that takes them one by one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from mediafleet.bench.chunks import ENCODERS, NODES, make_film, two_nodes
from mediafleet.bench.figure import Figure
from mediafleet.bench.overhead import finished_jobs, hand_in, plain_ffmpeg
from mediafleet.bench.pinned import check_system

FILES, SECONDS, ROUNDS = 20, 6, 5
SIZES = {"small_files_ratio": "640x360", "small_files_ratio_180p": "320x180"}
"""Figure → the size of its pictures; the smaller they are, the more of the time is what a fleet does beside encoding."""


async def measure_small_files() -> list[Figure]:
    """Measure 20 files of 6 s, of each size, several times."""
    check_system()
    return [await _measure(name, size) for name, size in SIZES.items()]


async def _measure(name: str, size: str) -> Figure:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        async with two_nodes(folder) as session:
            rounds = [await _round(session, await _make_files(folder, size, number)) for number in range(ROUNDS)]
    ratios = sorted(fleet_s / plain_s for fleet_s, plain_s in rounds)
    middle = median(ratios)
    about = (
        f"plain ffmpeg one by one, {median(plain_s for _, plain_s in rounds):.1f} s; {FILES} files of {SECONDS} s in {size}, "
        f"the median of {ROUNDS} rounds from {ratios[0]:.2f} to {ratios[-1]:.2f}, the verifying decodes not counted"
    )
    return Figure(name, middle, "", about, middle)


async def _make_files(folder: Path, size: str, number: int) -> list[Path]:
    """Make the files of a round, each with others: what a fleet knows already would cost it nothing."""
    return [await make_film(folder, SECONDS, size, number * FILES + one) for one in range(FILES)]


async def _round(session: aiohttp.ClientSession, files: Sequence[Path]) -> tuple[float, float]:
    """Return the seconds of the fleet for all files, without the verifying decode, and those of plain FFmpeg."""
    params = {**ENCODERS["libx264"], "container": "mkv"}
    # Never in chunks: one file alone would else be shared by the nodes, with another command.
    (warm,) = await finished_jobs(session, await hand_in(session, files[:1], {**params, "chunks": "never"}))
    half = len(files) // 2
    # One half before and one after: a machine that becomes slower meanwhile is so for both sides.
    plain_s = await _one_by_one(warm, files[:half])
    started = time.perf_counter()
    views = await finished_jobs(session, await hand_in(session, files, params))
    fleet_s = time.perf_counter() - started
    plain_s += await _one_by_one(warm, files[half:])
    # Two nodes verify at the same time.
    verify_s = sum(float(view["result"]["verify_s"]) for view in views) / NODES
    return fleet_s - verify_s, plain_s


async def _one_by_one(view: dict[str, Any], files: Sequence[Path]) -> float:
    """Return the seconds that plain FFmpeg takes for files, with what a job of the fleet was run with."""
    return sum([await plain_ffmpeg(view, file, file.with_name("plain.mkv"), threads=NODES) for file in files])
