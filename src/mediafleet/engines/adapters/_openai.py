"""What all adapters of OpenAI-compatible endpoints need: a request that is tried again where that can help."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import msgspec

from mediafleet.domain.errors import MediafleetError, TaskFailed, TransientFailure

if TYPE_CHECKING:
    from mediafleet.engines.offer import Endpoint, Offer

T = TypeVar("T")

_TRIES = 4
_LONGEST_WAIT_S = 60.0
"""A service that asks for more patience than this is given up for now; the task is tried again later."""
_TIMEOUT = httpx.Timeout(600.0, connect=10.0)
"""Models on small machines think for minutes before the first byte."""
_BUSY = {429, 502, 503, 504}
_EXCERPT = 500


class OpenAIClient:
    """A connection to one endpoint. Owned by an engine, which closes it."""

    def __init__(self, endpoint: Endpoint, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.endpoint = endpoint
        self._sleep = sleep
        headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
        self._http = httpx.Client(base_url=f"{endpoint.address.rstrip('/')}/", headers=headers, timeout=_TIMEOUT)

    def post(self, path: str, **content: Any) -> httpx.Response:
        """Send a request, wait where the service asks for it, and return its answer.

        Args:
            path: Below the address, without a slash in front.
            content: As `httpx.Client.post` takes it; nothing that can be read only once.

        Raises:
            TransientFailure: It does not answer, or is too busy.
            TaskFailed: It refuses the request; the sentence has its words.
        """
        return self._send(path, content, is_stream=False)

    def post_for(self, decoder: msgspec.json.Decoder[T], what: str, path: str, **content: Any) -> T:
        """Send a request as `post`, and return its answer as what it must be.

        Raises:
            TransientFailure: As `post`.
            TaskFailed: As `post`, or the answer is nothing of the kind; `what` is said of it.
        """
        response = self.post(path, **content)
        try:
            return decoder.decode(response.content)
        except msgspec.MsgspecError as error:
            raise self.explain_nonsense(what, response) from error

    @contextmanager
    def stream(self, path: str, **content: Any) -> Generator[httpx.Response]:
        """Send a request as `post`, and give its answer as soon as it begins; at the end of the block the rest is given up.

        Raises:
            TransientFailure: As `post`, or the answer broke off; then it is not asked for again.
            TaskFailed: As `post`.
        """
        response = self._send(path, content, is_stream=True)
        try:
            yield response
        except httpx.TransportError as error:
            raise TransientFailure(f"{self.endpoint.address} broke off: {error!r}.") from error
        finally:
            response.close()

    def explain_nonsense(self, what: str, response: httpx.Response) -> TaskFailed:
        """Return the error for an answer that is no `what`."""
        return TaskFailed(
            f"{self.endpoint.address} answered something that is no {what}.", detail=response.text[:_EXCERPT]
        )

    def _send(self, path: str, content: Mapping[str, Any], *, is_stream: bool) -> httpx.Response:
        for left in reversed(range(_TRIES)):
            try:
                request = self._http.build_request("POST", path, **content)
                response = self._http.send(request, stream=is_stream)
                if response.is_success:
                    return response
                response.read()
            except httpx.ReadTimeout as error:
                # It has had all the time there is; what takes as long again must be seen by those who wait for the task.
                raise TransientFailure(
                    f"{self.endpoint.address} took more than {_TIMEOUT.read:.0f} s for one answer."
                ) from error
            except httpx.TransportError as error:
                failure: MediafleetError = TransientFailure(f"{self.endpoint.address} does not answer: {error!r}.")
                wait_s = backoff_s(left)
            else:
                failure = explain_refusal(self.endpoint.address, response)
                wait_s = read_wait_s(response.headers, default_s=backoff_s(left))
            if not failure.retryable or not left or wait_s > _LONGEST_WAIT_S:
                raise failure
            self._sleep(wait_s)
        raise AssertionError

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def backoff_s(left: int) -> float:
    """Return how long to wait before the next try where nobody says it, with so many tries left."""
    return float(2 ** max(0, _TRIES - 1 - left))


def read_wait_s(headers: Mapping[str, str], *, default_s: float) -> float:
    """Return how long the service asks to wait; dates are not understood and count as nothing said."""
    try:
        return max(0.0, float(headers.get("Retry-After", "")))
    except ValueError:
        return default_s


def explain_refusal(address: str, response: httpx.Response) -> MediafleetError:
    """Return what an answer without success means."""
    detail = response.text[:_EXCERPT]
    if response.status_code in _BUSY:
        return TransientFailure(f"{address} is too busy now ({response.status_code}).", detail=detail)
    if response.status_code in {401, 403}:
        return TaskFailed(f"{address} refuses the key of this endpoint ({response.status_code}).", detail=detail)
    if response.is_server_error:
        return TransientFailure(f"{address} failed ({response.status_code}).", detail=detail)
    return TaskFailed(f"{address} refuses the request ({response.status_code}): {detail}", detail=detail)


def endpoint_of(offer: Offer) -> Endpoint:
    """Return the endpoint of an offer.

    Raises:
        TaskFailed: It has none.
    """
    if offer.endpoint is None:
        raise TaskFailed(f"{offer.adapter} needs an endpoint.")
    return offer.endpoint
