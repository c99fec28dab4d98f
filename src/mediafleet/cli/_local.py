"""Finds the fleet of a data directory, or starts one that stays while somebody uses it.

A serving fleet writes `fleet.json` into its data directory. Commands that find none there start one in a
session of its own; a lock file sees to it that commands which start at once get one fleet together. It ends by
itself some seconds after its last client left. Whether a client joined in time is for the fleet to say
(`doors.http.presence`); one that came too late waits here until that fleet is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

from mediafleet.cli._options import ClientOptions, absolute
from mediafleet.client import FleetClient
from mediafleet.domain.errors import DataDirectoryInUse, SchedulerUnavailable
from mediafleet.ops.dismissal import DISMISS_WITHIN_S, DISMISSAL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

LOG_NAME = "up.log"
"""What a fleet that was started for a command says, below its data directory."""
LINGER_S = 10
"""How long an embedded fleet waits for a client before it ends."""
START_S = 60.0
"""Longest wait for a started fleet to serve: a slow machine's first start."""
END_S = 20.0
"""Longest wait for a fleet that was told to end."""
LEAVE_S = 6.0
"""Longest wait of an interrupted command for the end of the fleet that it started."""
_LOOK_EVERY_S = 0.05
_TAIL_LINES = 8


class FleetRecord(msgspec.Struct, frozen=True):
    """What `fleet.json` says of the fleet that serves a data directory."""

    url: str
    pid: int
    token: str = ""
    lingers: bool = False
    """A command started it: it ends by itself when nobody needs it, and may be told so."""

    @property
    def is_running(self) -> bool:
        """Whether its process is there. The pid may have gone to another one, and a child that ended may wait for us."""
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def read_record(data: Path) -> FleetRecord | None:
    """Return the record of a data directory; None without one of a running process."""
    try:
        record = msgspec.json.decode((data / "fleet.json").read_bytes(), type=FleetRecord)
    except (OSError, msgspec.DecodeError):
        return None
    return record if record.is_running else None


async def find_fleet(data: Path) -> FleetRecord | None:
    """Return the fleet that serves the data directory and answers, or None."""
    record = read_record(data)
    if record is None:
        return None
    async with FleetClient(record.url, record.token) as client:
        return record if await client.is_healthy() else None


async def ensure_fleet(data: Path, options: ClientOptions, *, nodes: int = 1) -> tuple[FleetRecord, bool]:
    """Return the fleet of the data directory, and whether this call started it.

    Args:
        nodes: How many nodes a fleet that is started here has.

    Raises:
        SchedulerUnavailable: It could not be started; the sentence ends with what its log says.
    """
    if record := await find_fleet(data):
        return record, False
    await asyncio.to_thread(data.mkdir, 0o700, parents=True, exist_ok=True)
    async with _start_lock(data):
        # Looked for once more: whoever held the lock before us may have started it.
        if record := await find_fleet(data):
            return record, False
        return await _start(data, options, nodes)


async def _start(data: Path, options: ClientOptions, nodes: int) -> tuple[FleetRecord, bool]:
    """Start a fleet, as soon as the one that may still be ending here has let go; return it and whether it is ours."""
    deadline = time.monotonic() + START_S
    while True:
        process = _start_detached(data, options, nodes)
        try:
            record = await _until_serving(data, process)
        except asyncio.CancelledError:
            # Nobody else knows of it yet: without us it would serve nobody, and linger.
            await end_fleet(FleetRecord("", process.pid))
            process.poll()
            raise
        if record:
            return record, record.pid == process.pid
        if time.monotonic() >= deadline:
            raise _explain_end(data, process.returncode)
        # Another process has the directory: one that will serve here, or one that is about to be gone.
        if record := await _until_let_go(data, deadline):
            return record, False


def _start_detached(data: Path, options: ClientOptions, nodes: int) -> subprocess.Popen[bytes]:
    """Start `up` in a session of its own, so that neither Ctrl-C nor the end of this process reaches it."""
    given = absolute(options)
    # Python looks for modules in its current folder first, here the data directory; -P keeps it from that.
    # The port is a free one, since the usual one may be another fleet's.
    command = [sys.executable, "-P", "-m", "mediafleet.cli", "up", "--data", str(data), "--port", "0", "--json"]
    command += ["--linger", str(LINGER_S), "--nodes", str(nodes)]
    command += ["--config", str(given.config)] if given.config else []
    command += ["--token-file", str(given.token_file)] if given.token_file else []
    # Begun anew at each start: an error must show what this fleet said, not what one said last week.
    with (data / LOG_NAME).open("wb") as sink:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True, cwd=data
        )


