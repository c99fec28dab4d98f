"""One film on two nodes of one core each, against one plain FFmpeg with both cores, in the same run.

The nodes are real processes that the system lets run on one core only, so that FFmpeg in them counts one core.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from mediafleet.bench.figure import Figure
from mediafleet.bench.fleet import bench_fleet
from mediafleet.bench.overhead import finished_jobs, hand_in, time_command, until_ready
from mediafleet.bench.pinned import check_system, start_pinned_node
from mediafleet.domain.plan import TaskSpec
from mediafleet.kinds.transcode.arguments import encode_arguments
from mediafleet.kinds.transcode.chunk_checks import ChunkReport, check_borders
from mediafleet.kinds.transcode.chunk_run import Tools, encode_chunk, join, open_job
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.probe import probe
from mediafleet.kinds.transcode.program import find_ffmpeg
from mediafleet.kinds.transcode.split import costliest_first, even_count, join_units, make_survey
from mediafleet.kinds.transcode.streams import plan_output
from mediafleet.testing import LocalTaskContext, run_ffmpeg

SECONDS = 60
SIZE = "1920x1080"
NODES = 2
FEWER, MORE = 4, 8
ROUNDS = 2
ENCODERS: dict[str, dict[str, Any]] = {
    "libx264": {"preset": "h264", "speed": "medium"},
    "libsvtav1": {"preset": "av1", "speed": "medium"},
    "libx265": {"preset": "hevc", "speed": "fast"},
    "libvpx-vp9": {"preset": "vp9", "speed": "fast"},
}
"""FFmpeg's name of each encoder → what is asked for; SVT-AV1's medium is its preset 8."""


async def measure_chunks(own: Path | None = None) -> list[Figure]:
    """Measure a film, the user's own or a generated one, with x264 and SVT-AV1 on two nodes."""
    check_system()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = own or await make_film(folder, SECONDS, SIZE)
        async with two_nodes(folder) as session:
            figures = [await _one_film(session, film, folder, "libx264", "chunk_speedup_ratio")]
            figures.append(await _one_film(session, film, folder, "libsvtav1", "chunk_speedup_ratio_av1"))
        return figures + await _scaling(film, folder)


async def measure_split_ratios(own: Path | None = None) -> list[Figure]:
    """Measure what each encoder gains or loses by chunks on one machine: the table that plans go by."""
    check_system()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = own or await make_film(folder, SECONDS, SIZE)
        async with two_nodes(folder) as session:
            return [
                await _one_film(session, film, folder, one, f"split_ratio_{one.replace('-', '_')}") for one in ENCODERS
            ]


