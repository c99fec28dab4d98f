"""What a node does with originals in place: replaces them, brings them back, settles what was cut off, empties the trash."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from mediafleet.artifacts.disk import explain
from mediafleet.artifacts.fingerprint import fingerprint_of
from mediafleet.artifacts.originals.folder import Folder
from mediafleet.artifacts.originals.journal import TRASH, Journal, JournalState, check_name
from mediafleet.artifacts.originals.ledger import Entry, Ledger
from mediafleet.artifacts.originals.obstacles import check_place
from mediafleet.artifacts.originals.replacing import check_free, check_original, settle, swap
from mediafleet.artifacts.originals.restoring import finish_restoring, restore
from mediafleet.artifacts.originals.scene import Scene, journal_name, open_scene
from mediafleet.artifacts.originals.steps import OnStep, ReplaceStep, pass_on
from mediafleet.artifacts.roots import FileRoots
from mediafleet.domain.artifact import Fingerprint
from mediafleet.domain.clock import Clock, SystemClock
from mediafleet.domain.errors import (
    CapabilityMissing,
    Conflict,
    InputError,
    InvalidRequest,
    MediafleetError,
    NotFound,
    TransientFailure,
)
from mediafleet.domain.path_map import NO_PATHS, PathMap

CAPABILITY = "files:replace"
"""What a node offers that may replace files in place somewhere."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class Replacement(msgspec.Struct, frozen=True):
    """One replacement that is wanted."""

    job: str
    """On whose behalf; the same job replaces a file once, however often it is asked."""
    original: Path
    """As the fleet names it."""
    seen: Fingerprint
    """Of what was transcoded: any other file of that name stays."""
    ending: str
    """Of the result's name, with its dot."""
    sha256: str
    """Of the result; empty where nobody knows it."""
    trash_ms: int
    """How long the original is kept, milliseconds."""
    mtime_ns: int = 0
    """When the original was changed last, as it was transcoded; 0 where nobody knows."""


class Replaced(msgspec.Struct, frozen=True):
    """What became of a replacement."""

    path: Path
    """Where the result is, as the fleet names it: any node can find it by that."""
    kept: Path
    """Where the original is, as the fleet names it."""
    until_ms: int
    """How long it is kept, milliseconds since 1970."""
    warnings: tuple[str, ...] = ()


class Restored(msgspec.Struct, frozen=True):
    """What became of a restoration."""

    path: Path
    """Where the original is again, as the fleet names it."""
    warnings: tuple[str, ...] = ()


