"""Artifacts over HTTP, as nodes and the command line move them: streamed, checked, whole or not there at all.

The routes are described in `docs/reference/rest-api.md`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
import stamina

from mediafleet.artifacts.disk import BLOCK_BYTES, explain, sync_file, sync_folder
from mediafleet.artifacts.fingerprint import path_of_uri, sees_same_file
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import (
    ErrorInfo,
    InvalidRequest,
    MediafleetError,
    NotFound,
    SchedulerUnavailable,
    StoreUnavailable,
    TransientFailure,
    UploadMismatch,
)
from mediafleet.domain.problems import CLASSES, error_from_info

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    OnProgress = Callable[[int], None]
    """Called with the bytes moved so far."""

T = TypeVar("T")

STALL_S = 60.0
"""A transfer in which nothing moves for so long is broken: half-open connections are common."""
ATTEMPTS = 5
"""Tries in a row without a single byte of progress."""
_LONGEST_WAIT_S = 5.0
_FIRST_WAIT_S = 0.2
_MAX_PROBLEM_BYTES = 64 * 1024
_LOST = (aiohttp.ClientError, TimeoutError, ConnectionError)
_CODE_OF_STATUS = {401: "unauthorized", 403: "unauthorized", 404: "not-found", 409: "conflict"}
"""For answers that carry no problem document of ours."""


class _OpenUpload(msgspec.Struct):
    """The answer to an announced upload."""

    id: str


class _Problem(msgspec.Struct):
    """The members of a problem document (RFC 9457) that are read here."""

    code: str = ""
    detail: str = ""


class ArtifactClient:
    """Uploads to and downloads from one scheduler, over a session that somebody else opens and closes."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, token: str = "") -> None:
        """Bind a session to a scheduler.

        Args:
            token: Sent with each request; leave it empty where the session already sends one.
        """
        self._session = session
        self._routes = base_url.rstrip("/") + "/api/v1/artifacts"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def upload(
        self, path: Path, *, name: str, grant: str = "", on_progress: OnProgress | None = None
    ) -> ArtifactRef:
        """Send a file and return its artifact; tried again from the start when the connection breaks.

        Args:
            name: File name to show, not a path.
            grant: The attempt that publishes it, where a node does.

        Raises:
            UploadMismatch: The file changed while it was sent, or other bytes arrived than were sent.
            SchedulerUnavailable: The scheduler did not answer, or the connection broke again and again.
            MediafleetError: What the scheduler says against it.
        """
        async for attempt in _retries():
            with attempt:
                return await self._upload_once(path, {"name": name, "grant": grant}, on_progress or _ignore)
        raise AssertionError("retry_context ends by returning or raising")  # pragma: no cover

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
        draft = (
            to.parent / f".{secrets.token_hex(8)}.part"
        )  # Not made of the name, which may be as long as names can be.
        try:
            with draft.open("xb") as file:
                partial = _Partial(file, wanted, on_progress or _ignore)
                await self._fetch_all(partial)
            partial.check()
            await asyncio.to_thread(_publish, draft, to)
        except OSError as error:
            raise explain(error, to.parent) from error
        finally:
            draft.unlink(missing_ok=True)

    async def resolve(self, ref: ArtifactRef, workspace: Path) -> Path:
        """Return a local path with the artifact's bytes: in place if this machine proves to see the file, else a copy.

        Raises:
            MediafleetError: As for `download`.
        """
        if ref.uri.startswith("file://") and ref.fingerprint is not None:
            with suppress(InvalidRequest):
                path = path_of_uri(ref.uri)
                if await sees_same_file(path, ref.fingerprint):
                    return path
        folder = workspace / "inputs" / _plain(ref.id)
        folder.mkdir(parents=True, exist_ok=True)
        # Below the id, because two inputs of one task may have the same name.
        copy = folder / _plain(ref.name)
        if not copy.exists():
            await self.download(ref, copy)
        return copy

    # --- sending -------------------------------------------------------------------------------

    async def _upload_once(self, path: Path, announcement: dict[str, Any], on_progress: OnProgress) -> ArtifactRef:
        with _open_source(path) as file:
            source = _Source(file, os.fstat(file.fileno()).st_size, on_progress)
            opened = await self._announce(announcement | {"size": source.size})
            try:
                ref = await self._send(opened.id, source)
            except BaseException:
                await self._give_up(opened.id)
                raise
        if ref.sha256 != source.digest.hexdigest():
            await self._give_up(opened.id)
            raise UploadMismatch(f"Other bytes of {path.name!r} arrived than were sent; send it again.")
        return ref

    async def _announce(self, announcement: dict[str, Any]) -> _OpenUpload:
        wanted = {key: value for key, value in announcement.items() if value != ""}
        body, headers = msgspec.json.encode(wanted), {"Content-Type": "application/json"}
        async with self._request("POST", "", data=body, headers=headers) as response:
            return _decode(await response.read(), _OpenUpload)

    async def _send(self, upload: str, source: _Source) -> ArtifactRef:
        headers = {"Content-Length": str(source.size), "Content-Type": "application/octet-stream"}
        try:
            # A deadline that moves with the bytes: an honest upload over a slow line may take hours.
            async with asyncio.timeout(STALL_S) as deadline:
                body = source.read(deadline)
                async with self._request("PUT", f"/{upload}?offset=0", data=body, headers=headers) as response:
                    return _decode(await response.read(), ArtifactRef)
        except TimeoutError as error:
            raise SchedulerUnavailable("The scheduler took no more bytes of the upload; try again.") from error
        except SchedulerUnavailable as error:
            # aiohttp hides why the body ended behind a lost connection.
            raise source.fault or error from None

    async def _give_up(self, upload: str) -> None:
        """Tell the scheduler that no more comes; if it does not hear it, it removes the upload after its retention."""
        with suppress(MediafleetError, TimeoutError):
            async with asyncio.timeout(2), self._request("DELETE", f"/{upload}"):
                pass

    # --- fetching ------------------------------------------------------------------------------

    async def _fetch_all(self, partial: _Partial) -> None:
        while True:
            before = partial.offset
            try:
                async for attempt in _retries():
                    with attempt:
                        await self._fetch_rest(partial)
                        return
            except SchedulerUnavailable:
                # A long download over a bad line breaks often: only standing still counts against it.
                if partial.offset == before:
                    raise

    async def _fetch_rest(self, partial: _Partial) -> None:
        async with self._request("GET", f"/{quote(partial.ref.id, safe='')}", headers=partial.headers()) as response:
            partial.begin(response)
            async for chunk in response.content.iter_chunked(BLOCK_BYTES):
                await partial.write(chunk)
        partial.end()

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send one request and yield its answer once its status says success; lost connections become ours."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=STALL_S)
        headers = self._headers | (headers or {})
        try:
            # No redirects: the token in the headers must not follow one to another host.
            async with self._session.request(
                method, self._routes + path, headers=headers, timeout=timeout, allow_redirects=False, **options
            ) as response:
                if response.status >= 300:  # noqa: PLR2004 - these routes never redirect
                    raise await _error_of(response)
                yield response
        except _LOST as error:
            raise SchedulerUnavailable(
                "The scheduler does not answer, or the connection to it broke; try again.", detail=repr(error)
            ) from error


