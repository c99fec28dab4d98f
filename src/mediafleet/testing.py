"""Tools for those who write and test job kinds: run a handler on this machine without a fleet, and make clips.

    clip = await make_clip(tmp_path / "in.mp4", seconds=2)
    context = LocalTaskContext.for_file(clip, kind="transcode", params={"preset": "h264"}, folder=tmp_path)
    result = await KIND.handlers["transcode"](context)

`context.published` then maps names to the files that the handler made.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from mediafleet.artifacts.originals import Originals
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import NotFound
from mediafleet.domain.plan import TaskSpec
from mediafleet.engines import EngineRegistry, Need, Offer
from mediafleet.engines.warm import WarmEngine, WarmEngines
from mediafleet.kinds.last_words import TAIL_BYTES, LastWords
from mediafleet.kinds.scripts import script_command, script_line
from mediafleet.kinds.seam import Engines

__all__ = [
    "LocalChildProcess",
    "LocalDetectContext",
    "LocalEngines",
    "LocalTaskContext",
    "Report",
    "find_program",
    "make_clip",
    "ref_to",
    "run_ffmpeg",
]

_STOP_GRACE_S = 2.0
_LINE_LIMIT = 64 * 1024 * 1024
_CLIP_FPS = 25


@dataclass(frozen=True)
class Report:
    """One call of `TaskContext.report`."""

    fraction: float
    stage: str
    speed: float | None
    eta_ms: int | None


class LocalChildProcess:
    """A real child in its own process group; ends with `stop` or by itself."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._words = LastWords()
        self._drain = asyncio.create_task(self._collect_errors(), name=f"errors of {process.pid}")

    @classmethod
    async def start(cls, arguments: Sequence[str], cwd: Path, *, line: bytes = b"") -> Self:
        """Start a child without a shell, with a line or nothing on standard input and only the variables a program needs."""
        process = await asyncio.create_subprocess_exec(
            *arguments,
            cwd=cwd,
            env={key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "LANG") if key in os.environ},
            stdin=subprocess.PIPE if line else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A group of its own, so that `stop` reaches the children of the child as well.
            start_new_session=True,
            limit=_LINE_LIMIT,
        )
        if process.stdin:
            process.stdin.write(line)
            process.stdin.close()
        return cls(process)

    @property
    def pid(self) -> int:
        """Process id, also the id of its group."""
        return self._process.pid

    async def read_line(self) -> bytes:
        """Return the next line of standard output, or b"" at its end."""
        if self._process.stdout is None:
            return b""
        return await self._process.stdout.readline()

    async def wait(self) -> int:
        """Wait for the end; return the exit code, negative for a signal."""
        code = await self._process.wait()
        await self._drain
        return code

    async def stop(self) -> int:
        """Ask it to end, kill its group after a grace period, and return the exit code."""
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._process.wait()), _STOP_GRACE_S)
        # Also when it has ended by itself: its own children may be left in the group, and hold its pipes open.
        self._signal(signal.SIGKILL)
        return await self.wait()

    def errors(self) -> str:
        """Return the last 16 KiB of standard error so far, and before them what it called an error."""
        return self._words.text()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _collect_errors(self) -> None:
        if self._process.stderr is None:
            return
        while part := await self._process.stderr.read(TAIL_BYTES):
            # Read to the end and mostly thrown away: a pipe that is full would stop the child.
            self._words.feed(part)


@dataclass(frozen=True)
class LocalEngines:
    """Speech engines without a node; whoever made the warm ones closes them."""

    registry: EngineRegistry
    warm: WarmEngines

    def find(self, need: Need, *, adapter: str = "") -> Offer:
        """Return the best that could be loaded here. Raises CapabilityMissing."""
        return self.registry.find(need, adapter=adapter)

    def lease(self, offer: Offer) -> AbstractContextManager[WarmEngine]:
        """Yield its process."""
        return self.warm.lease(offer)


