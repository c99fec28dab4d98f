"""Works on many files at once: hand in, follow, fetch, each for itself, so that one failure stops no other."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet.cli._follow import JobWatch, OwnJobs, watching
from mediafleet.cli._hand_in import hand_in
from mediafleet.cli._item import INTERRUPTED, Item, Phase
from mediafleet.cli._names import safe_name
from mediafleet.cli._replace import check_source, replaced_path
from mediafleet.cli._text import utf8
from mediafleet.domain.errors import Conflict, ErrorInfo, MediafleetError, Unavailable
from mediafleet.domain.job import JobView, Submission
from mediafleet.domain.lifecycle import JobStatus, PriorityClass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediafleet.cli._fleet import Fleet
    from mediafleet.cli._names import Targets
    from mediafleet.cli._output import Output
    from mediafleet.cli._progress import Display
    from mediafleet.domain.artifact import ArtifactRef

MOST_SENDERS = 4
"""Files that are read, uploaded or handed in at the same time."""
MOST_FETCHERS = 4
"""Results that are fetched at the same time."""


@dataclass(frozen=True)
class Times:
    """When jobs may begin and must have ended, milliseconds since 1970, 0 for any time."""

    not_before: int = 0
    deadline: int = 0


@dataclass(frozen=True)
class Work:
    """What is to be done with every file."""

    kind: str
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    priority: PriorityClass = PriorityClass.BATCH
    ending: str = ""
    """Ending of the results' names where it is known beforehand."""
    times: Times = field(default_factory=Times)
    replaces: bool = False
    """Whether results take the places of their sources, and nothing is fetched."""
    batch: str = ""
    """The name of the batch that all of them belong to."""
    keeps_names: bool = False
    """Whether results have the names that the kind gave them; those that exist already are left as they are."""
    find_done: Callable[[Item], str] = lambda _: ""
    """Tells why nothing has to be done for an item, if that is so; asked once more before it is handed in."""


