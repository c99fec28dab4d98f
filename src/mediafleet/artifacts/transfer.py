"""Artifacts over HTTP, as nodes and the command line move them: streamed, checked, whole or not there at all.

The routes are described in `docs/reference/rest-api.md`.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

import structlog

from mediafleet.artifacts.buckets import is_object_address
from mediafleet.artifacts.disk import BLOCK_BYTES, explain, sync_file, sync_folder
from mediafleet.artifacts.exchange import Exchange, retries
from mediafleet.artifacts.fingerprint import path_of_uri, sees_same_file
from mediafleet.artifacts.origins import AddressOrigin, Fetcher, SchedulerOrigin
from mediafleet.artifacts.ranges import GAP_BYTES, Range, count_bytes, merge_ranges
from mediafleet.artifacts.sending import Sender
from mediafleet.domain.addresses import AddressRing
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import InvalidRequest, SchedulerUnavailable, TransientFailure
from mediafleet.domain.path_map import NO_PATHS, PathMap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import aiohttp

    from mediafleet.artifacts.cache import ArtifactCache
    from mediafleet.artifacts.origins import Origin

    OnProgress = Callable[[int], None]
    """Called with the bytes moved so far."""
    OnFetched = Callable[[int, int], None]
    """Called with the bytes fetched so far, and how many are to be fetched."""

log = structlog.get_logger(__name__)


class ArtifactClient:
    """Uploads to and downloads from one scheduler, over a session that somebody else opens and closes."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        addresses: AddressRing | str,
        token: str = "",
        *,
        cache: ArtifactCache | None = None,
        direct: bool = False,
        paths: PathMap = NO_PATHS,
    ) -> None:
        """Bind a session to a scheduler.

        Args:
            token: Sent with each request; leave it empty where the session already sends one.
            direct: Write uploads to the object store where artifacts live in one. The session must send no credential of
                its own then.
            cache: Keeps what `resolve` fetches, and holds what it fetches in part; it is this process's own.
            paths: Where folders of the fleet are on this machine.
        """
        self._paths = paths
        ring = AddressRing(addresses) if isinstance(addresses, str) else addresses
        self._cache = cache
        self._exchange = Exchange(session, ring, token)
        self._sender = Sender(self._exchange, direct=direct)

    async def upload(
        self, path: Path, *, name: str, grant: str = "", on_progress: OnProgress | None = None
    ) -> ArtifactRef:
        """Send a file and return its artifact.

        A broken connection is taken up again where it broke. What came to a scheduler that is away for longer stays
        there, and another call for the same file goes on with it. Bytes that arrive damaged are sent once more.

        Args:
            name: File name to show, not a path.
            grant: The attempt that publishes it, where a node does.
            on_progress: Told of the bytes moved so far; never less than before.

        Raises:
            UploadMismatch: The file changed while it was sent, or other bytes arrived than were sent.
            SchedulerUnavailable: The scheduler did not answer, or the connection broke again and again.
            MediafleetError: What the scheduler says against it.
        """
        return await self._sender.send(path, {"name": name, "grant": grant}, _Rising(on_progress or _ignore))

    async def download(self, ref: ArtifactRef | str, to: Path, *, on_progress: OnProgress | None = None) -> None:
        """Fetch an artifact into a file, which appears only when it is complete and checked, and replaces an older one.

        A broken connection is taken up again where it broke; on failure and on cancellation nothing stays.

        Args:
            ref: The artifact or its id; with a reference its hash is checked against that.

        Raises:
            NotFound: The artifact is gone.
            TransientFailure: The bytes arrived damaged.
            SchedulerUnavailable: The connection broke again and again without progress.
            Unavailable: The disk is full.
        """
        wanted = ref if isinstance(ref, ArtifactRef) else ArtifactRef(ref, "")
        # Not made of the name, which may be as long as names can be.
        draft = to.parent / f".{secrets.token_hex(8)}.part"
        try:
            with draft.open("xb") as file:
                partial = _Partial(file, wanted, _Rising(on_progress or _ignore))
                await self._fetch_all(partial)
            partial.check()
            await asyncio.to_thread(_publish, draft, to)
        except OSError as error:
            raise explain(error, to.parent) from error
        finally:
            draft.unlink(missing_ok=True)

    async def resolve(
        self,
        ref: ArtifactRef,
        workspace: Path,
        *,
        ranges: Sequence[Range] | None = None,
        on_progress: OnFetched | None = None,
    ) -> Path:
        """Return a local path with the artifact's bytes: in place if this machine proves to see the file, else a copy.

        Args:
            ranges: What is needed of it, half-open; the file is as long as the artifact, and what lies elsewhere in it
                may be zeros. All of it if None, and wherever fetching parts is not possible.
            on_progress: Told of what is fetched; of nothing where nothing is.

        Raises:
            MediafleetError: As for `download`.
        """
        if path := await self._in_place(ref):
            return path
        folder = workspace / "inputs" / _plain(ref.id)
        folder.mkdir(parents=True, exist_ok=True)
        # Below the id, because two inputs of one task may have the same name.
        copy = folder / _plain(ref.name)
        if (
            self._cache
            and ref.size > 0
            and await self._lend(self._cache, ref, copy, ranges, on_progress or _tell_nobody)
        ):
            return copy
        if not copy.exists():
            told = on_progress or _tell_nobody
            await self.download(ref, copy, on_progress=lambda moved: told(moved, ref.size))
        return copy

    async def _in_place(self, ref: ArtifactRef) -> Path | None:
        if not ref.uri.startswith("file://") or ref.fingerprint is None:
            return None
        with suppress(InvalidRequest):
            # A mapping proves no more than a path does: the file itself is what both are probed with.
            for place in self._paths.places(path_of_uri(ref.uri)):
                if await sees_same_file(place, ref.fingerprint):
                    return place
        return None

    async def _lend(
        self,
        cache: ArtifactCache,
        ref: ArtifactRef,
        link: Path,
        ranges: Sequence[Range] | None,
        on_progress: OnFetched,
    ) -> bool:
        """Fetch into the cache and link from there; False where the file system has no links."""
        wanted = None if ranges is None else merge_ranges(ranges, size=ref.size, gap=GAP_BYTES)
        tally = _Tally(ref.size if wanted is None else count_bytes(wanted), on_progress)
        fetcher = Fetcher(self._origins(ref), tally.add)
        try:
            await cache.lend(ref, wanted, fetcher.fetch, link)
        except OSError as error:
            log.warning("this file system has no hard links: nothing is kept for later tasks", reason=repr(error))
            self._cache = None
            return False
        return True

    def _origins(self, ref: ArtifactRef) -> list[Origin]:
        through = SchedulerOrigin(self._exchange, ref)
        return [AddressOrigin(self._exchange, ref), through] if is_object_address(ref.uri) else [through]

    # --- fetching ------------------------------------------------------------------------------

    async def _fetch_all(self, partial: _Partial) -> None:
        while True:
            before = partial.offset
            try:
                async for attempt in retries():
                    with attempt:
                        await self._fetch_rest(partial)
                        return
            except SchedulerUnavailable:
                # A long download over a bad line breaks often: only standing still counts against it.
                if partial.offset == before:
                    raise

    async def _fetch_rest(self, partial: _Partial) -> None:
        async with self._exchange.request(
            "GET", f"/{quote(partial.ref.id, safe='')}", headers=partial.headers()
        ) as response:
            partial.begin(response)
            async for chunk in response.content.iter_chunked(BLOCK_BYTES):
                await partial.write(chunk)
        partial.end()