@dataclass
class _Source:
    """A file on its way out."""

    file: BinaryIO
    size: int
    on_progress: OnProgress
    digest: Any = field(default_factory=hashlib.sha256)
    fault: MediafleetError | None = None

    async def read(self, deadline: asyncio.Timeout) -> AsyncGenerator[bytes]:
        """Yield the file's bytes, moving the deadline on with each block."""
        sent = 0
        while sent < self.size:
            block = await asyncio.to_thread(self._next, min(BLOCK_BYTES, self.size - sent))
            yield block
            sent += len(block)
            with suppress(RuntimeError):  # The answer may be there before the last block is asked for.
                deadline.reschedule(asyncio.get_running_loop().time() + STALL_S)
            self.on_progress(sent)

    def _next(self, most: int) -> bytes:
        try:
            block = self.file.read(most)
        except OSError as error:
            self.fault = TransientFailure(f"The file could not be read to its end: {error.strerror}.")
            raise
        if not block:
            self.fault = UploadMismatch("The file became shorter while it was sent; send it when it is complete.")
            raise self.fault
        self.digest.update(block)
        return block


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


def _retries() -> Any:
    return stamina.retry_context(
        on=(SchedulerUnavailable, StoreUnavailable),
        attempts=ATTEMPTS,
        timeout=None,
        wait_initial=_FIRST_WAIT_S,
        wait_max=_LONGEST_WAIT_S,
    )


def _open_source(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise NotFound(f"There is no file {path.name!r} to send.") from None
    except OSError as error:
        raise InvalidRequest(f"{path.name!r} cannot be read: {error.strerror}.") from error


def _publish(draft: Path, to: Path) -> None:
    sync_file(draft)
    draft.replace(to)
    sync_folder(to.parent)


def _plain(name: str) -> str:
    """Return a name that stays inside its folder and fits into a directory entry, whatever came over the wire."""
    last = name.replace("\0", "").rpartition("/")[2]
    shortened = last.encode(errors="replace")[-200:].decode(errors="ignore")
    return "input" if shortened in {"", ".", ".."} else shortened


async def _error_of(response: aiohttp.ClientResponse) -> MediafleetError:
    raw = await response.content.read(_MAX_PROBLEM_BYTES)
    try:
        problem = msgspec.json.decode(raw, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = _Problem()
    fallback = SchedulerUnavailable.code if response.status >= 500 else "error"  # noqa: PLR2004 - server errors
    code = problem.code or _CODE_OF_STATUS.get(response.status, fallback)
    sentence = problem.detail or f"The scheduler answered with status {response.status}."
    retryable = CLASSES[code].retryable if code in CLASSES else False
    return error_from_info(ErrorInfo(code, sentence, retryable))


def _decode(raw: bytes, wanted: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SchedulerUnavailable("What answers at the scheduler's address is no mediafleet scheduler.") from error


def _ignore(_: int) -> None:
    """Take no note of progress."""
