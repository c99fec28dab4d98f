"""Single requests to the artifact routes, with what their failures mean."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
import stamina
from yarl import URL

from mediafleet.domain.artifact import Location
from mediafleet.domain.errors import (
    ErrorInfo,
    MediafleetError,
    NotFound,
    SchedulerUnavailable,
    StoreUnavailable,
    Unavailable,
)
from mediafleet.domain.problems import CLASSES, error_from_info

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mediafleet.domain.addresses import AddressRing

T = TypeVar("T")

STALL_S = 60.0
"""A transfer in which nothing moves for so long is broken: half-open connections are common."""
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
"""Longest pause between two tries."""
ATTEMPTS = 5
"""Tries in a row without a single byte of progress."""
_MAX_PROBLEM_BYTES = 64 * 1024
_LOST = (aiohttp.ClientError, TimeoutError, ConnectionError)
_REFUSED = {400, 401, 403}
"""What object stores say to an address that has expired."""
_CODE_OF_STATUS = {401: "unauthorized", 403: "unauthorized", 404: "not-found", 409: "conflict"}
"""For answers that carry no problem document of ours."""


class _Problem(msgspec.Struct):
    """The members of a problem document (RFC 9457) that are read here."""

    code: str = ""
    detail: str = ""


class StorageAway(Unavailable):
    """An object store that a presigned address leads to gave nothing; the scheduler may still."""


class AddressRefused(StorageAway):
    """A presigned address is not good any more; another may be."""


class Exchange:
    """Requests to one fleet, over a session that somebody else opens and closes."""

    def __init__(self, session: aiohttp.ClientSession, addresses: AddressRing, token: str = "") -> None:
        self._session = session
        self._addresses = addresses
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        patience_s: float = STALL_S,
        **options: Any,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send one request and yield its answer once its status says success; lost connections become ours.

        Args:
            patience_s: Longest wait for the answer, and between two pieces of it.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=patience_s)
        headers = self._headers | (headers or {})
        address = self._addresses.current
        url = f"{address}/api/v1/artifacts{path}"
        try:
            # No redirects: the token in the headers must not follow one to another host.
            async with self._session.request(
                method, url, headers=headers, timeout=timeout, allow_redirects=False, **options
            ) as response:
                if response.status >= 300:  # noqa: PLR2004 - these routes never redirect
                    raise await _error_of(response)
                yield response
        except _LOST as error:
            # Another instance has the same artifacts; the next try goes there.
            self._addresses.move_on(address)
            raise SchedulerUnavailable(
                "The scheduler does not answer, or the connection to it broke; try again.", detail=repr(error)
            ) from error

    async def locate(self, artifact_id: str) -> Location:
        """Ask where an artifact may be read, or an open upload be written. Raises NotFound and what `request` raises."""
        async with self.request("GET", f"/{quote(artifact_id, safe='')}/location") as response:
            return decode(await response.read(), Location)

    @asynccontextmanager
    async def go_to(
        self, location: Location, *, headers: dict[str, str], patience_s: float = STALL_S, **options: Any
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send a request to a presigned address, without any credential of ours, and yield its answer.

        Raises:
            AddressRefused: It has expired, or was never good.
            NotFound: There is another object by now.
            StorageAway: Nothing, or no success, came from there.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=patience_s)
        # As it was signed: each character of it counts.
        url = URL(location.url, encoded=True)
        sent = location.headers | headers
        try:
            async with self._session.request(
                location.method, url, headers=sent, timeout=timeout, allow_redirects=False, **options
            ) as response:
                if response.status in _REFUSED:
                    raise AddressRefused(
                        "The object store refuses the address that the scheduler gave; look at artifacts.access_key, "
                        f"artifacts.secret_key and the clocks (status {response.status}).",
                        detail=(await response.content.read(_MAX_PROBLEM_BYTES)).decode(errors="replace")[:500],
                    )
                if response.status == 412:  # noqa: PLR2004 - Precondition Failed
                    raise NotFound("The object has changed since it was submitted; submit it again.")
                if response.status >= 300:  # noqa: PLR2004 - these addresses never redirect
                    raise StorageAway(f"The object store answers with status {response.status}; try again.")
                yield response
        except _LOST as error:
            # Not the error's own words: they may hold the address.
            raise StorageAway(
                "The object store does not answer, or the connection to it broke; try again.",
                detail=type(error).__name__,
            ) from None


def retries() -> Any:
    """Return the tries of one download: what is away is waited for a few times, everything else is final."""
    return stamina.retry_context(
        on=(SchedulerUnavailable, StoreUnavailable, StorageAway),
        attempts=ATTEMPTS,
        timeout=None,
        wait_initial=FIRST_WAIT_S,
        wait_max=LONGEST_WAIT_S,
    )


def decode(raw: bytes, wanted: type[T]) -> T:
    """Return what an answer says. Raises SchedulerUnavailable."""
    try:
        return msgspec.json.decode(raw, type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise not_ours() from error


def not_ours() -> SchedulerUnavailable:
    """Return the error for an answer that no scheduler gives."""
    return SchedulerUnavailable("What answers at the scheduler's address is no mediafleet scheduler.")


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
