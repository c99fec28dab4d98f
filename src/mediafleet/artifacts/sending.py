"""Files on their way to a scheduler: they go on where they broke off, over its restarts too."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
import stamina

from mediafleet.artifacts.disk import BLOCK_BYTES
from mediafleet.artifacts.exchange import FIRST_WAIT_S, LONGEST_WAIT_S, STALL_S, decode, not_ours
from mediafleet.artifacts.writing import MOST_PAST_BYTES, write_past
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import (
    Conflict,
    InvalidRequest,
    MediafleetError,
    NotFound,
    SchedulerUnavailable,
    StoreUnavailable,
    TransientFailure,
    UploadMismatch,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Hashable
    from pathlib import Path

    from mediafleet.artifacts.exchange import Exchange

TRIES = 5
"""To announce an upload."""
TRIES_TO_GO_ON = 16
"""In a row without a single byte of progress, once it has begun: about a minute, in which a scheduler restarts."""
_READ_BPS = 100_000_000
"""Bytes a second that a scheduler surely hashes: it may have to read all of an upload that came in parts."""
_MOST_BEGUN = 100
_AWAY = (SchedulerUnavailable, StoreUnavailable)


class _OpenUpload(msgspec.Struct):
    """The answer to an announced upload."""

    id: str
    direct: bool = False


class Sender:
    """Uploads to one scheduler, or past it to where its artifacts live."""

    def __init__(self, exchange: Exchange, *, direct: bool = False) -> None:
        self._exchange = exchange
        self._may_go_past = direct
        self._begun: dict[Hashable, _OpenUpload] = {}
        """Uploads that a later call for the same file may go on with, oldest first."""

    async def send(self, path: Path, announcement: dict[str, str], on_progress: Callable[[int], None]) -> ArtifactRef:
        """See `ArtifactClient.upload`."""
        with _open_source(path) as file:
            source = Source(file, os.fstat(file.fileno()).st_size, on_progress)
            try:
                return await self._send_file(source, announcement)
            except (UploadMismatch, NotFound):
                if source.fault:
                    raise
            # The file changed under way, bytes were damaged, or the upload is gone: once more, with what is there now.
            source = Source(file, os.fstat(file.fileno()).st_size, on_progress)
            return await self._send_file(source, announcement)

    async def _send_file(self, source: Source, announcement: dict[str, str]) -> ArtifactRef:
        mark = (source.mark(), *announcement.items())
        known = self._begun.get(mark)
        opened = known or await self._announce(announcement | {"size": source.size})
        upload = opened.id
        self._remember(mark, opened)
        try:
            ref = await self._send_past(opened, source) or await self._send_all(upload, source, ask=known is not None)
            if ref.sha256 != source.digest.hexdigest():
                raise UploadMismatch("Other bytes of the file arrived than were sent; send it again.")
        except _AWAY:
            # It cannot be told, and what came stays there: the next call goes on with it.
            raise
        except BaseException:
            del self._begun[mark]
            await self._give_up(upload)
            raise
        del self._begun[mark]
        return ref

    async def _send_past(self, opened: _OpenUpload, source: Source) -> ArtifactRef | None:
        """Write to the upload's address; None where that is not possible, and the scheduler has to take the bytes."""
        if not (opened.direct and self._may_go_past and 0 < source.size <= MOST_PAST_BYTES):
            return None
        return await write_past(self._exchange, opened.id, source)

    def _remember(self, mark: Hashable, upload: _OpenUpload) -> None:
        self._begun[mark] = upload
        if len(self._begun) > _MOST_BEGUN:
            del self._begun[next(iter(self._begun))]

    async def _announce(self, announcement: dict[str, Any]) -> _OpenUpload:
        wanted = {key: value for key, value in announcement.items() if value != ""}
        body, headers = msgspec.json.encode(wanted), {"Content-Type": "application/json"}
        waits: dict[str, Any] = {"timeout": None, "wait_initial": FIRST_WAIT_S, "wait_max": LONGEST_WAIT_S}
        async for attempt in stamina.retry_context(on=_AWAY, attempts=TRIES, **waits):
            with attempt:
                async with self._exchange.request("POST", "", data=body, headers=headers) as response:
                    return decode(await response.read(), _OpenUpload)
        raise AssertionError("retry_context ends by returning or raising")  # pragma: no cover

    async def _send_all(self, upload: str, source: Source, *, ask: bool) -> ArtifactRef:
        while True:
            before = source.arrived
            async for attempt in _patiently(source):
                with attempt:
                    if ask:
                        source.arrived = await self._offset(upload, source.size)
                    # A long upload over a bad line breaks often: only standing still counts against it.
                    ask = source.arrived == before
                    if not ask:
                        break
                    return await self._send_rest(upload, source)

    async def _offset(self, upload: str, size: int) -> int:
        """Ask where to go on."""
        async with self._exchange.request("HEAD", f"/{upload}") as response:
            # A complete one has nothing to go on with, but the answer that says so may have been lost.
            said = response.headers.get("Upload-Offset", str(size))
        if not said.isdecimal() or int(said) > size:
            raise not_ours()
        return int(said)

    async def _send_rest(self, upload: str, source: Source) -> ArtifactRef:
        await source.catch_up()
        offset, patience_s = source.arrived, STALL_S + source.size / _READ_BPS
        headers = {"Content-Length": str(source.size - offset), "Content-Type": "application/octet-stream"}
        try:
            # A deadline that moves with the bytes: an honest upload over a slow line may take hours.
            async with (
                asyncio.timeout(STALL_S if offset < source.size else patience_s) as deadline,
                self._exchange.request(
                    "PUT",
                    f"/{upload}?offset={offset}",
                    data=source.read(deadline, patience_s),
                    headers=headers,
                    patience_s=patience_s,
                ) as response,
            ):
                return decode(await response.read(), ArtifactRef)
        except TimeoutError as error:
            raise SchedulerUnavailable("The scheduler took no more bytes of the upload; try again.") from error
        except SchedulerUnavailable as error:
            # aiohttp hides why the body ended behind a lost connection.
            raise source.fault or error from None

    async def _give_up(self, upload: str) -> None:
        """Tell the scheduler that no more comes; if it does not hear it, it removes the upload after its retention."""
        with suppress(MediafleetError, TimeoutError):
            async with asyncio.timeout(2), self._exchange.request("DELETE", f"/{upload}"):
                pass


