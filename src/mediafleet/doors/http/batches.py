"""`/api/v1/batches`: many files in one call, and how far all of them are."""

from __future__ import annotations

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from mediafleet.domain.batch import BatchRequest, BatchView, spread
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.ids import new_token
from mediafleet.domain.job import MOST_SUBMISSIONS, JobView
from mediafleet.doors.http.context import AnyRequest, InjectedFleet, check_page, principal_of


class BatchAccepted(msgspec.Struct, frozen=True):
    """A batch that was accepted."""

    batch: str
    jobs: list[JobView]
    """In the order of the files."""


class BatchesController(Controller):
    """Batches over REST."""

    path = "/api/v1/batches"
    tags = ("jobs",)

    @post()
    async def submit(self, request: AnyRequest, fleet: InjectedFleet, data: JSONBody[BatchRequest]) -> BatchAccepted:
        """Submit up to 10,000 files as one batch, each with what it has of its own; whole or not at all."""
        if not 1 <= len(data.files) <= MOST_SUBMISSIONS:
            raise InvalidRequest(f"{len(data.files)} files in one batch; it must be 1 to {MOST_SUBMISSIONS}.")
        name = data.batch or f"b-{new_token()}"
        accepted = await fleet.submit(spread(data, name=name), principal=principal_of(request))
        return BatchAccepted(name, [one.job for one in accepted])

    @get("/{batch:str}")
    async def show(
        self, fleet: InjectedFleet, batch: FromPath[str], offset: FromQuery[int] = 0, limit: FromQuery[int] = 50
    ) -> BatchView:
        """Return how far a batch is, with one page of its jobs in the order in which they came."""
        check_page(offset, limit)
        return await fleet.batches.show(batch, offset=offset, limit=limit)
