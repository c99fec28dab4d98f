"""Peers in processes of their own interpreter: which are installed, and one that is told what to do.

Nothing is installed here. The other end of the conversation is `mediafleet.bench.peers`, which runs by itself.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import psutil

from mediafleet.bench.peers.catalogue import PEERS
from mediafleet.bench.peers.seam import REDIS_VARIABLE
from mediafleet.domain.errors import ConfigError, TaskFailed

ANSWER_LIMIT_S = 300.0
"""Longest round: a peer whose workers died would be waited for without end."""
STOP_LIMIT_S = 10.0
_LOG_TAIL_BYTES = 600
_MODULES = Path(__file__).parent
"""Holds the package `peers`, which is imported from there by that name."""


@dataclass(frozen=True)
class InstalledPeer:
    """A peer that can be measured."""

    name: str
    python: Path
    versions: str

    @property
    def module(self) -> str:
        """Module of the peer, for its interpreter."""
        return f"peers.{self.name}_peer"


@dataclass(frozen=True)
class PeerProcess:
    """A peer whose workers run, for as long as its context lasts."""

    name: str
    settings: str
    _process: asyncio.subprocess.Process
    _log: Path

    async def push(self, count: int) -> float:
        """Submit so many tasks and wait for their results; return the seconds.

        Raises:
            TaskFailed: The peer ended, or took longer than `ANSWER_LIMIT_S`; the detail has its last words.
        """
        return float((await self._ask({"push": count}))["seconds"])

    async def single(self, count: int) -> list[float]:
        """Run so many tasks one after the other; return the milliseconds from submitting each to its result.

        Raises:
            TaskFailed: As for `push`.
        """
        return list((await self._ask({"single": count}))["ms"])

    async def _ask(self, question: dict[str, int]) -> dict[str, Any]:
        if self._process.stdin:
            self._process.stdin.write(msgspec.json.encode(question) + b"\n")
        return await _read_answer(self._process, self.name, self._log)


async def find_peers(pythons: Sequence[Path]) -> tuple[list[InstalledPeer], list[str]]:
    """Return the peers that the interpreters have (the first that has one runs it), and the names of the others.

    Raises:
        ConfigError: One of the paths is no Python interpreter that works.
    """
    found: dict[str, InstalledPeer] = {}
    for python in pythons:
        for name, versions in (await _list_installed(python)).items():
            found.setdefault(name, InstalledPeer(name, python, versions))
    return [found[name] for name in PEERS if name in found], [name for name in PEERS if name not in found]


@asynccontextmanager
async def peer_process(name: str, module: str, *, python: Path, redis_url: str) -> AsyncGenerator[PeerProcess]:
    """Run a peer's client and workers on a store inside the block; nothing of them is left after it.

    Raises:
        TaskFailed: It did not start; the detail has its last words.
    """
    with tempfile.TemporaryDirectory(prefix="mediafleet-peer-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                python,
                *("-m", "peers", module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=_environment() | {REDIS_VARIABLE: redis_url},
            )
        try:
            settings = (await _read_answer(process, name, log))["settings"]
            yield PeerProcess(name, settings, process, log)
        finally:
            await _stop(process)


async def _list_installed(python: Path) -> dict[str, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            python,
            *("-m", "peers", "--list"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
        )
    except OSError as error:
        raise ConfigError(f"{python} cannot be run ({error.strerror}); --peers-python takes a Python.") from error
    printed = (await process.communicate())[0]
    try:
        return msgspec.json.decode(printed, type=dict[str, str])
    except msgspec.DecodeError as error:
        raise ConfigError(f"{python} is no Python that can run the peers; --peers-python takes one.") from error


def _environment() -> dict[str, str]:
    # In place of any other path: what this process imports is none of the peers' business.
    return {**os.environ, "PYTHONPATH": str(_MODULES)}


async def _read_answer(process: asyncio.subprocess.Process, name: str, log: Path) -> dict[str, Any]:
    line = b""
    if process.stdout:
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_LIMIT_S):
                line = await process.stdout.readline()
    if not line:
        words = await asyncio.to_thread(log.read_bytes)
        tail = words[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        raise TaskFailed(f"{name} ended, or did not answer within {ANSWER_LIMIT_S:.0f} s.", detail=tail)
    return msgspec.json.decode(line)


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the process by ending its input, else with all that it started."""
    # Listed while it lives: afterwards its workers are nobody's children.
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        if process.stdin:
            process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_LIMIT_S):
                await process.wait()
        with suppress(ProcessLookupError):
            process.kill()
        for child in family:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    await process.wait()