async def dismiss_fleet(data: Path, record: FleetRecord) -> None:
    """Let a fleet that this command started end at once, unless another client is there; return when it is clear.

    Returns when the fleet is gone, stays for another client, or takes more than `LEAVE_S` seconds to end.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_S), _start_lock(data):
            # Under the lock: a command that comes now starts a fleet of its own, and only when ours has let go.
            # Without its record it has ended already, and its number may be another process's by now.
            if read_record(data) != record:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.pid, DISMISSAL)
            if await _turns(lambda: read_record(data) != record, 2 * DISMISS_WITHIN_S):
                await _turns(lambda: not record.is_running, LEAVE_S)


async def wait_until_gone(record: FleetRecord) -> None:
    """Return when a fleet that takes no clients any more is gone, or does not go for as long as a start may take."""
    await _turns(lambda: not record.is_running, START_S)


async def replace_lingering(data: Path) -> None:
    """Have a fleet that a command left behind in the data directory make room for one that is to stay.

    One that another client uses, or that has work, stays nevertheless; so does one that somebody started to stay.
    """
    if (record := read_record(data)) and record.lingers:
        await dismiss_fleet(data, record)
        # Once it has withdrawn its record it ends in any case, and holds the directory until then.
        if read_record(data) != record:
            await wait_until_gone(record)


async def _turns(claim: Callable[[], bool], patience_s: float) -> bool:
    """Wait until a claim about another process holds; return whether it came to."""
    deadline = time.monotonic() + patience_s
    while not (held := claim()) and time.monotonic() < deadline:  # noqa: ASYNC110 - another process tells no event
        await asyncio.sleep(_LOOK_EVERY_S)
    return held


async def end_fleet(record: FleetRecord) -> None:
    """End a fleet and wait until it is gone; one that does not end is killed."""
    # Not SIGTERM: it would let running work finish first.
    for number, patience_s in ((signal.SIGINT, END_S), (signal.SIGKILL, END_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, number)
        await _turns(lambda: not record.is_running, patience_s)


@asynccontextmanager
async def _start_lock(data: Path) -> AsyncGenerator[None]:
    """Hold the right to start a fleet here; the system drops it with the process that holds it."""
    with (data / "start.lock").open("wb") as file:
        while True:
            with contextlib.suppress(BlockingIOError):
                # Asked for again and again: a blocking call would sit in a thread that no cancellation ends.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        yield


async def _until_serving(data: Path, process: subprocess.Popen[bytes]) -> FleetRecord | None:
    """Return the fleet that serves here, ours or not; None if ours ended because another has the directory."""
    log = data / LOG_NAME
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if record := await find_fleet(data):
            return record
        if process.poll() is not None:
            if DataDirectoryInUse.code in _read(log):
                return None
            raise _explain_end(data, process.returncode)
        await asyncio.sleep(_LOOK_EVERY_S)
    # Not left to itself: it would go on starting, with nobody who could know of it.
    await end_fleet(FleetRecord("", process.pid))
    process.poll()
    raise SchedulerUnavailable(
        f"The local fleet did not serve within {START_S:.0f} s; its log is {log}.", detail=_tail(log)
    )


async def _until_let_go(data: Path, deadline: float) -> FleetRecord | None:
    """Wait for the process that has the directory: return its record once it serves, None once it is gone."""
    holder = _holder_of(data)
    while True:
        # The other one has the directory but writes its record only once it serves.
        if record := await find_fleet(data):
            return record
        await asyncio.sleep(_LOOK_EVERY_S)
        if holder is None or not holder.is_running or time.monotonic() >= deadline:
            return None


def _holder_of(data: Path) -> FleetRecord | None:
    """Return the process that locked the directory when ours could not; None if that cannot be read."""
    # Only good at that moment: the file stays when the lock goes, and the number may be another process's later.
    try:
        return FleetRecord("", int((data / "lock").read_text(encoding="ascii")))
    except (OSError, ValueError):
        return None


def _explain_end(data: Path, code: int | None) -> SchedulerUnavailable:
    log = data / LOG_NAME
    tail = _tail(log)
    said = f" It said:\n{tail}" if tail else ""
    return SchedulerUnavailable(
        f"The local fleet could not start (exit code {code}); its log is {log}.{said}", detail=tail
    )


def _tail(log: Path) -> str:
    """Return the last lines for people; those for programs, which say the same or less, stay in the log."""
    lines = [line for line in _read(log).strip().splitlines() if not line.startswith("{")]
    return "\n".join(lines[-_TAIL_LINES:])


def _read(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
