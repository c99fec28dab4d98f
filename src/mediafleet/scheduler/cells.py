"""One instance of a fleet of several cells: a scheduler for each, behind one `Fleet` (docs/decisions/0017).

What names a job, a task, an artifact or a node goes to the cell that has it; lists are those of all cells, merged.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import msgspec

from mediafleet.artifacts.blobs import BlobStore
from mediafleet.domain.cells import cell_names, cell_of_grant, home_of_node
from mediafleet.domain.dead import DeadLetter, DeadLetterPage
from mediafleet.domain.errors import Conflict, InvalidRequest, MediafleetError, QueueFull, StoreUnavailable
from mediafleet.domain.ids import cell_of, is_id, job_of
from mediafleet.domain.job import MOST_SUBMISSIONS, JobPage
from mediafleet.scheduler.accept import check_count
from mediafleet.scheduler.batches import BatchDesk
from mediafleet.scheduler.cell_choice import CellChooser
from mediafleet.scheduler.cell_events import merge_events
from mediafleet.scheduler.cell_pauses import CellPauses
from mediafleet.scheduler.cell_reviews import CellReviews
from mediafleet.scheduler.cell_views import best_explanation, merge_clusters, merge_pools, split_position
from mediafleet.scheduler.insight import Insight
from mediafleet.scheduler.loops import end_loops, keep_going
from mediafleet.scheduler.service import Resources, Scheduler
from mediafleet.scheduler.workers import WorkerDesk
from mediafleet.store.cell_store import CellStore

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from mediafleet.artifacts.buckets import Bucket
    from mediafleet.domain.artifact import Artifact, ArtifactRef, Location
    from mediafleet.domain.event import Event
    from mediafleet.domain.explanation import Explanation, JobWhy, Simulation
    from mediafleet.domain.frames import NodeFrame, Register, Registered
    from mediafleet.domain.job import JobView, Submission
    from mediafleet.domain.lifecycle import JobStatus
    from mediafleet.domain.node import NodeView, PoolView
    from mediafleet.kinds import KindRegistry
    from mediafleet.ops.settings import Settings
    from mediafleet.scheduler.accept import Prepared
    from mediafleet.scheduler.dead import DeadLetterBox
    from mediafleet.scheduler.facade import Accepted, NodeLink, OpenArtifact, OpenUpload, UploadAnnouncement


class CellBlobs(BlobStore):
    """Blobs of all cells: they go with the last record that any cell has of them."""

    def __init__(self, root: Path | Bucket, stores: Sequence[CellStore], *, staging: Path | None = None) -> None:
        super().__init__(root, staging=staging)
        self._stores = stores

    async def delete(self, key: str) -> None:
        """Remove a blob, unless a cell has a record of it."""
        # Looked at after the caller's own record went: of two cells that let go at once, the later one sees none.
        if key not in await self._stores[0].read.artifacts([key]):
            await super().delete(key)


class CellFleet:
    """One instance; implements `facade.Fleet`. Use it as an async context manager."""

    def __init__(self, instance: str, settings: Settings, stores: Sequence[CellStore], resources: Resources) -> None:
        """Take the parts.

        Args:
            stores: One a cell, in the order of their names; introduced to each other.
            resources: What all cells share; its `store` is that of the first, its `blobs` are `CellBlobs`.
        """
        self.instance = instance
        self.kinds: KindRegistry = resources.kinds
        self.metrics = resources.metrics
        self._names = cell_names(settings.store.cells)
        self._stores = dict(zip(self._names, stores, strict=True))
        self.insight = Insight(instance, stores, resources.metrics)
        self._cells = {
            cell: Scheduler(
                instance,
                replace(settings, store=replace(settings.store, cell=cell)),
                replace(resources, store=store, insight=self.insight),
            )
            for cell, store in self._stores.items()
        }
        for cell, store in self._stores.items():
            store.on_released = self._cells[cell].note_released
        # Each cell keeps one; they read the same document.
        self.catalogue = self._first.catalogue
        self._chooser = CellChooser(self._stores, resources.kinds)
        self.dead = CellDeadLetters(self)
        self.pauses = CellPauses(self)
        self.reviews = CellReviews(self)
        self.workers = WorkerDesk(stores)
        self.batches = BatchDesk(stores, resources.clock, [cell.remaining for cell in self._cells.values()])
        self._stack = AsyncExitStack()
        self._loops: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for scheduler in self._cells.values():
                await stack.enter_async_context(scheduler)
            await self._chooser.look()
            self._stack = stack.pop_all()
        steps = {
            "cell loads": self._chooser.step,
            "pulse": self.insight.pulse,
            "log levels": self.insight.follow_levels,
        }
        self._loops = [asyncio.create_task(keep_going(name, step), name=name) for name, step in steps.items()]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await end_loops(self._loops)
        await self._stack.aclose()

    # --- whose it is -----------------------------------------------------------------------

    def cell(self, identifier: str, letter: str) -> Scheduler:
        """Return the scheduler of the cell that an id of that letter names; of one that cannot be, the first.

        It then says that there is no such thing.
        """
        named = cell_of(identifier) if is_id(identifier, letter) else ""
        return self._cells.get(named, self._first)

    @property
    def schedulers(self) -> Sequence[Scheduler]:
        """Those of all cells, in the order of their names."""
        return list(self._cells.values())

    @property
    def _first(self) -> Scheduler:
        return self._cells[self._names[0]]

    def home(self, node: str) -> Scheduler:
        """Return the scheduler of the cell that a node belongs to."""
        return self._cells[home_of_node(node, self._names)] if is_id(node, "n") else self._first

    # --- jobs ------------------------------------------------------------------------------

    async def submit(self, submissions: Sequence[Submission], *, principal: str) -> list[Accepted]:
        """See `Fleet.submit`. Where keys or requirements divide a call between cells, each part is accepted as a whole.

        All parts are checked and planned, and room is kept for them, before the first is stored; if one cannot be
        stored then, new jobs of the others are withdrawn.
        """
        check_count(submissions)
        choice = await self._chooser.choose(submissions)
        try:
            return await self._submit_to(choice.cells, submissions, principal=principal)
        except StoreUnavailable:
            # Some may be stored: sent again, the keys must lead there.
            raise
        except MediafleetError:
            await self._chooser.give_up(choice)
            raise

    async def _submit_to(
        self, cells: Sequence[str], submissions: Sequence[Submission], *, principal: str
    ) -> list[Accepted]:
        if len(set(cells)) == 1:
            return await self._cells[cells[0]].submit(submissions, principal=principal)
        parts: dict[str, Prepared] = {}
        for cell in dict.fromkeys(cells):
            mine = part_of(submissions, [number for number, chosen in enumerate(cells) if chosen == cell])
            parts[cell] = await self._cells[cell].acceptor.prepare(mine, principal=principal)
        stored = await self._store_parts(parts)
        answers = {cell: iter(part) for cell, part in stored.items()}
        return [next(answers[cell]) for cell in cells]

    async def _store_parts(self, parts: dict[str, Prepared]) -> dict[str, list[Accepted]]:
        stored: dict[str, list[Accepted]] = {}
        settled: dict[str, Prepared] = {}
        try:
            # All cells are asked before one stores anything: what goes wrong after that is rare, and undone.
            for cell, part in parts.items():
                settled[cell] = await self._cells[cell].acceptor.look_ahead(part)
            for cell, part in settled.items():
                stored[cell] = await self._cells[cell].acceptor.store(part)
        except MediafleetError as error:
            if isinstance(error, QueueFull):
                self.metrics.submissions_refused.labels(error.bound).inc()
            for cell in settled.keys() - stored.keys():
                await self._cells[cell].acceptor.bulk.give_up(settled[cell].ahead)
            for cell, answers in stored.items():
                created = [answer.job.id for answer in answers if answer.created]
                await self._cells[cell].acceptor.bulk.take_back(created)
            raise
        return stored

    async def job(self, job_id: str) -> JobView:
        """See `Fleet.job`."""
        return await self.cell(job_id, "j").job(job_id)

    async def wait(self, job_id: str) -> JobView:
        """See `Fleet.wait`."""
        return await self.cell(job_id, "j").wait(job_id)

    async def jobs(
        self, *, status: JobStatus | None = None, kind: str = "", offset: int = 0, limit: int = 50
    ) -> JobPage:
        """See `Fleet.jobs`."""
        # The page may lie in any one cell; only ids are read of what comes before it.
        readers = [store.read for store in self._stores.values()]
        found = await asyncio.gather(
            *(reader.job_index(status=status, kind=kind, limit=offset + limit) for reader in readers)
        )
        newest = sorted((entry for index, _ in found for entry in index), reverse=True)[offset : offset + limit]
        total = sum(count for _, count in found)
        by_cell = {cell: [name for _, name in newest if cell_of(name) == cell] for cell in self._names}
        views: dict[str, JobView] = {}
        for cell, names in by_cell.items():
            views |= await self._stores[cell].read.job_views(names) if names else {}
        return JobPage([views[name] for _, name in newest if name in views], total, offset, limit)

    async def cancel(self, job_id: str) -> JobView:
        """See `Fleet.cancel`."""
        return await self.cell(job_id, "j").cancel(job_id)

    async def retry(self, job_id: str) -> JobView:
        """See `Fleet.retry`."""
        return await self.cell(job_id, "j").retry(job_id)

    def events(self, *, after: str = "", job: str = "") -> AsyncIterator[Event]:
        """See `Fleet.events`. Positions of the whole fleet name each cell, those of a job only its own."""
        places = split_position(after, len(self._names))
        if not job:
            return self._merged(places if after else None)
        named = cell_of(job) if is_id(job, "j") else self._names[0]
        at = self._names.index(named) if named in self._names else 0
        return self.schedulers[at].events(after=places[at], job=job)

    async def _merged(self, places: list[str] | None) -> AsyncIterator[Event]:
        # Each cell from a position that is known: otherwise one that tells nothing could not be named in the others'.
        if places is None:
            places = await asyncio.gather(*(store.read.last_event_id() for store in self._stores.values()))
        streams = [cell.events(after=place) for cell, place in zip(self.schedulers, places, strict=True)]
        async for event in merge_events(streams, places):
            yield event

    async def why(self, job_id: str) -> JobWhy:
        """See `Fleet.why`."""
        return await self.cell(job_id, "j").why(job_id)

    async def simulate(self, wish: Simulation) -> Explanation:
        """See `Fleet.simulate`: in the cell in which the task would begin first."""
        return best_explanation(await asyncio.gather(*(cell.simulate(wish) for cell in self.schedulers)))

    # --- the fleet -------------------------------------------------------------------------

    async def nodes(self) -> list[NodeView]:
        """See `Fleet.nodes`."""
        found = await asyncio.gather(*(cell.nodes() for cell in self.schedulers))
        return sorted((node for nodes in found for node in nodes), key=lambda node: node.registered_ms, reverse=True)

    async def node(self, node_id: str) -> NodeView:
        """See `Fleet.node`."""
        return await self.home(node_id).node(node_id)

    async def drain(self, node_id: str, *, draining: bool) -> NodeView:
        """See `Fleet.drain`."""
        return await self.home(node_id).drain(node_id, draining=draining)

    async def pools(self) -> list[PoolView]:
        """See `Fleet.pools`."""
        return merge_pools(await asyncio.gather(*(cell.pools() for cell in self.schedulers)))

    async def stats(self) -> dict[str, Any]:
        """See `Fleet.stats`."""
        return await self.insight.stats()

    async def cluster(self) -> dict[str, Any]:
        """See `Fleet.cluster`; `cells` says who leads which."""
        views = await asyncio.gather(*(cell.cluster() for cell in self.schedulers))
        return merge_clusters(dict(zip(self._names, views, strict=True)))

    async def check_ready(self) -> None:
        """See `Fleet.check_ready`: every cell must answer."""
        for cell in self.schedulers:
            await cell.check_ready()

    # --- artifacts -------------------------------------------------------------------------

    async def announce_upload(self, announcement: UploadAnnouncement, *, principal: str) -> Artifact:
        """See `Fleet.announce_upload`: what an attempt makes belongs to the cell of its job, anything else to any."""
        cell = cell_of_grant(announcement.grant) if announcement.grant else random.choice(self._names)  # noqa: S311
        if cell not in self._cells:
            raise InvalidRequest("The grant is none of this fleet's.")
        return await self._cells[cell].announce_upload(announcement, principal=principal)

    async def receive_upload(
        self, artifact_id: str, *, offset: int, length: int, chunks: AsyncIterator[bytes]
    ) -> ArtifactRef | OpenUpload:
        """See `Fleet.receive_upload`."""
        scheduler = self.cell(artifact_id, "a")
        return await scheduler.receive_upload(artifact_id, offset=offset, length=length, chunks=chunks)

    async def find_upload(self, artifact_id: str) -> OpenUpload | None:
        """See `Fleet.find_upload`."""
        return await self.cell(artifact_id, "a").find_upload(artifact_id)

    async def open_artifact(self, artifact_id: str) -> OpenArtifact:
        """See `Fleet.open_artifact`."""
        return await self.cell(artifact_id, "a").open_artifact(artifact_id)

    @property
    def takes_direct_uploads(self) -> bool:
        """See `Fleet.takes_direct_uploads`."""
        return self.schedulers[0].takes_direct_uploads

    async def locate_artifact(self, artifact_id: str) -> Location:
        """See `Fleet.locate_artifact`."""
        return await self.cell(artifact_id, "a").locate_artifact(artifact_id)

    async def complete_upload(self, artifact_id: str, *, sha256: str) -> ArtifactRef:
        """See `Fleet.complete_upload`."""
        return await self.cell(artifact_id, "a").complete_upload(artifact_id, sha256=sha256)

    async def discard_upload(self, artifact_id: str) -> None:
        """See `Fleet.discard_upload`."""
        scheduler = self.cell(artifact_id, "a")
        # Asked before: of an upload that is not complete, every record goes and every job that waits for it fails.
        if await scheduler.find_upload(artifact_id) is None:
            for store in self._stores.values():
                if await store.read.has_job_with(artifact_id):
                    raise Conflict(f"The artifact {artifact_id} belongs to a job; it goes when the job does.")
        await scheduler.discard_upload(artifact_id)

    # --- links -----------------------------------------------------------------------------

    async def attach(self, link: NodeLink, frame: Register) -> Registered:
        """See `Fleet.attach`."""
        return await self.home(frame.node).attach(link, frame)

    async def receive(self, link: NodeLink, frame: NodeFrame) -> None:
        """See `Fleet.receive`."""
        await self.home(link.node).receive(link, frame)

    def keep(self, link: NodeLink) -> None:
        """See `Fleet.keep`."""
        self.home(link.node).keep(link)

    async def detach(self, link: NodeLink) -> None:
        """See `Fleet.detach`."""
        await self.home(link.node).detach(link)


def part_of(submissions: Sequence[Submission], numbers: Sequence[int]) -> list[Submission]:
    """Return some submissions of a call as a call of its own: they name each other by their places in it."""
    places = {number: place for place, number in enumerate(numbers)}

    def moved(number: int) -> Submission:
        one = submissions[number]
        if not one.after:
            return one
        # Only a job that is there already has been parted from one it names; what it waits for does not matter any more.
        kept = [item for item in one.after if isinstance(item, str) or item in places or not 0 <= item < number]
        # What names no earlier submission of the call is left to be refused: no call is that long.
        after = [item if isinstance(item, str) else places.get(item, MOST_SUBMISSIONS) for item in kept]
        return msgspec.structs.replace(one, after=after)

    return list(map(moved, numbers))


class CellDeadLetters:
    """The dead letters of all cells; implements `facade.DeadLetters`."""

    def __init__(self, fleet: CellFleet) -> None:
        self._fleet = fleet

    async def page(self, *, offset: int = 0, limit: int = 50) -> DeadLetterPage:
        """See `facade.DeadLetters.page`."""
        # Each cell's list is bounded, so that reading it up to the page is.
        pages = await asyncio.gather(*(c.dead.page(offset=0, limit=offset + limit) for c in self._fleet.schedulers))
        letters = [letter for page in pages for letter in page.letters]
        newest = sorted(letters, key=lambda letter: (letter.at_ms, letter.task), reverse=True)
        return DeadLetterPage(newest[offset : offset + limit], sum(page.total for page in pages), offset, limit)

    async def show(self, task: str) -> DeadLetter:
        """See `facade.DeadLetters.show`."""
        return await self._of(task).show(task)

    async def retry(self, task: str) -> JobView:
        """See `facade.DeadLetters.retry`."""
        return await self._of(task).retry(task)

    async def drop(self, task: str) -> None:
        """See `facade.DeadLetters.drop`."""
        await self._of(task).drop(task)

    def _of(self, task: str) -> DeadLetterBox:
        return self._fleet.cell(job_of(task), "j").dead