class LocalTaskContext:
    """A `TaskContext` on this machine: inputs are read in place, outputs are moved into a folder.

    `reports`, `started` and `asked` record what the handler told, which programs it ran and which ranges it fetched; `on_report` is
    called with each report, so that a test can wait for one.
    """

    def __init__(self, spec: TaskSpec, *, folder: Path) -> None:
        self._spec = spec
        folder.mkdir(parents=True, exist_ok=True)
        self._workspace = Path(tempfile.mkdtemp(prefix="workspace-", dir=folder))
        self.outputs = folder / f"published-{secrets.token_hex(4)}"
        self.reports: list[Report] = []
        self.on_report: Callable[[Report], None] = lambda _: None
        self.asked: list[Sequence[tuple[int, int]] | None] = []
        self.originals = Originals((), folder / "originals")
        self.cores = os.cpu_count() or 1
        self.engines: Engines = LocalEngines(EngineRegistry(()), WarmEngines())
        """None; a test that needs some puts its own here, and closes them."""
        self.published: dict[str, Path] = {}
        self.started: list[LocalChildProcess] = []

    @classmethod
    def for_file(
        cls, path: Path, *, folder: Path, kind: str = "transcode", params: Mapping[str, Any] | None = None
    ) -> Self:
        """Return a context for the one step of a kind that takes one file."""
        spec = TaskSpec(
            kind=kind,
            kind_version=1,
            step=kind,
            name=kind,
            tenant="default",
            inputs=(ref_to(path),),
            params=dict(params or {}),
        )
        return cls(spec, folder=folder)

    @property
    def spec(self) -> TaskSpec:
        """The task."""
        return self._spec

    @property
    def workspace(self) -> Path:
        """A folder of this attempt's own."""
        return self._workspace

    async def fetch(self, ref: ArtifactRef, *, ranges: Sequence[tuple[int, int]] | None = None) -> Path:
        """Return the path of a `file://` reference; `ranges` are noted in `asked` and change nothing.

        Raises:
            NotFound: It names no file.
        """
        self.asked.append(ranges)
        return _local_path(ref)

    async def publish(self, path: Path, *, name: str) -> ArtifactRef:
        """Move a file into the folder of outputs."""
        self.outputs.mkdir(exist_ok=True)
        target = self.outputs / name
        shutil.move(path, target)
        self.published[name] = target
        return ref_to(target)

    def report(
        self, fraction: float, *, stage: str = "", speed: float | None = None, eta_ms: int | None = None
    ) -> None:
        """Record progress."""
        self.reports.append(Report(fraction, stage, speed, eta_ms))
        self.on_report(self.reports[-1])

    async def start_process(self, arguments: Sequence[str], *, cwd: Path | None = None) -> LocalChildProcess:
        """Start a real child."""
        child = await LocalChildProcess.start(arguments, cwd or self._workspace)
        self.started.append(child)
        return child

    async def start_script(self, script: Path, arguments: Sequence[str]) -> LocalChildProcess:
        """Start a real child and tell it its arguments."""
        child = await LocalChildProcess.start(script_command(script), Path("/"), line=script_line(arguments))
        self.started.append(child)
        return child

    @property
    def stages(self) -> list[str]:
        """The stages that were reported, in order, without repeats."""
        return list(dict.fromkeys(report.stage for report in self.reports))

    def clean(self) -> None:
        """Remove the workspace, as a node does after each attempt."""
        shutil.rmtree(self._workspace, ignore_errors=True)


class LocalDetectContext:
    """A `DetectContext` on this machine, with a memory that tests can look into."""

    def __init__(self, folder: Path, *, memory: dict[str, Any] | None = None) -> None:
        self._folder = folder
        self.memory: dict[str, Any] = {} if memory is None else memory
        self.started: list[LocalChildProcess] = []

    @property
    def workspace(self) -> Path:
        """The folder that was given."""
        return self._folder

    async def start_process(self, arguments: Sequence[str], *, cwd: Path | None = None) -> LocalChildProcess:
        """Start a real child."""
        child = await LocalChildProcess.start(arguments, cwd or self._folder)
        self.started.append(child)
        return child

    async def start_script(self, script: Path, arguments: Sequence[str]) -> LocalChildProcess:
        """Start a real child and tell it its arguments."""
        child = await LocalChildProcess.start(script_command(script), Path("/"), line=script_line(arguments))
        self.started.append(child)
        return child

    def recall(self, key: str) -> Any | None:
        """Return what was remembered under the key."""
        return self.memory.get(key)

    def remember(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.memory[key] = value


def ref_to(path: Path) -> ArtifactRef:
    """Return a reference to a local file, as a submission of `file://…` makes it."""
    return ArtifactRef(
        id=f"a0-{secrets.token_hex(6)}", name=path.name, uri=path.absolute().as_uri(), size=path.stat().st_size
    )


def _local_path(ref: ArtifactRef) -> Path:
    path = Path(unquote(urlsplit(ref.uri).path, errors="surrogateescape"))
    if not ref.uri.startswith("file://") or not path.is_file():
        raise NotFound(f"{ref.name!r} is not a file on this machine.")
    return path


def find_program() -> str:
    """Return the path of the FFmpeg that the transcode kind uses."""
    from mediafleet.kinds.transcode.program import find_ffmpeg  # noqa: PLC0415 - only clips need FFmpeg

    return find_ffmpeg().path


async def make_clip(
    path: Path,
    *,
    seconds: float = 1.0,
    size: str = "128x96",
    extra: Sequence[str] = (),
    sound: bool = True,
) -> Path:
    """Make a short clip of moving picture and a tone, and return its path.

    Args:
        path: Where to write; the ending chooses the container, any characters are allowed in the name.
        seconds: Length.
        size: Width and height, `128x96`.
        extra: FFmpeg options before the output, for example `["-metadata", "title=x"]`.
        sound: Whether there is a sound track.

    Raises:
        RuntimeError: FFmpeg refused; the message carries its words.
    """
    inputs = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={_CLIP_FPS}:duration={seconds}"]
    if sound:
        inputs += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"]
    await run_ffmpeg([*inputs, *extra], path)
    return path


async def run_ffmpeg(arguments: Sequence[str], output: Path) -> None:
    """Let FFmpeg write a file, whatever characters its name has.

    Raises:
        RuntimeError: It failed; the message carries its words.
    """
    program = await asyncio.to_thread(find_program)
    quiet = ["-hide_banner", "-nostdin", "-loglevel", "error", "-y"]
    # Relative to its folder, so that no character of the path is special to FFmpeg.
    child = await LocalChildProcess.start([program, *quiet, *arguments, f"file:{output.name}"], output.parent)
    if await child.wait() != 0:
        raise RuntimeError(f"FFmpeg could not make the clip: {child.errors()}")
