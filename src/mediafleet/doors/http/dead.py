"""`/api/v1/dead-letters`: tasks that failed for good."""

from __future__ import annotations

from litestar import Controller, delete, get, post
from litestar.params import FromPath, FromQuery

from mediafleet.domain.dead import DeadLetter, DeadLetterPage
from mediafleet.domain.job import JobView
from mediafleet.doors.http.context import InjectedFleet, check_page


class DeadLettersController(Controller):
    """Dead letters over REST."""

    path = "/api/v1/dead-letters"
    tags = ("jobs",)

    @get()
    async def page(
        self, fleet: InjectedFleet, offset: FromQuery[int] = 0, limit: FromQuery[int] = 50
    ) -> DeadLetterPage:
        """Return one page of dead letters, newest first."""
        check_page(offset, limit)
        return await fleet.dead.page(offset=offset, limit=limit)

    @get("/{task_id:str}")
    async def show(self, fleet: InjectedFleet, task_id: FromPath[str]) -> DeadLetter:
        """Return the dead letter of a task."""
        return await fleet.dead.show(task_id)

    @post("/{task_id:str}/retry", status_code=202)
    async def retry(self, fleet: InjectedFleet, task_id: FromPath[str]) -> JobView:
        """Give the task's job another go."""
        return await fleet.dead.retry(task_id)

    @delete("/{task_id:str}")
    async def drop(self, fleet: InjectedFleet, task_id: FromPath[str]) -> None:
        """Take the letter off the list; its job stays as it is."""
        await fleet.dead.drop(task_id)
