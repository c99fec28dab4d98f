"""One HTTP session with a scheduler: credentials, problem documents, and what a lost connection means."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
import stamina

from mediafleet.domain.addresses import AddressRing
from mediafleet.domain.errors import (
    ErrorInfo,
    InvalidRequest,
    MediafleetError,
    QueueFull,
    SchedulerUnavailable,
    Unauthorized,
    Unavailable,
)
from mediafleet.domain.problems import error_from_info

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

T = TypeVar("T")

REQUEST_S = 30.0
"""Longest wait for one answer; streams have their own limits."""
STREAM_SILENCE_S = 45.0
"""The server writes a comment every 15 s: after three missed ones the connection is dead."""
_MAX_PROBLEM_BYTES = 64 * 1024


class _Problem(msgspec.Struct):
    """The members of a problem document (RFC 9457) that we read."""

    code: str = ""
    title: str = ""
    detail: str = ""


class NeverSent(SchedulerUnavailable):
    """Nobody listens at the address, so the request was not carried out: it may go to another address."""


class Transport:
    """An open session with one fleet, by any of its addresses; owned by the `FleetClient` that made it."""

    def __init__(
        self,
        base_url: str,
        token: str = "",
        *,
        attempts: int = 4,
        on_full: Callable[[QueueFull, float], None] | None = None,
    ) -> None:
        """Prepare a session.

        Args:
            base_url: Address of an instance; several have commas between them.
            attempts: How often a request that is safe to repeat is tried while the scheduler is away.
            on_full: Told, before each wait for a queue that is full, of the error and of the seconds.
        """
        self._addresses = AddressRing(",".join(map(check_address, base_url.split(","))))
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._attempts = attempts
        self._on_full = on_full
        self._session: aiohttp.ClientSession | None = None

    @property
    def base_url(self) -> str:
        """The address that is used now."""
        return self._addresses.current

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session.

        Raises:
            RuntimeError: Used outside of its `async with`.
        """
        if self._session is None:
            raise RuntimeError("A FleetClient is used inside its `async with` block.")
        return self._session

    async def open(self) -> None:
        """Open the session; no connection is made yet."""
        self._session = aiohttp.ClientSession(
            headers=self.headers, timeout=aiohttp.ClientTimeout(total=REQUEST_S, sock_connect=10)
        )

    async def close(self) -> None:
        """Close the session and its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, method: str, path: str, answer: type[T], *, body: object = None, repeat: bool = False) -> T:
        """Send one request and return its typed answer.

        Args:
            answer: What the JSON of the answer is decoded to.
            body: Sent as JSON unless None.
            repeat: Sending it twice has the same effect as once, so it is tried again while the scheduler is away.

        Raises:
            MediafleetError: The class that the problem document names.
            QueueFull: It was refused again after each wait that the scheduler asked for, or asked for too long a one.
            SchedulerUnavailable: No answer.
        """
        return await self.again(lambda: self._ask_once(method, path, answer, body), repeat=repeat)

    async def again(self, work: Callable[[], Awaitable[T]], *, repeat: bool) -> T:
        """Return what a request gives, which is sent again as `ask` says."""
        judge = self._judge(repeat=repeat)
        retries = stamina.retry_context(on=judge, attempts=None, timeout=REQUEST_S, wait_initial=0.1, wait_max=2)
        async for attempt in retries:
            with attempt:
                return await work()
        raise AssertionError("retry_context ends by returning or raising")  # pragma: no cover

    def _judge(self, *, repeat: bool) -> Callable[[Exception], bool | float]:
        """Return what tells, failure by failure, whether to try again, or after how many seconds."""
        tries = 0

        def judge(error: Exception) -> bool | float:
            nonlocal tries
            tries += 1
            if isinstance(error, QueueFull):
                return tries < self._attempts and self._wait_for_room(error)
            # A lost answer leaves open whether the request was carried out: only what may happen twice is sent twice.
            if repeat:
                return tries < self._attempts and isinstance(error, Unavailable)
            return tries < len(self._addresses) and isinstance(error, NeverSent)

        return judge

    def _wait_for_room(self, error: QueueFull) -> bool | float:
        # Nothing was taken, so whatever it was may be sent again. A longer wait is for people to decide on.
        if not 0 < error.retry_after_s <= REQUEST_S:
            return False
        # Those who were refused together shall not come back together, and none sooner than it was asked to.
        wait_s = error.retry_after_s * random.uniform(1.0, 1.25)  # noqa: S311 - jitter, no secret
        if self._on_full:
            self._on_full(error, wait_s)
        return wait_s

    async def _ask_once(self, method: str, path: str, answer: type[T], body: object) -> T:
        data = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        async with self.send(method, path, data=data, headers=headers) as response:
            return self.decode(await response.read(), answer)

    def decode(self, raw: bytes, answer: type[T]) -> T:
        """Return the JSON of an answer. Raises SchedulerUnavailable for another."""
        try:
            return msgspec.json.decode(raw, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SchedulerUnavailable(f"{self.base_url} does not answer like a mediafleet scheduler.") from error

    @asynccontextmanager
    async def send(self, method: str, path: str, **options: Any) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send one request and yield the open response, once its status says success.

        Raises:
            MediafleetError: As for `ask`; also when the connection is lost inside the block.
        """
        address = self.base_url
        try:
            # A redirect is an answer of some other server, and following it would show our token around.
            async with self.session.request(method, address + path, allow_redirects=False, **options) as response:
                if response.status >= 300:  # noqa: PLR2004 - the API has no redirects
                    raise await self._error_of(response)
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._give_up(address, error) from error

    async def open_stream(self, path: str, *, headers: Mapping[str, str], silence_s: float) -> aiohttp.ClientResponse:
        """Send a GET and return the response with its body unread; the caller closes it.

        Args:
            silence_s: Longest wait between two pieces of the body.

        Raises:
            MediafleetError: As for `ask`.
        """
        # The session's limit is for whole answers; a stream has no end to wait for, and shows its life in pieces.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=silence_s)
        address = self.base_url
        try:
            response = await self.session.get(address + path, headers=headers, timeout=timeout, allow_redirects=False)
            if response.status < 300:  # noqa: PLR2004 - as above
                return response
            async with response:
                raise await self._error_of(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._give_up(address, error) from error

    def _give_up(self, address: str, error: Exception) -> SchedulerUnavailable:
        """Return our error for a connection that failed; the next request goes to the next address."""
        sentence = self.unavailable().message
        self._addresses.move_on(address)
        return (
            NeverSent(sentence) if isinstance(error, aiohttp.ClientConnectorError) else SchedulerUnavailable(sentence)
        )

    async def is_up(self, path: str) -> bool:
        """Tell whether a GET of the path succeeds within two seconds."""
        try:
            async with self.send("GET", path, timeout=aiohttp.ClientTimeout(total=2)) as response:
                await response.read()
        except MediafleetError:
            return False
        return True

    async def _error_of(self, response: aiohttp.ClientResponse) -> MediafleetError:
        # The server speaks of headers and its login page; whoever uses this client gives a token in another way.
        if response.status == 401:  # noqa: PLR2004 - HTTP's own number
            what = "refused the token; give the right one" if self.headers else "asks for a token; give it"
            return Unauthorized(
                f"The fleet at {self.base_url} {what} with --token-file or the variable MEDIAFLEET_TOKEN."
            )
        return await _error_of(response)

    def unavailable(self) -> SchedulerUnavailable:
        """Return the error for a scheduler that does not answer."""
        return SchedulerUnavailable(
            f"No scheduler answers at {self.base_url}; start one with `mediafleet up`, or name another with --server."
        )


def check_address(address: str) -> str:
    """Return a scheduler's address in full: `host:8000` means `http://host:8000`.

    Raises:
        InvalidRequest: It is no HTTP address.
    """
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        # Read here because only reading checks them.
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, is_good = None, False
    if parts is None or not is_good:
        raise InvalidRequest(f"{address!r} is no server address; write it like http://127.0.0.1:8000.")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


async def _error_of(response: aiohttp.ClientResponse) -> MediafleetError:
    # Bounded: the page of a proxy may be of any size, and our documents are a few hundred bytes.
    raw = await response.content.read(_MAX_PROBLEM_BYTES)
    try:
        problem = msgspec.json.decode(raw, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = _Problem()
    # The document knows better than the status: several classes share one status.
    code = problem.code or _CODE_OF_STATUS.get(response.status, "error")
    message = problem.detail or problem.title or f"{response.url.origin()} answered with status {response.status}."
    error = error_from_info(ErrorInfo(code, message))
    asked = response.headers.get("Retry-After", "")
    if isinstance(error, QueueFull) and asked.isascii() and asked.isdigit():
        error.retry_after_s = float(asked)
    return error


_CODE_OF_STATUS: Mapping[int, str] = {
    403: "unauthorized",
    404: "not-found",
    429: "queue-full",
    502: "scheduler-unavailable",
    503: "unavailable",
    504: "scheduler-unavailable",
}
"""For answers of proxies and other servers, which carry no problem document of ours."""