class Batch:
    """The items of one command, from the first byte sent to the last one fetched."""

    def __init__(self, fleet: Fleet, work: Work, targets: Targets, *, display: Display, output: Output) -> None:
        self._fleet = fleet
        self._output = output
        self._work = work
        self._targets = targets
        self._on_change = display.change
        self._own = OwnJobs(fleet.client)
        self._watch = JobWatch(fleet.client, patience_s=fleet.patience_s, note=output.note)
        self._senders = asyncio.Semaphore(MOST_SENDERS)
        self._fetchers = asyncio.Semaphore(MOST_FETCHERS)

    async def run(self, items: Sequence[Item]) -> None:
        """Work on all items until each is over; an interruption cancels the jobs that are not, and is raised again."""
        try:
            async with watching(self._watch, self._own, self._output), asyncio.TaskGroup() as group:
                for item in items:
                    group.create_task(self._run(item), name=f"work on {item.path}")
        except asyncio.CancelledError:
            self._mark_cancelled(items)
            raise

    async def _run(self, item: Item) -> None:
        started = time.monotonic()
        try:
            await self._carry_through(item)
        # Before the general class: only an absence can mean that the local fleet has ended.
        except Unavailable as error:
            item.fail(self._fleet.explain(error).info())
        except MediafleetError as error:
            item.fail(error.info())
        except OSError as error:
            item.fail(ErrorInfo("input-error", f"{error.filename or item.path}: {error.strerror or error}."))
        finally:
            item.seconds = time.monotonic() - started
        # Not in the `finally`: an interruption has to find the item unfinished, or it would not be told as cancelled.
        item.phase = Phase.OVER
        self._on_change(item)

    async def _carry_through(self, item: Item) -> None:
        # Before the work and not only after it: an hour of encoding must not end in a name that was taken all along.
        if self._work.replaces:
            check_source(item.path, self._work.ending if item.params is None else item.ending)
        else:
            self._check_target(item)
        # Given back once the job is handed in: what waits is in the fleet's queue, where it can be put in order.
        async with self._senders:
            # Another command may have made it while this one waited for the fleet, or for its turn.
            if done := self._work.find_done(item):
                item.skip(done)
                return
            view = await self._hand_in(item)
        view = await self._watch.follow(view.id, lambda seen: self._see(item, seen))
        if view.status is JobStatus.COMPLETED:
            if self._work.replaces:
                item.outputs += [path] if (path := replaced_path(view)) else []
                return
            async with self._fetchers:
                await self._fetch(item, view)
        # A job that failed brought its error along with its last view; a cancelled one has none.
        elif item.error is None:
            item.fail(ErrorInfo("cancelled", "The job was cancelled."))
            item.status = view.status

    def _check_target(self, item: Item) -> None:
        self._targets.check_folder(item.place.parent)
        if ending := self._work.ending if item.params is None else item.ending:
            self._targets.check(with_ending(item.place, ending))

    async def _hand_in(self, item: Item) -> JobView:
        def advance(share: float) -> None:
            if item.phase is not Phase.UPLOADING:
                item.enter(Phase.UPLOADING)
            item.progress = share
            self._on_change(item)

        work = self._work
        draft = Submission(
            work.kind,
            params=work.params if item.params is None else item.params,
            priority=work.priority,
            name=utf8(item.path.name),
            not_before=work.times.not_before,
            deadline=work.times.deadline,
            batch=work.batch,
        )
        # The item takes the job from inside: an interruption of this call must not leave it without the id.
        return await hand_in(
            self._own,
            draft,
            [item.path, *item.more],
            on_upload=advance,
            on_accepted=item.take,
            in_place_only=work.replaces,
        )

    def _see(self, item: Item, view: JobView) -> None:
        self._own.note(view)
        item.take(view)
        self._on_change(item)

    async def _fetch(self, item: Item, view: JobView) -> None:
        item.enter(Phase.FETCHING)
        for index, ref in enumerate(view.outputs):
            target = self._place(item, ref, index)
            try:
                await self._download(item, ref, target)
            except Conflict:
                # Also of two commands that do the same at once the second finds the files of the first.
                if not self._work.keeps_names or self._targets.is_free(target):
                    raise
                item.warnings = (*item.warnings, f"{target} exists already and was left as it is.")
            else:
                item.outputs.append(target)

    async def _download(self, item: Item, ref: ArtifactRef, target: Path) -> None:
        def advance(done: int) -> None:
            # A size of -1 says that nobody knows it.
            item.progress = min(1.0, done / ref.size) if ref.size > 0 else 0.0
            self._on_change(item)

        with self._targets.write(target) as partial:
            await self._fleet.client.artifacts.download(ref, partial, on_progress=advance)

    def _place(self, item: Item, ref: ArtifactRef, index: int) -> Path:
        name = Path(safe_name(ref.name))
        if self._work.keeps_names:
            stem = item.stem or safe_name(item.path.stem)
            # Of two films with one stem the second has a number, which its results get as well.
            shown = item.place.name + name.name.removeprefix(stem) if name.name.startswith(stem) else name.name
            return item.place.with_name(shown)
        # The first result is named for its input; what else there is keeps its own name.
        place = item.place if index == 0 else self._targets.claim(name.stem, ending=name.suffix)
        return with_ending(place, name.suffix)

    def _mark_cancelled(self, items: Sequence[Item]) -> None:
        for item in items:
            if item.phase is Phase.OVER:
                continue
            # What the fleet confirmed as cancelled is open no longer; of the rest nobody can say what became of it.
            if item.job in self._own.open:
                item.cancel(
                    ErrorInfo("interrupted", f"Interrupted; whether job {item.job} was cancelled is not known.")
                )
            else:
                item.cancel(ErrorInfo("cancelled", "Interrupted; the job was cancelled.") if item.job else INTERRUPTED)
            self._on_change(item)


def with_ending(place: Path, ending: str) -> Path:
    """Return the place with an ending after its whole name: `a.b` and `.mp4` make `a.b.mp4`."""
    return place.with_name(place.name + ending)