async def make_film(folder: Path, seconds: int, size: str, number: int = 0) -> Path:
    """Make a film for benchmarks, of such a size (`640x360`)."""
    path = folder / f"{seconds} s of {size} number {number + 1}.mkv"
    # A little noise on moving shapes: something for an encoder to do in every picture, as in a film.
    picture = f"testsrc2=s={size}:r=25:d={seconds},noise=alls=3:allf=t"
    words = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=d={seconds}:r=48000"]
    await run_ffmpeg([*words, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-g", "50", "-c:a", "aac"], path)
    return path


@asynccontextmanager
async def two_nodes(folder: Path) -> AsyncGenerator[aiohttp.ClientSession]:
    """Run a scheduler and two nodes of one slot, each on a core of its own."""
    async with bench_fleet("scheduler") as fleet, aiohttp.ClientSession(fleet.url) as session:
        nodes = [await start_pinned_node(fleet.url, folder, number) for number in range(NODES)]
        try:
            await until_ready(session, nodes=NODES)
            yield session
        finally:
            for node in nodes:
                node.terminate()
                await node.wait()


async def _one_film(session: aiohttp.ClientSession, film: Path, folder: Path, encoder: str, name: str) -> Figure:
    """Encode a film in chunks and with plain FFmpeg; the verifying decode is reported beside and not counted."""
    params = {**ENCODERS[encoder], "container": "mkv", "chunks": "always"}
    started = time.perf_counter()
    (view,) = await finished_jobs(session, await hand_in(session, [film], params))
    fleet_s = time.perf_counter() - started
    plain_s = await time_command(await _plain_command(film, params, folder), threads=NODES)
    verify_s = float(view["result"]["verify_s"])
    net = fleet_s - verify_s
    about = (
        f"plain ffmpeg with {NODES} threads {plain_s:.1f} s; {encoder}, {film.stem}, "
        f"{view['result'].get('chunks', 1)} chunks, the verifying decode of {verify_s:.1f} s not counted"
    )
    return Figure(name, net / plain_s, "", about, net / plain_s)


async def _plain_command(film: Path, wanted: dict[str, Any], folder: Path) -> list[str]:
    """Return the command of a transcode of one piece, which is what a user would run by hand."""
    params = msgspec.convert(wanted, TranscodeParams)
    context = LocalTaskContext.for_file(film, folder=folder)
    info = await probe(context, film, name=film.name)
    plan, output = plan_output(info, params, name=film.name), folder / "plain.mkv"
    arguments = encode_arguments(plan, params, source=film, output=output, info=info)
    return [(await asyncio.to_thread(find_ffmpeg)).path, *arguments]


async def _scaling(film: Path, folder: Path) -> list[Figure]:
    """Measure every chunk on one core, and lay the times out on more nodes than this machine has.

    Times are of the processor, the better of two rounds: what else runs on the machine can only add to them.
    """
    core = min(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        timed = [await _timed_chunks(film, folder / f"timed-{nodes}", nodes) for nodes in (FEWER, MORE)]
    finally:
        os.sched_setaffinity(0, before)
    return [
        _scaled(f"chunk_scaling_{nodes}", nodes, chunks, rest)
        for nodes, (chunks, rest) in zip((FEWER, MORE), timed, strict=True)
    ]


def _scaled(name: str, nodes: int, chunks: Sequence[float], rest_s: float) -> Figure:
    one, many = sum(chunks) + rest_s, makespan(chunks, nodes) + rest_s
    share = one / many / nodes
    about = f"{nodes} nodes of one core by the processor times of {len(chunks)} chunks: {one:.1f} s become {many:.1f} s, with {rest_s:.1f} s of index and join"
    return Figure(name, share, "of linear", about, share)


def makespan(times: Sequence[float], workers: int) -> float:
    """Return when the last of some tasks ends whose order is fixed and each of which goes to the first worker that is free."""
    free = [0.0] * workers
    for took in times:
        heapq.heappush(free, heapq.heappop(free) + took)
    return max(free)


async def _timed_chunks(film: Path, folder: Path, nodes: int) -> tuple[list[float], float]:
    params = msgspec.convert({**ENCODERS["libx264"], "container": "mkv"}, TranscodeParams)
    context = LocalTaskContext(TaskSpec("transcode", 2, "transcode", "a", "default"), folder=folder)
    ffmpeg = await asyncio.to_thread(find_ffmpeg)
    tools = Tools(context, ffmpeg, context.workspace, film.name, cores=1)
    started = _processor_s()
    info = await probe(context, film, name=film.name)
    job = await open_job(tools, film, plan_output(info, params, name=film.name), params, info)
    survey = make_survey(info, job.index)
    chunks = join_units(survey, even_count(survey, nodes))
    rest_s = _processor_s() - started
    costs: dict[int, float] = {}
    reports: dict[int, ChunkReport] = {}
    for chunk in [*costliest_first(chunks)] * ROUNDS:
        started = _processor_s()
        reports[chunk.number] = await encode_chunk(tools, job, chunk, source=film)
        costs[chunk.number] = min(_processor_s() - started, costs.get(chunk.number, math.inf))
    started = _processor_s()
    check_borders([reports[number] for number in sorted(reports)])
    await join(tools, job, chunks, source=film, sound=None, output=context.workspace / "joined.mkv")
    return [costs[chunk.number] for chunk in costliest_first(chunks)], rest_s + _processor_s() - started


def _processor_s() -> float:
    """Return what this process and all children that have ended took of the processor, in seconds."""
    return sum(os.times()[:4])
