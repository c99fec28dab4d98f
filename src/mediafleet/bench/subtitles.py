"""Ten minutes of speech on one node and on two, each of one core and one slot; and what the crash of one costs."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from mediafleet.artifacts.fingerprint import uri_of_path
from mediafleet.bench.figure import Figure
from mediafleet.bench.fleet import bench_fleet
from mediafleet.bench.overhead import finished_jobs, until_ready
from mediafleet.bench.pinned import check_system, start_pinned_node
from mediafleet.testing import run_ffmpeg

SECONDS = 600
_LOOK_S = 0.2
_MIB = 1 << 20
_TEXT = (
    "It was late when the last guests left the house. Nobody spoke of what had happened, and the lamps were put out one after "
    "the other. In the morning the garden lay under snow, and the gate stood open. "
)
"""What is spoken where the user gives no recording: how good it is recognized does not matter here."""


async def measure_subtitles(own: Path | None = None) -> list[Figure]:
    """Measure a recording of the user's, or a generated one, brought to ten minutes."""
    check_system()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        talk = await _ten_minutes(own or await _speech(folder), folder) if own or shutil.which("espeak-ng") else None
        if talk is None:
            print("no espeak-ng here; name a recording of speech with --film", file=sys.stderr)
            return []
        async with bench_fleet("scheduler") as fleet, aiohttp.ClientSession(fleet.url) as session:
            memory = _Memory([fleet.pid])
            async with memory.watched():
                return await _measure(fleet.url, session, talk, memory)


async def _measure(url: str, session: aiohttp.ClientSession, talk: Path, memory: _Memory) -> list[Figure]:
    nodes: list[asyncio.subprocess.Process] = []
    try:
        alone_s = await _timed(url, session, talk, nodes, memory)
        both_s = await _timed(url, session, talk, nodes, memory)
        redone = await _crash(session, talk, nodes)
    finally:
        for node in nodes:
            with suppress(ProcessLookupError):
                node.terminate()
            await node.wait()
    about = f"one node {alone_s:.1f} s, two nodes {both_s:.1f} s; {talk.stem}"
    return [
        Figure("subtitle_two_nodes_ratio", both_s / alone_s, "", about, both_s / alone_s),
        Figure("subtitle_memory_mib", memory.most / _MIB, "MiB", f"peak of one process: {memory.whose}"),
        Figure("subtitle_crash_redone", redone, "pieces", "recognized again after the kill of one of two nodes"),
    ]


async def _timed(
    url: str, session: aiohttp.ClientSession, talk: Path, nodes: list[asyncio.subprocess.Process], memory: _Memory
) -> float:
    """Start one more node, subtitle the talk on all, and return the seconds."""
    nodes.append(await start_pinned_node(url, talk.parent, len(nodes)))
    memory.roots.append(nodes[-1].pid)
    await until_ready(session, nodes=len(nodes))
    started = time.perf_counter()
    await finished_jobs(session, [await _hand_in(session, talk)])
    return time.perf_counter() - started


async def _crash(session: aiohttp.ClientSession, talk: Path, nodes: list[asyncio.subprocess.Process]) -> int:
    """Kill a node once pieces are recognized; return how many pieces were recognized more than once."""
    job = await _hand_in(session, talk)
    while not any(one["state"] == "DONE" and ".words-" in one["id"] for one in (await _view(session, job))["tasks"]):  # noqa: ASYNC110 - a job tells only its end to who waits
        await asyncio.sleep(_LOOK_S)
    nodes[0].send_signal(signal.SIGKILL)
    await finished_jobs(session, [job])
    return sum(one["attempt"] > 1 for one in (await _view(session, job))["tasks"])


async def _hand_in(session: aiohttp.ClientSession, talk: Path) -> str:
    body = {"kind": "subtitle", "input": uri_of_path(talk), "params": {"language": "en"}}
    async with session.post("/api/v1/jobs", json=body) as response:
        response.raise_for_status()
        return str((await response.json())["id"])


async def _view(session: aiohttp.ClientSession, job: str) -> Any:
    async with session.get(f"/api/v1/jobs/{job}") as response:
        return await response.json()


class _Memory:
    """The most that any process of a fleet had in memory at a time."""

    def __init__(self, roots: list[int]) -> None:
        self.roots = roots
        self.most = 0
        self.whose = ""

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None]:
        """Look again and again inside the block."""
        looking = asyncio.create_task(self._look(), name="memory")
        try:
            yield
        finally:
            looking.cancel()

    async def _look(self) -> None:
        while True:
            for root in self.roots:
                with suppress(psutil.Error):
                    parent = psutil.Process(root)
                    for process in [parent, *parent.children(recursive=True)]:
                        self._note(process)
            await asyncio.sleep(_LOOK_S)

    def _note(self, process: psutil.Process) -> None:
        with suppress(psutil.Error):
            if (size := process.memory_info().rss) > self.most:
                self.most, self.whose = size, " ".join(process.cmdline()[:4])[-60:]


async def _speech(folder: Path) -> Path:
    path = folder / "generated.wav"
    program = await asyncio.create_subprocess_exec("espeak-ng", "-w", str(path), _TEXT * 10)
    await program.wait()
    return path


async def _ten_minutes(recording: Path, folder: Path) -> Path:
    path = folder / f"{recording.stem} for {SECONDS} s.wav"
    words = ["-stream_loop", "-1", "-i", str(recording), "-t", str(SECONDS), "-ac", "1", "-ar", "16000"]
    await run_ffmpeg(words, path)
    return path
