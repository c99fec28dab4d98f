"""What controllers are given: the fleet, who asks, and when streams end."""

from __future__ import annotations

from typing import Any, cast

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from mediafleet.domain.errors import InvalidRequest, NotFound
from mediafleet.domain.ids import is_id
from mediafleet.domain.job import LOCAL_PRINCIPAL
from mediafleet.doors.http.sse import StreamEnd
from mediafleet.scheduler.facade import Fleet

InjectedFleet = NamedDependency[SkipValidation[Fleet]]
InjectedEnd = NamedDependency[SkipValidation[StreamEnd]]
AnyRequest = Request[Any, Any, Any]

MOST_OFFSET = 10**9
MOST_PER_PAGE = 500


def principal_of(request: AnyRequest) -> str:
    """Return who asks, as the security shell found out."""
    scope = cast("dict[str, Any]", request.scope)
    return scope.get("state", {}).get("principal", LOCAL_PRINCIPAL)


def check_job_id(job_id: str) -> str:
    """Return the id if a job could have it. Raises NotFound."""
    # What no job can be called is not looked up: an id becomes part of a key in the store.
    if not is_id(job_id, "j"):
        raise NotFound(f"There is no job {job_id[:100]!r}; `mediafleet jobs` lists those there are.")
    return job_id


def check_artifact_id(artifact_id: str) -> str:
    """Return the id if an artifact could have it. Raises NotFound."""
    if not is_id(artifact_id, "a"):
        raise NotFound(f"There is no artifact {artifact_id[:100]!r}.")
    return artifact_id


def check_page(offset: int, limit: int) -> None:
    """Check that a page can be asked for.

    Raises:
        InvalidRequest: The offset is negative, or the limit is not 1 to 500.
    """
    if offset < 0:
        raise InvalidRequest(f"offset is {offset}; it must be 0 or more.")
    # The store counts in signed 64-bit numbers; this stays far below them, whatever is added.
    if offset > MOST_OFFSET:
        raise InvalidRequest(f"offset is beyond {MOST_OFFSET}; no fleet keeps that many jobs.")
    if not 1 <= limit <= MOST_PER_PAGE:
        raise InvalidRequest(f"limit is {limit}; it must be 1 to {MOST_PER_PAGE}.")
