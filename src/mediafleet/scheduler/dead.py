"""Dead letters as doors see them: looked at, tried again, dropped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mediafleet.domain.dead import DeadLetter, DeadLetterPage
from mediafleet.domain.errors import NotFound

if TYPE_CHECKING:
    from mediafleet.domain.job import JobView
    from mediafleet.store import Store


class DeadLetterBox:
    """The dead letters of one cell; implements `facade.DeadLetters`."""

    def __init__(self, store: Store, retry_job: Callable[[str], Awaitable[JobView]]) -> None:
        self._store = store
        self._retry_job = retry_job

    async def page(self, *, offset: int = 0, limit: int = 50) -> DeadLetterPage:
        """See `facade.DeadLetters.page`."""
        letters, total = await self._store.read.dead_letters(offset=offset, limit=limit)
        return DeadLetterPage(letters, total, offset, limit)

    async def show(self, task: str) -> DeadLetter:
        """See `facade.DeadLetters.show`."""
        letter = await self._store.read.dead_letter(task)
        if letter is None:
            raise _missing(task)
        return letter

    async def retry(self, task: str) -> JobView:
        """See `facade.DeadLetters.retry`."""
        return await self._retry_job((await self.show(task)).job)

    async def drop(self, task: str) -> None:
        """See `facade.DeadLetters.drop`."""
        if not await self._store.drop_dead_letter(task):
            raise _missing(task)


def _missing(task: str) -> NotFound:
    return NotFound(f"There is no dead letter of a task {task[:100]!r}; `mediafleet dead` lists those there are.")
