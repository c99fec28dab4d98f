"""A private, real Redis as a child of this process, for fleets without a Redis of their own.

It listens on a unix socket only, keeps an append-only file under the data directory, and lives no
longer than its owner: on Linux the kernel tells it to end when the owner dies, elsewhere the next
owner of the directory ends it before it starts its own.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import quote

import psutil
import stamina
import structlog

from mediafleet.domain.errors import ConfigError, StoreUnavailable
from mediafleet.store.death_signal import end_with_parent
from mediafleet.store.directory_lock import DirectoryLock
from mediafleet.store.server_binary import ServerBinary, find_server
from mediafleet.store.server_files import (
    choose_socket,
    discard_socket,
    find_process,
    read_record,
    write_record,
)

if TYPE_CHECKING:
    from types import TracebackType

Durability = Literal["everysec", "always"]

START_LIMIT_S = 300.0
"""Longest start: an append-only file of many gigabytes takes minutes to load."""
STOP_GRACE_S = 10.0
"""How long each step of an orderly stop may take before the next, ruder one."""
_ASK_LIMIT_S = 5.0
_LOG_TAIL_BYTES = 2_000
_MULTI_PART_AOF = "appendonlydir"
"""Folder in which servers from 7.0 on keep the append-only file; older ones do not see it."""
_log = structlog.get_logger(__name__)


class EmbeddedRedis:
    """One private server on one data directory; entered as a context by the process that owns both.

    Enter it on the main thread: on Linux the server ends with the *thread* that started it.
    """

    def __init__(self, data: Path, durability: Durability = "everysec") -> None:
        self._data = data.expanduser().absolute()
        self._directory = self._data / "redis"
        self._durability: Durability = durability
        self._record = self._directory / "redis.pid"
        self._log_file = self._directory / "redis.log"
        self._socket = self._directory / "redis.sock"
        self._process: asyncio.subprocess.Process | None = None
        self._binary: ServerBinary | None = None
        self._changing = asyncio.Lock()
        self._is_stopping = False
        self._resources = AsyncExitStack()

    @property
    def url(self) -> str:
        """Address for `mediafleet.store.connection.connect`; the same after a restart."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int:
        """Process id of the server; that of the last one after it died."""
        return self._running.pid

    async def __aenter__(self) -> Self:
        """Take the data directory, end what an earlier owner left running, start the server and wait until it serves.

        Raises:
            DataDirectoryInUse: Another live process owns the directory.
            ConfigError: No server is installed, or the directory cannot be used by it.
            StoreUnavailable: The server ended at start, or did not get ready; the detail has its last log lines.
        """
        async with AsyncExitStack() as stack:
            # First of all: only who holds the directory may end the server in it, or two that start at once would end
            # each other's.
            stack.enter_context(DirectoryLock(self._data))
            self._directory.mkdir(mode=0o700, exist_ok=True)
            self._binary = await asyncio.to_thread(find_server)
            self._refuse_older_server(self._binary)
            await self._end_orphan()
            # After the orphan is gone: until then its socket, which may lie elsewhere, is the one to talk to.
            self._socket = choose_socket(self._directory)
            # Before the start: a start that fails leaves a socket or a record behind, too.
            stack.callback(self._remove_files)
            # A log of its own for each start, so that the end of it tells of this start and of no earlier one.
            self._rotate_log()
            await self._start()
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server in order, and let go of the directory."""
        async with self._resources:
            # Said before the lock is asked for: a restart that waits for the same lock must then start nothing.
            self._is_stopping = True
            async with self._changing:
                await self._stop()

    async def watch(self) -> str:
        """Wait until the server ends; return a sentence that says how, or "" if it was stopped in order.

        Cancelling is safe.
        """
        # Held here, since a restart puts another process in its place.
        process = self._running
        code = await process.wait()
        if self._is_stopping:
            return ""
        return f"The private Redis server (process {process.pid}) ended by itself: {_describe_exit(code)}."

    async def restart(self) -> None:
        """Start the server again on the same socket and data, after ending it if it still runs.

        Raises:
            StoreUnavailable: It did not come up; may be called again.
        """
        async with self._changing:
            if self._is_stopping:
                return
            await self._stop()
            await self._start()
        _log.info("store.server_restarted", pid=self.pid)

    async def keep_running(self) -> None:
        """Watch the server and start it again whenever it dies; returns once it is stopped in order."""
        while sentence := await self.watch():
            _log.error("store.server_died", reason=sentence, log=self._log_tail())
            # Without end: every accepted job lies in this server's files, and nothing works before it is back.
            async for attempt in stamina.retry_context(on=StoreUnavailable, attempts=None, timeout=None, wait_max=5.0):
                with attempt:
                    await self.restart()

    # --- starting ------------------------------------------------------------------------------

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise StoreUnavailable("The private Redis server was not started.")
        return self._process

    def _refuse_older_server(self, binary: ServerBinary) -> None:
        # A server before 7.0 would ignore the folder and start empty: every accepted job would seem lost.
        if binary.version < (7, 0) and (self._directory / _MULTI_PART_AOF).exists():
            raise ConfigError(
                f"The data in {self._directory} were written by a Redis or Valkey of version 7 or newer, and "
                f"{binary.path} is {binary.version[0]}.{binary.version[1]}; install the newer server again, "
                "or choose another data directory with --data."
            )

    async def _start(self) -> None:
        binary = self._binary or await asyncio.to_thread(find_server)
        self._socket.unlink(missing_ok=True)
        with self._log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                binary.path,
                *self._options(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                # Ctrl-C in the terminal goes to the whole foreground group: the owner still needs the server then.
                start_new_session=True,
                # Safe here: the hook makes two system calls through a library that is already loaded.
                preexec_fn=end_with_parent(signal.SIGTERM),
            )
        try:
            # Once this is written, the next owner of the directory finds the server even if this process is killed.
            await asyncio.to_thread(write_record, self._record, pid=self._process.pid, socket=self._socket)
            await self._wait_until_ready()
        # It ended before its start time could be read: a failed start like any other.
        except psutil.NoSuchProcess:
            raise self._failed_start() from None
        # A cancellation as well: nobody else knows of this process yet.
        except BaseException:
            await self._kill()
            raise

    def _options(self) -> list[str]:
        options = {
            # No TCP port: every user of the machine could reach it, and it asks for no password.
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            # A server that leaves this process could not be waited for, and would get no death signal.
            "daemonize": "no",
            # To its standard output, so that what it says before it has read its options is in the same file.
            "logfile": "",
            # Snapshots would write what the append-only file holds a second time.
            "save": "",
            "appendonly": "yes",
            "appendfsync": self._durability,
            "aof-use-rdb-preamble": "yes",
            # The end of the file may be cut off after a power loss: what is whole is loaded.
            "aof-load-truncated": "yes",
            # Evicting keys would lose jobs; refusing writes is an error that users see.
            "maxmemory-policy": "noeviction",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    async def _wait_until_ready(self) -> None:
        ready = asyncio.create_task(self._wait_until_loaded(), name="redis-ready")
        ended = asyncio.create_task(self._running.wait(), name="redis-ended")
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
            # If both are done, it did serve: that it ended since is for `watch` to tell.
            if not ready.done():
                raise self._failed_start()
            ready.result()
        # Stamina raises the last error when the limit has passed.
        except OSError as error:
            raise self._failed_start() from error
        finally:
            for task in (ready, ended):
                task.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)

    async def _wait_until_loaded(self) -> None:
        retries = stamina.retry_context(
            on=OSError,  # TimeoutError and ConnectionError are OSErrors
            attempts=None,
            timeout=START_LIMIT_S,
            # A server with little data is there after 14 to 19 ms, and every command with an embedded fleet waits for
            # it.
            wait_initial=0.005,
            wait_max=0.25,
            wait_jitter=0.005,
        )
        async for attempt in retries:
            with attempt:
                answer = await self._ask("PING")
                if answer != "+PONG":
                    raise ConnectionError(answer)  # -LOADING, for as long as it reads its data

    async def _ask(self, command: str) -> str:
        """Send one word and return the first line of the answer; "" where the server just closes.

        Not through redis-py: its connecting may swallow a cancellation (seen with 8.1), and a stop must not hang.
        """
        async with asyncio.timeout(_ASK_LIMIT_S):
            reader, writer = await asyncio.open_unix_connection(self._socket)
            try:
                writer.write(command.encode() + b"\r\n")
                return (await reader.readline()).decode(errors="replace").strip()
            finally:
                writer.close()

    def _failed_start(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"The private Redis server did not start; the reason is at the end of {self._log_file}.",
            detail=self._log_tail(),
        )

    def _rotate_log(self) -> None:
        with suppress(FileNotFoundError):
            self._log_file.replace(self._log_file.with_suffix(".log.1"))

    def _log_tail(self) -> str:
        with suppress(OSError):
            return self._log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return ""

    # --- ending --------------------------------------------------------------------------------

    async def _end_orphan(self) -> None:
        """End the server of an earlier owner that was killed; two servers on one append-only file would spoil it."""
        record = read_record(self._record)
        if record is None:
            # An owner that was killed between start and record leaves a server without one; what listens on the socket
            # of this directory can be no other.
            await self._shut_down()
            return
        self._socket = Path(record.socket)
        if process := find_process(record):
            _log.info("store.orphan_found", pid=record.pid)
            await self._shut_down()
            await asyncio.to_thread(_end_process, process)
        self._remove_files()

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            for ask in (self._shut_down, self._terminate):
                if process.returncode is None and await ask():
                    await _wait_for_end(process)
        finally:
            # If this is cancelled, too: the directory is let go next, and another owner may start at once.
            await self._kill()

    async def _shut_down(self) -> bool:
        """Ask the server to write what it has and end; return False where it refused or did not answer."""
        with suppress(OSError):
            return not await self._ask("SHUTDOWN")  # Its only answers are refusals.
        return False

    async def _terminate(self) -> bool:
        with suppress(ProcessLookupError):
            self._running.terminate()
        return True

    async def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _remove_files(self) -> None:
        discard_socket(self._socket, self._directory)
        self._record.unlink(missing_ok=True)


async def _wait_for_end(process: asyncio.subprocess.Process) -> None:
    """Return when the process has ended, or did not within `STOP_GRACE_S`."""
    # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with the end.
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_GRACE_S):
            await process.wait()


def _end_process(process: psutil.Process) -> None:
    """Wait for a process that was asked to end, then insist. psutil checks its start time before each signal."""
    # The first wait comes before any signal: it was asked to end just now, and may be writing.
    for insist in (process.terminate, process.kill, None):
        with suppress(psutil.NoSuchProcess):
            try:
                process.wait(STOP_GRACE_S)
            except psutil.TimeoutExpired:
                if insist is None:
                    raise StoreUnavailable(
                        f"The Redis server of an earlier start (process {process.pid}) does not end; end it by hand."
                    ) from None
                insist()
            else:
                return


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