@dataclass
class Source:
    """A file on its way out."""

    file: BinaryIO
    size: int
    on_progress: Callable[[int], None]
    digest: Any = field(default_factory=hashlib.sha256)
    hashed: int = 0
    """Bytes that the digest is of; what is sent once more is not hashed once more."""
    arrived: int = 0
    """Bytes that the scheduler has, as far as it said."""
    fault: MediafleetError | None = None
    """Why it cannot be read to its end."""
    _hashing: threading.Lock = field(default_factory=threading.Lock)

    def mark(self) -> Hashable:
        """Return what tells this content from another one of the same name."""
        found = os.fstat(self.file.fileno())
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    async def catch_up(self) -> None:
        """Hash what the scheduler has and this process did not send."""
        while self.hashed < self.arrived:
            await asyncio.to_thread(self._next, self.hashed, self.arrived)

    async def read(self, deadline: asyncio.Timeout, patience_s: float) -> AsyncGenerator[bytes]:
        """Yield what has not arrived, moving the deadline on with each block and leaving patience behind the last."""
        position = self.arrived
        while position < self.size:
            block = await asyncio.to_thread(self._next, position, self.size)
            yield block
            position += len(block)
            left_s = STALL_S if position < self.size else patience_s
            with suppress(RuntimeError):  # The answer may be there before the last block is asked for.
                deadline.reschedule(asyncio.get_running_loop().time() + left_s)
            self.on_progress(position)

    def next_block(self, position: int) -> bytes:
        """Read, and hash what was not hashed yet; blocking. Raises TransientFailure, UploadMismatch."""
        return self._next(position, self.size)

    def _next(self, position: int, end: int) -> bytes:
        try:
            block = os.pread(self.file.fileno(), min(BLOCK_BYTES, end - position), position)
        except OSError as error:
            self.fault = TransientFailure(f"The file could not be read to its end: {error.strerror}.")
            raise self.fault from error
        if not block:
            self.fault = UploadMismatch("The file became shorter while it was sent; send it when it is complete.")
            raise self.fault
        # A connection that breaks leaves its thread behind, and the next one reads the same bytes.
        with self._hashing:
            self.digest.update(block[max(0, self.hashed - position) :])
            self.hashed = max(self.hashed, position + len(block))
        return block


def _patiently(source: Source) -> Any:
    def may_go_on(error: Exception) -> bool:
        # A conflict is about where to go on, or the scheduler has not noticed yet that the line broke.
        return not source.fault and isinstance(error, (*_AWAY, Conflict))

    return stamina.retry_context(
        on=may_go_on, attempts=TRIES_TO_GO_ON, timeout=None, wait_initial=FIRST_WAIT_S, wait_max=LONGEST_WAIT_S
    )


def _open_source(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise NotFound(f"There is no file {path.name!r} to send.") from None
    except OSError as error:
        raise InvalidRequest(f"{path.name!r} cannot be read: {error.strerror}.") from error
