"""What a node has fetched, kept for the next task that wants it (`docs/decisions/0024-nodes-keep-what-they-fetched.md`).

A task gets a hard link in its workspace. So an entry is in use while its file has another name, whoever looks, and
what is removed here is never taken from under a task.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from mediafleet.artifacts.disk import explain
from mediafleet.artifacts.parts import Parts
from mediafleet.artifacts.ranges import Range, count_bytes, merge_ranges
from mediafleet.domain.errors import TransientFailure

if TYPE_CHECKING:
    from mediafleet.domain.artifact import ArtifactRef

    Fetch = Callable[[Parts, Range], Awaitable[None]]
    """Brings one stretch into the file."""

PIECE_BYTES = 64 * 1024 * 1024
"""Fetched before somebody else who waits for the same artifact has a turn."""
LEAST_FREE_SHARE = 0.3
"""Of the disk: what is kept for later must not be why a node counts as full (a quarter must be free, where not set)."""
TRIM_EVERY_S = 10.0
_PART = ".part"
_GONE = ".gone"
_HASH = re.compile(r"[0-9a-f]{64}")

log = structlog.get_logger(__name__)


@dataclass
class _Entry:
    """One artifact, here or on its way."""

    path: Path
    """Where the whole file is, once it is whole."""
    parts: Parts | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0
    """Calls that are at work on it; afterwards its second name says that it is in use."""


@dataclass(frozen=True)
class CacheUse:
    """How much there is."""

    entries: int
    size_bytes: int
    """On the disk: holes take nothing."""
    limit_bytes: int


class ArtifactCache:
    """Files by their content, in a folder that belongs to one process."""

    def __init__(self, folder: Path, limit_bytes: int, *, least_free_share: float = LEAST_FREE_SHARE) -> None:
        """Take a folder, which is looked at only when something is wanted.

        Args:
            limit_bytes: What may stay when nobody uses it; what is in use may be more.
            least_free_share: Of the disk, 0..1.
        """
        self._folder = folder
        self._limit = limit_bytes
        self._least_free_share = least_free_share
        self._entries: dict[str, _Entry] = {}
        self._is_open = False
        self._opening = asyncio.Lock()

    async def lend(self, ref: ArtifactRef, wanted: tuple[Range, ...] | None, fetch: Fetch, link: Path) -> None:
        """Make `link` a name of a file that has the wanted stretches, or all of it; fetch what is not there.

        Several calls for one artifact at once fetch each byte once. A call that breaks off leaves what came to the next.

        Raises:
            TransientFailure: The bytes arrived damaged.
            Unavailable: The disk is full.
            OSError: This file system has no hard links.
        """
        await self._open()
        key = _key(ref)
        stretches = merge_ranges([(0, ref.size)] if wanted is None else wanted, size=ref.size)
        async with self._use(key) as entry:
            while await self._next_piece(entry, ref, stretches, fetch):
                pass
            async with entry.turn:
                await asyncio.to_thread(_link, entry.parts.path if entry.parts else entry.path, link)

    async def has_whole(self, ref: ArtifactRef) -> bool:
        """Tell whether all bytes are here."""
        await self._open()
        return await asyncio.to_thread((self._folder / _key(ref)).exists)

    async def keep_small(self) -> None:
        """Let go what is too much, for ever: when a task ends, nobody says so here."""
        while True:
            await asyncio.sleep(TRIM_EVERY_S)
            if self._is_open:
                await self.trim()

    async def trim(self, *, room_for: int = 0) -> None:
        """Remove what was not used for longest, until limit and disk are kept; nothing that is in use."""
        for path in await asyncio.to_thread(self._victims, room_for):
            key = path.name.removesuffix(_PART)
            entry = self._entries.get(key)
            # Looked at here and not in the thread: between this and the new name nobody else comes in.
            if (entry and entry.users) or not _is_unused(path):
                continue
            gone = path.with_name(f"{secrets.token_hex(8)}{_GONE}")
            with suppress(OSError):
                path.rename(gone)
                self._entries.pop(key, None)
                # In a thread, since a large file takes a while to remove.
                await asyncio.to_thread(gone.unlink, missing_ok=True)

    async def use(self) -> CacheUse:
        """Return how much there is."""
        if not self._is_open:
            return CacheUse(0, 0, self._limit)
        found = await asyncio.to_thread(self._look)
        return CacheUse(len(found), sum(size for _, size, _ in found), self._limit)

    async def _open(self) -> None:
        async with self._opening:
            if not self._is_open:
                await asyncio.to_thread(self._clean)
                self._is_open = True

    def _clean(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # What of a part is there was known to a process that has ended.
            for path in self._folder.iterdir():
                if path.suffix in {_PART, _GONE}:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise explain(error, self._folder) from error

    @asynccontextmanager
    async def _use(self, key: str) -> AsyncGenerator[_Entry]:
        entry = self._entries.setdefault(key, _Entry(self._folder / key))
        entry.users += 1
        try:
            yield entry
        finally:
            entry.users -= 1
            if not entry.users and entry.parts is None:
                self._entries.pop(key, None)

    async def _next_piece(self, entry: _Entry, ref: ArtifactRef, wanted: tuple[Range, ...], fetch: Fetch) -> bool:
        """Fetch one piece of what is missing; False if nothing is."""
        async with entry.turn:
            if entry.parts is None:
                if await asyncio.to_thread(_touch, entry.path, ref.size):
                    return False
                await self.trim(room_for=count_bytes(wanted))
                entry.parts = await self._begin(entry.path, ref)
            missing = entry.parts.missing(wanted)
            if missing:
                start, end = missing[0]
                await self._fetch(entry, (start, min(end, start + PIECE_BYTES)), fetch)
            if entry.parts.is_complete:
                await self._finish(entry, entry.parts)
                return False
            return bool(entry.parts.missing(wanted))

    async def _begin(self, path: Path, ref: ArtifactRef) -> Parts:
        try:
            return await asyncio.to_thread(Parts, path.with_name(path.name + _PART), ref)
        except OSError as error:
            raise explain(error, self._folder) from error

    async def _fetch(self, entry: _Entry, piece: Range, fetch: Fetch) -> None:
        assert entry.parts is not None  # noqa: S101 - for the type checker: `_next_piece` has just made it
        try:
            await fetch(entry.parts, piece)
        except TransientFailure:
            # Another file than the one that parts came from: nothing of it can be trusted.
            await self._drop(entry)
            raise
        except OSError as error:
            raise explain(error, self._folder) from error

    async def _finish(self, entry: _Entry, parts: Parts) -> None:
        try:
            await parts.seal(entry.path)
        except TransientFailure:
            await self._drop(entry)
            raise
        except OSError as error:
            raise explain(error, self._folder) from error
        entry.parts = None

    async def _drop(self, entry: _Entry) -> None:
        """Forget parts; a task that has them open keeps them."""
        parts, entry.parts = entry.parts, None
        if parts:
            await asyncio.to_thread(parts.path.unlink, missing_ok=True)

    def _victims(self, room_for: int) -> list[Path]:
        found = self._look()
        total = sum(size for _, size, _ in found) + room_for
        disk = shutil.disk_usage(self._folder)
        excess = max(total - self._limit, int(self._least_free_share * disk.total) - (disk.free - room_for))
        victims: list[Path] = []
        for _, size, path in found:
            if excess <= 0:
                break
            if _is_unused(path):
                victims.append(path)
                excess -= size
        return victims

    def _look(self) -> list[tuple[int, int, Path]]:
        """Return when each file was used last, what it takes and where it is, the oldest first."""
        found: list[tuple[int, int, Path]] = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_blocks * 512, path))
        return sorted(found)


def _key(ref: ArtifactRef) -> str:
    return f"{_content(ref)}-{ref.size}"


def _content(ref: ArtifactRef) -> str:
    """Return a word that artifacts have in common only where their bytes are the same."""
    if _HASH.fullmatch(ref.sha256):
        return ref.sha256
    # Samples alone may miss what was changed between them.
    if ref.uri and ref.version and ref.fingerprint:
        said = f"{ref.uri}\n{ref.version}\n{ref.fingerprint.sample_sha256}"
        return f"at-{hashlib.sha256(said.encode()).hexdigest()}"
    return f"id-{hashlib.sha256(ref.id.encode()).hexdigest()}"


def _touch(path: Path, size: int) -> bool:
    """Note that a whole file is used; False if there is none."""
    try:
        if path.stat().st_size != size:
            path.unlink()
            return False
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _is_unused(path: Path) -> bool:
    try:
        return path.stat().st_nlink == 1
    except OSError:
        return False


def _link(file: Path, link: Path) -> None:
    with suppress(FileNotFoundError):
        if link.samefile(file):
            return
    draft = link.with_name(f".{secrets.token_hex(8)}")
    draft.hardlink_to(file)
    draft.replace(link)
