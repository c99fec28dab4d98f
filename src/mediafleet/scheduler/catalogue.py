"""Keeps the catalogue: read from a file and an address, refreshed, and never replaced by a bad one."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import structlog

from mediafleet.domain.catalogue import EMPTY, Catalogue, CatalogueSource, CatalogueView, read_catalogue
from mediafleet.domain.errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    from mediafleet.domain.clock import Clock
    from mediafleet.ops.settings import CatalogueSettings

IDLE_S = 3600.0
"""Between two looks of the loop where nothing is configured."""
MOST_REDIRECTS = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Fetched:
    """What an address answered."""

    body: bytes | None
    """None where it says that nothing has changed."""
    etag: str = ""


async def fetch_catalogue(settings: CatalogueSettings, *, etag: str = "") -> Fetched:
    """Ask the configured address once.

    Args:
        etag: Of the document that is known already; the answer is then empty if it is still the same.

    Raises:
        Unavailable: No answer in time, one of an error, or one that is too large; the sentence says which.
    """
    where = shown_address(settings.url)
    timeout = aiohttp.ClientTimeout(total=settings.timeout_ms / 1000)
    headers = {"Accept": "application/json"} | ({"If-None-Match": etag} if etag else {})
    try:
        # One request an hour: a session that is kept would only hold a dead connection.
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(settings.url, headers=headers, max_redirects=MOST_REDIRECTS) as answer,
        ):
            if answer.status == 304 and etag:  # noqa: PLR2004 - Not Modified, RFC 9110 §15.4.5
                return Fetched(None, etag)
            if answer.status != 200:  # noqa: PLR2004 - OK; anything else is no document
                raise Unavailable(f"The catalogue at {where} answers {answer.status}.")
            return Fetched(await _read_at_most(answer, settings.max_bytes, where), answer.headers.get("ETag", ""))
    except TimeoutError:
        raise Unavailable(f"The catalogue at {where} did not come within {settings.timeout_ms} ms.") from None
    # Besides its own errors the client raises ValueError for an address that it cannot use, redirects included.
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unavailable(f"The catalogue at {where} cannot be reached: {type(error).__name__}.") from error


async def _read_at_most(answer: aiohttp.ClientResponse, limit: int, where: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    # Counted as it comes, unpacked: a length that is announced may be wrong, and a small packed body may be huge.
    async for part in answer.content.iter_chunked(64 * 1024):
        size += len(part)
        if size > limit:
            raise Unavailable(f"The catalogue at {where} is larger than catalogue.max_bytes, {limit} bytes.")
        parts.append(part)
    return b"".join(parts)


def shown_address(url: str) -> str:
    """Return an address as it may be shown: without credentials, and without a query, which may hold some."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def read_file(settings: CatalogueSettings) -> bytes:
    """Return the local file. Raises Unavailable."""
    try:
        with Path(settings.file).open("rb") as file:
            body = file.read(settings.max_bytes + 1)
    except OSError as error:
        raise Unavailable(f"The catalogue file {settings.file} cannot be read: {error.strerror}.") from error
    if len(body) > settings.max_bytes:
        raise Unavailable(f"The catalogue file {settings.file} is larger than {settings.max_bytes} bytes.")
    return body


class CatalogueKeeper:
    """The catalogue of one instance, and one loop that keeps it fresh.

    The address goes before the file, the file before the empty built-in one; a document that is bad or does not come
    leaves in use what was there, and `view` says so.
    """

    def __init__(self, settings: CatalogueSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._current = EMPTY
        self._source = CatalogueSource.BUILT_IN
        self._etag = ""
        self._body = b""
        self._loaded_ms: int | None = None
        self._checked_ms: int | None = None
        self._problems: dict[CatalogueSource, str] = {}

    @property
    def current(self) -> Catalogue:
        """The catalogue in use; the same object until another is."""
        return self._current

    def view(self) -> CatalogueView:
        """Return the catalogue with where it comes from and what is wrong with it."""
        locations = {CatalogueSource.FILE: self._settings.file, CatalogueSource.URL: shown_address(self._settings.url)}
        return CatalogueView(
            source=self._source,
            location=locations.get(self._source, ""),
            revision=self._current.revision,
            services=self._current.services,
            loaded_ms=self._loaded_ms,
            checked_ms=self._checked_ms,
            problem=" ".join(self._problems.values()),
        )

    async def step(self) -> None:
        """Refresh, and wait until it is time again."""
        await self.refresh()
        configured = self._settings.url or self._settings.file
        # Instances that were started together would otherwise all ask in the same moment.
        wait = self._settings.refresh_s * random.uniform(0.8, 1.2) if configured else IDLE_S  # noqa: S311 - jitter
        await asyncio.sleep(wait)

    async def refresh(self) -> None:
        """Ask the sources once. Raises nothing: what cannot be had is told by `view` and in the log."""
        if self._settings.url:
            await self._refresh_from_url()
        # Once the address has answered, an older file does not take its place.
        if self._settings.file and self._source is not CatalogueSource.URL:
            await self._refresh_from_file()

    async def _refresh_from_url(self) -> None:
        try:
            fetched = await fetch_catalogue(self._settings, etag=self._etag)
            if fetched.body is not None:
                self._take(CatalogueSource.URL, fetched.body)
            # Only of a document that was good: a bad one must be complained of until it is mended.
            self._etag = fetched.etag
            self._settle(CatalogueSource.URL)
        except (InvalidRequest, Unavailable) as error:
            self._settle(CatalogueSource.URL, error.message)

    async def _refresh_from_file(self) -> None:
        try:
            self._take(CatalogueSource.FILE, await asyncio.to_thread(read_file, self._settings))
            self._settle(CatalogueSource.FILE)
        except (InvalidRequest, Unavailable) as error:
            self._settle(CatalogueSource.FILE, error.message)

    def _take(self, source: CatalogueSource, body: bytes) -> None:
        # Same bytes, same object: chains are looked at again only where something has changed.
        if source is not self._source or body != self._body:
            self._current = read_catalogue(body)
            log.info("catalogue read", source=source, services=len(self._current.services))
        self._source, self._body = source, body
        self._loaded_ms = self._clock.now_ms()

    def _settle(self, source: CatalogueSource, problem: str = "") -> None:
        self._checked_ms = self._clock.now_ms()
        if problem and problem != self._problems.get(source):
            log.warning("catalogue not refreshed", source=source, reason=problem)
        if problem:
            self._problems[source] = problem
            return
        self._problems.pop(source, None)
        if source is CatalogueSource.URL:
            # What is wrong with a file that is not in use is no problem.
            self._problems.pop(CatalogueSource.FILE, None)