@dataclass
class _Rising:
    """Passes progress on as far as it is more than before."""

    on_progress: OnProgress
    told: int = -1

    def __call__(self, moved: int) -> None:
        if moved > self.told:
            self.told = moved
            self.on_progress(moved)


@dataclass
class _Tally:
    """Counts what comes; other calls may bring parts of the same."""

    wanted: int
    on_progress: OnFetched
    fetched: int = 0

    def add(self, count: int) -> None:
        self.fetched += count
        self.on_progress(min(self.fetched, self.wanted), self.wanted)


@dataclass
class _Partial:
    """A download on its way in: what is written so far, and what the rest must fit to."""

    file: BinaryIO
    ref: ArtifactRef
    on_progress: OnProgress
    digest: Any = field(default_factory=hashlib.sha256)
    offset: int = 0
    size: int = -1
    etag: str = ""

    def headers(self) -> dict[str, str]:
        """Return what asks for the bytes that are missing, unless they are another artifact's meanwhile."""
        if not self.offset or not self.etag:
            return {}
        # With If-Range a server that has other bytes by now sends all of them, and never the tail of another file.
        return {"Range": f"bytes={self.offset}-", "If-Range": self.etag}

    def begin(self, response: aiohttp.ClientResponse) -> None:
        """Take an answer: the rest, or everything from the start."""
        # A server or a proxy may ignore the range: what is there must not be appended to itself.
        if response.status != 206:  # noqa: PLR2004 - Partial Content
            self.file.seek(0)
            self.file.truncate()
            self.digest, self.offset = hashlib.sha256(), 0
        length = response.content_length
        self.size = -1 if length is None else self.offset + length
        self.etag = response.headers.get("ETag", "")

    async def write(self, chunk: bytes) -> None:
        """Append bytes."""
        await asyncio.to_thread(self._write, chunk)
        self.offset += len(chunk)
        self.on_progress(self.offset)

    def end(self) -> None:
        """Raise SchedulerUnavailable if bytes are missing: the rest is asked for then."""
        if self.offset < self.size:
            raise SchedulerUnavailable("The connection ended before the whole file was there; try again.")

    def check(self) -> None:
        """Raise TransientFailure unless the bytes are those that were wanted."""
        expected = self.ref.sha256 or self.etag.strip('"')
        is_right_size = self.ref.size in {-1, self.offset}
        if not is_right_size or (expected and self.digest.hexdigest() != expected):
            raise TransientFailure(f"The bytes of artifact {self.ref.id} arrived damaged; try again.")

    def _write(self, chunk: bytes) -> None:
        self.file.write(chunk)
        self.digest.update(chunk)


def _publish(draft: Path, to: Path) -> None:
    sync_file(draft)
    draft.replace(to)
    sync_folder(to.parent)


def _plain(name: str) -> str:
    """Return a name that stays inside its folder and fits into a directory entry, whatever came over the wire."""
    last = name.replace("\0", "").rpartition("/")[2]
    shortened = last.encode(errors="replace")[-200:].decode(errors="ignore")
    return "input" if shortened in {"", ".", ".."} else shortened


def _ignore(_: int) -> None:
    """Take no note of progress."""


def _tell_nobody(_: int, __: int) -> None:
    """Take no note of progress."""
