"""The process that submits to one peer: `python -m peers MODULE`, or `--list` for what is installed.

It starts the workers, says `{"settings": …}`, then answers one line for each line that it reads:
`{"push": n}` with `{"seconds": s}`, `{"single": n}` with `{"ms": […]}`. It ends with its input, and its workers with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import IO, Any

from .catalogue import find_installed, load
from .seam import Peer


async def answer(peer: Peer, question: dict[str, int]) -> dict[str, Any]:
    """Do what one line asks for and return the line that answers it; only the peer's own work is timed."""
    if count := question.get("push"):
        started = time.perf_counter()
        await peer.submit(count)
        await peer.wait(count)
        return {"seconds": time.perf_counter() - started}
    return {"ms": [await _time_round_trip(peer) for _ in range(question["single"])]}


async def serve(peer: Peer, questions: IO[str], answers: IO[str]) -> None:
    """Answer line by line until the questions end."""
    print(json.dumps({"settings": peer.settings}), file=answers, flush=True)
    # In a thread: a client that keeps its connections alive from tasks goes on meanwhile.
    while line := await asyncio.to_thread(questions.readline):
        print(json.dumps(await answer(peer, json.loads(line))), file=answers, flush=True)


async def _time_round_trip(peer: Peer) -> float:
    started = time.perf_counter()
    await peer.round_trip()
    return (time.perf_counter() - started) * 1000


@contextmanager
def _workers(peer: Peer) -> Generator[None]:
    process = subprocess.Popen(
        [sys.executable, *peer.worker_command()],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        # A group of its own: its children end with it.
        start_new_session=True,
    )
    try:
        yield
    finally:
        # Nothing that a no-op worker holds is worth an orderly end, and some peers take long for one.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _measure(module: str, answers: IO[str]) -> None:
    peer: Peer = load(module)
    with _workers(peer):
        await serve(peer, sys.stdin, answers)


def main(argument: str) -> None:
    """Print what is installed, or serve one peer."""
    if argument == "--list":
        print(json.dumps(find_installed()))
        return
    # Peers print what they like; only this process's own lines may reach its output.
    answers, sys.stdout = sys.stdout, sys.stderr
    try:
        from uvloop import run  # noqa: PLC0415 - the faster loop where it is installed
    except ImportError:
        from asyncio import run  # noqa: PLC0415 - as above
    run(_measure(argument, answers))


if __name__ == "__main__":
    main(sys.argv[1])
