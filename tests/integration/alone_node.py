"""`mediafleet node --master` as a process of its own, to be killed and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
import wave
from pathlib import Path
from typing import Any

import psutil
from mediafleet_engine_toy.tones import NUMBERS, RATE_HZ, speak
from tests_support.fleet_process import SHORT_TIMES, free_port, wait_for

TOY_ENGINES = ("toy/ears", "toy-vad/ear", "toy-mt/tongue")


class AloneNode:
    """A node that brings its fleet along; its engines understand a language of tones."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.models = write_models(folder / "models")
        self.gate = self.models / "toy" / "ears" / "gate"
        """While it is there, nothing is recognized."""
        self.environment = {
            **os.environ,
            **SHORT_TIMES,
            "MEDIAFLEET_ENGINES__MODELS": str(self.models),
            "MEDIAFLEET_MASTER__LANGUAGE": "eo",
            "MEDIAFLEET_MASTER__RETRY_S": "1",
            "XDG_CACHE_HOME": str(folder / "cache"),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> None:
        """Start it, and wait until its API answers."""
        command = ["node", "--data", str(self.folder / "data"), "--api", f"127.0.0.1:{self.port}", *words]
        with (self.folder / "node.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mediafleet.cli", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )
        wait_for(lambda: self.try_get("/status"), "the node's API", explain=self.log)

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        wait_for(lambda: not self.left(), "its children to go with it")

    def close(self) -> None:
        """End it in order, and see that nothing is left."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        assert not self.left()
        assert "Traceback" not in self.log()

    def left(self) -> list[psutil.Process]:
        """Return processes that work in this folder."""
        return [
            one for one in psutil.process_iter(["cmdline"]) if str(self.folder) in " ".join(one.info["cmdline"] or [])
        ]

    def log(self) -> str:
        return (self.folder / "node.log").read_text()

    def ask(self, method: str, path: str, body: Any = None, *, base: str = "") -> Any:
        """Return the JSON of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            (base or self.url) + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def try_get(self, path: str) -> Any:
        """Return the JSON of an answer, or None where nobody answers."""
        try:
            return self.ask("GET", path)
        except OSError:
            return None

    async def calls(self, method: str, path: str, body: Any = None) -> Any:
        """Ask without holding up a master in this process."""
        return await asyncio.to_thread(self.ask, method, path, body)

    async def until(self, condition: Any, what: str) -> Any:
        """Wait for a claim about it, while a master in this process goes on."""
        return await asyncio.to_thread(wait_for, condition, what, explain=self.log)

    def jobs(self) -> list[Any]:
        """Return the jobs of its fleet."""
        return self.ask("GET", "/api/v1/jobs", base=self.ask("GET", "/status")["scheduler"])["jobs"]


def write_models(folder: Path) -> Path:
    """Write what engines of tones take for models; return the folder."""
    for name in TOY_ENGINES:
        (folder / name).mkdir(parents=True)
    return folder


def write_talk(path: Path, first: int = 0) -> Path:
    """Write a recording of two sentences, other ones for each number."""
    sentences = [" ".join(NUMBERS[(start + step) % 10] for step in range(4)) for start in (first, first + 3)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(speak(sentences))
    return path