class Originals:
    """The originals that a node may replace; nothing outside its folders is touched, and no link is followed there.

    What it is asked, and what it tells, are paths of the fleet. Its folders, and what it remembers, are of this machine.
    """

    def __init__(
        self,
        folders: Sequence[str],
        data: Path,
        *,
        paths: PathMap = NO_PATHS,
        clock: Clock | None = None,
        on_step: OnStep = pass_on,
    ) -> None:
        """Take the folders below which files may be replaced, and one of this node's own to remember where.

        Args:
            paths: Where folders of the fleet are on this machine.
            on_step: Told of every step that was taken; tests end their process there.
        """
        self._roots = FileRoots(folders, setting="node.replace_roots")
        self._paths = paths
        self._ledger = Ledger(data)
        self._clock = clock or SystemClock()
        self._on_step = on_step

    def is_in_place(self, asked: Path, path: Path) -> bool:
        """Tell whether a path of this machine is a file of the fleet itself, and no copy of it."""
        return path in self._paths.places(asked)

    def check(self, original: Path) -> None:
        """Return if this node could replace a file, or if that is for another to do; hours of work must not be in vain.

        Args:
            original: As the fleet names it.

        Raises:
            InputError: What is in its folder cannot be replaced.
        """
        chosen = self._choose(original.parent, [original.name])
        if chosen is None:
            return
        with Folder(*chosen) as folder:
            check_place(folder)

    async def replace(self, wanted: Replacement, made: Path) -> Replaced:
        """Let a verified result take the place of its original, and return when the disk has it so.

        Safe to repeat and to cancel: a cancelled one is undone, or was done. A call for a job that has replaced its
        original already changes nothing.

        Raises:
            CapabilityMissing: This node may not, or cannot, see the original's folder.
            NotFound: The original is gone.
            InputError: It is no plain file.
            Conflict: It has changed since, or another file has the name that the result would get.
            TransientFailure, Unavailable: The disk did not take the result, or somebody keeps the folder's lock.
        """
        cancelled = threading.Event()
        return await _to_the_end(lambda: self._replace(wanted, made, cancelled), cancelled)

    async def restore(self, job: str, kept: Path) -> Restored:
        """Bring back the original that a job replaced, and remove the result if nobody has changed it; safe to repeat.

        Args:
            job: The job that replaced it.
            kept: Where the original is now.

        Raises:
            CapabilityMissing: This node may not, or cannot, see the folder.
            NotFound: It is not kept any more, or never was.
            Conflict: Another file has its name by now, or a result that was changed since it was made.
        """
        cancelled = threading.Event()
        return await _to_the_end(lambda: self._restore(job, kept, cancelled), cancelled)

    async def settle(self) -> None:
        """Undo or finish what an earlier life of this node left half-done; what cannot be settled is logged and kept."""
        await asyncio.to_thread(self._settle_all)

    async def empty_trash(self) -> int:
        """Remove originals whose time is over, and return how many."""
        return await asyncio.to_thread(self._empty_all)

    # --- replacing -----------------------------------------------------------------------------

    def _replace(self, wanted: Replacement, made: Path, cancelled: threading.Event) -> Replaced:
        name, asked = wanted.original.name, wanted.original.parent
        with self._scene_of(asked, wanted.job, name, make=True) as scene:
            begun = self._begin(scene, wanted, cancelled)
            if begun.state is not JournalState.DONE:
                begun = self._carry_out(scene, begun, wanted, made, cancelled)
            return _told(asked, begun)

    def _begin(self, scene: Scene, wanted: Replacement, cancelled: threading.Event) -> Journal:
        """Return the journal of a replacement that may begin, or of one that is done."""
        name = wanted.original.name
        with scene.trash.locked(cancelled):
            if (found := self._settled(scene, wanted.job)) is not None:
                return _done(found)
            seen = check_original(scene.folder, name, wanted.seen, mtime_ns=wanted.mtime_ns)
            journal = Journal(
                check_name(wanted.job),
                secrets.token_hex(8),
                JournalState.WRITING,
                check_name(name),
                result_name(name, wanted.ending),
                wanted.seen,
                made=wanted.seen,
                sha256=wanted.sha256,
                trash_ms=wanted.trash_ms,
                mtime_ns=seen.st_mtime_ns,
                names=seen.st_nlink,
            )
            check_free(scene.folder, journal)
            # First, so that whatever is begun after this is found again.
            self._ledger.note(Entry(journal.job, scene.folder.path, journal.token))
            self._on_step(ReplaceStep.ANNOUNCED)
            scene.write(journal)
            self._on_step(ReplaceStep.JOURNALED)
            return journal

    def _carry_out(
        self, scene: Scene, journal: Journal, wanted: Replacement, made: Path, cancelled: threading.Event
    ) -> Journal:
        try:
            # Outside the lock: it may take an hour, and others replace files in this folder as well.
            journal = self._copy(scene, journal, wanted, made, cancelled)
            with scene.trash.locked(cancelled):
                self._check_ours(scene, journal)
                return swap(scene, journal, now_ms=self._clock.now_ms())
        except BaseException:
            with scene.trash.locked():
                if (found := scene.read(journal.job)) is None or found.token == journal.token:
                    # Where it is finished after all it stays remembered, for the day when the original's time is over.
                    if self._settled(scene, journal.job) is None:
                        self._ledger.drop(journal.job)
                else:
                    scene.folder.remove(journal.draft)
            raise

    def _copy(
        self, scene: Scene, journal: Journal, wanted: Replacement, made: Path, cancelled: threading.Event
    ) -> Journal:
        def look() -> None:
            self._on_step(ReplaceStep.WRITING)
            if cancelled.is_set():
                raise TransientFailure("The replacement was cancelled; the original is as it was.")

        folder = scene.folder
        digest = folder.copy_in(made, journal.draft, on_block=look)
        if wanted.sha256 and digest != wanted.sha256:
            raise TransientFailure("The result was damaged on its way to the original's folder; it is copied again.")
        self._on_step(ReplaceStep.WRITTEN)
        lost = folder.dress(journal.draft, journal.original)
        if folder.read_back(journal.draft) != digest:
            raise TransientFailure(f"The disk of {str(folder.path)!r} does not give back what was written to it.")
        folder.sync()
        self._on_step(ReplaceStep.SYNCED)
        return msgspec.structs.replace(journal, made=fingerprint_of(made), sha256=digest, lost=lost)

    def _check_ours(self, scene: Scene, journal: Journal) -> None:
        found = scene.read(journal.job)
        if found is None or found.token != journal.token:
            raise TransientFailure("Another attempt of the same job has taken this replacement over.")

    def _settled(self, scene: Scene, job: str) -> Journal | None:
        """Undo or finish what the journal of a job says was begun; call it under the lock."""
        if (journal := scene.read(job)) is None:
            return None
        if journal.state is JournalState.RESTORING:
            return finish_restoring(scene, journal)
        return settle(scene, journal, now_ms=self._clock.now_ms())

    # --- restoring -----------------------------------------------------------------------------

    def _restore(self, job: str, kept: Path, cancelled: threading.Event) -> Restored:
        if kept.parent.parent.name != TRASH:
            raise InvalidRequest(f"{str(kept)!r} lies in no trash folder, so there is nothing to bring back.")
        asked = kept.parent.parent.parent
        with self._scene_of(asked, job) as scene, scene.trash.locked(cancelled):
            journal = self._settled(scene, check_name(job))
            if journal is None:
                raise NotFound(f"Nothing is kept of {job} in {str(asked)!r}.")
            if journal.state is not JournalState.RESTORED:
                # Remembered also here, since another node may have replaced it.
                self._ledger.note(Entry(job, scene.folder.path))
                journal = restore(scene, journal)
            return _told_restored(scene, asked, journal)

    # --- what is left over ---------------------------------------------------------------------

    def _settle_all(self) -> None:
        for entry in self._ledger.entries():
            with self._logging(entry), self._scene_at(entry.folder) as scene, scene.trash.locked():
                found = scene.read(entry.job)
                # Another node may have taken the job over, and be at work: only names are changed under the lock.
                if found is not None and found.state is JournalState.WRITING and found.token != entry.token:
                    continue
                if self._settled(scene, entry.job) is None:
                    self._ledger.drop(entry.job)

    def _empty_all(self) -> int:
        removed = 0
        # One of each folder is enough.
        for entry in {entry.folder: entry for entry in self._ledger.entries()}.values():
            with self._logging(entry), self._scene_at(entry.folder) as scene, scene.trash.locked():
                removed += self._empty(scene)
        return removed

    def _empty(self, scene: Scene) -> int:
        """Remove what is due in one folder, whichever node has put it there."""
        removed = 0
        for job in scene.jobs():
            # Each for itself: one journal that is damaged, or cannot be read, must not keep all others for ever.
            with self._logging(Entry(job, scene.folder.path)):
                journal = scene.read(job)
                if journal is None or not journal.is_over(self._clock.now_ms()):
                    continue
                with scene.kept(journal) as kept:
                    if kept is not None and journal.keeps_original:
                        kept.remove(journal.original)
                        removed += 1
                scene.forget(journal)
                self._ledger.drop(job)
        return removed

    @contextmanager
    def _logging(self, entry: Entry) -> Generator[None]:
        try:
            yield
        except NotFound:
            # No trash is there to be settled or emptied: somebody has tidied up.
            self._ledger.drop(entry.job)
        except (MediafleetError, OSError) as error:
            reason = error.message if isinstance(error, MediafleetError) else str(error)
            about = {"job": entry.job, "folder": str(entry.folder)}
            _log.error("originals in a folder could not be looked after", reason=reason, **about)

    @contextmanager
    def _scene_of(self, asked: Path, job: str, name: str = "", *, make: bool = False) -> Generator[Scene]:
        """Open what the fleet knows as that folder: of those that it may be here, the one with the file or its journal."""
        # A journal says more: a file of that name may be another one, or a copy of long ago.
        traces = [TRASH + "/" + journal_name(job), *([name] if name else [])]
        if (chosen := self._choose(asked, traces)) is None:
            # Another node may see it, or may do so.
            raise CapabilityMissing(CAPABILITY)
        with self._scene(*chosen, make=make) as scene:
            yield scene

    def _choose(self, asked: Path, traces: Sequence[str]) -> tuple[int, Path] | None:
        """Open the folder of this machine that has the first of the traces; None where files may be replaced in none."""
        opened: list[tuple[int, Path]] = []
        for place in self._paths.places(asked):
            try:
                opened.append(self._roots.open_folder(place))
            except (InputError, NotFound) as error:
                _log.warning("this node cannot replace files there", folder=str(place), reason=error.message)
        if not opened:
            return None
        found = (one for trace in traces for one in opened if os.path.lexists(one[1] / trace))
        chosen = next(found, opened[0])
        for other, _ in opened:
            if other != chosen[0]:
                os.close(other)
        return chosen

    @contextmanager
    def _scene_at(self, folder: Path) -> Generator[Scene]:
        """Open a folder of this machine, as the ledger has it."""
        try:
            opened = self._roots.open_folder(folder)
        except (InputError, NotFound) as error:
            # Not gone for good: a share may be mounted again.
            raise CapabilityMissing(CAPABILITY) from error
        with self._scene(*opened) as scene:
            yield scene

    @contextmanager
    def _scene(self, descriptor: int, real: Path, *, make: bool = False) -> Generator[Scene]:
        try:
            with Folder(descriptor, real) as folder, open_scene(folder, self._on_step, make=make) as scene:
                yield scene
        except OSError as error:
            raise explain(error, real) from error


def result_name(original: str, ending: str) -> str:
    """Return the name of a result: the original's, with the ending of its container."""
    stem, old = os.path.splitext(original)  # noqa: PTH122 - names that are no paths
    return original if old.lower() == ending.lower() else check_name(stem + ending)


def _done(found: Journal) -> Journal:
    """Return the journal of a job that has replaced its original. Raises Conflict for one that is over otherwise."""
    if found.state is JournalState.ASIDE:
        raise Conflict(
            f"{found.original!r} has another file by now, and the original of {found.job}, which was not replaced, is kept "
            f"in {TRASH!r} beside it; move it back yourself, or submit the new file."
        )
    if found.state is not JournalState.DONE:
        raise Conflict(f"The original of {found.job} was brought back, so it is not replaced again.")
    return found


def _told_restored(scene: Scene, asked: Path, journal: Journal) -> Restored:
    path, result = asked / journal.original, asked / journal.result
    if result == path or scene.folder.find(journal.result) is None:
        return Restored(path)
    left = f"{str(result)!r} is not as it was made any more, so it was left beside the original; remove it if nobody needs it."
    return Restored(path, (left,))


def _told(asked: Path, journal: Journal) -> Replaced:
    warnings: list[str] = []
    if journal.names > 1:
        warnings.append(
            f"{journal.original!r} had {journal.names - 1} other name(s) (hard links), which still have the original; "
            "they were not changed."
        )
    if journal.lost:
        warnings.append(
            f"The result could not be given all attributes of {journal.original!r}: {', '.join(journal.lost)}; the original "
            "has them still."
        )
    return Replaced(
        asked / journal.result,
        asked / TRASH / journal.job / journal.original,
        journal.until_ms,
        tuple(warnings),
    )


async def _to_the_end(work: Callable[[], T], cancelled: threading.Event) -> T:
    """Run in a thread; a cancel is passed on to it, and is raised when it has ended."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        cancelled.set()
        # A thread cannot be stopped, and must not outlive the files that it reads.
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise
