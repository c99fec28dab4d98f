"""The steps by which an original comes back, each of which is finished after a crash; blocking, under the lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mediafleet.artifacts.originals.journal import Journal, JournalState
from mediafleet.artifacts.originals.steps import RestoreStep
from mediafleet.domain.errors import Conflict, NotFound

if TYPE_CHECKING:
    from mediafleet.artifacts.originals.folder import Folder
    from mediafleet.artifacts.originals.scene import Scene


def restore(scene: Scene, journal: Journal) -> Journal:
    """Bring the original of a finished replacement back, and remove the result; return the journal as it is then.

    Raises:
        NotFound: It is not kept any more.
        Conflict: Somebody's other file has its name, or the result was changed.
    """
    with scene.kept(journal) as kept:
        if kept is None or kept.find(journal.original) is None:
            raise NotFound(f"The original of {journal.job} is no longer kept; it was removed at the end of its time.")
        _check_place(scene, journal)
        journal = scene.write(msgspec.structs.replace(journal, state=JournalState.RESTORING))
        scene.on_step(RestoreStep.JOURNALED)
    return finish_restoring(scene, journal)


def _check_place(scene: Scene, journal: Journal) -> None:
    folder = scene.folder
    found = folder.find(journal.original)
    if found is not None and (
        journal.result != journal.original or folder.fingerprint(journal.original) != journal.made
    ):
        raise Conflict(
            f"{str(folder.path / journal.original)!r} is another file by now, so the original was not put in its place; "
            "move it away, and try again."
        )


def finish_restoring(scene: Scene, journal: Journal) -> Journal:
    """Do what is left of a restoration; safe to repeat."""
    with scene.kept(journal) as kept:
        if kept is not None and kept.find(journal.original) is not None:
            _return(scene, journal, kept)
        scene.on_step(RestoreStep.RETURNED)
        _remove_result(scene, journal)
        scene.on_step(RestoreStep.REMOVED)
        if kept is not None:
            kept.remove(journal.original)
            kept.sync()
    scene.trash.remove_folder(journal.job)
    scene.on_step(RestoreStep.EMPTIED)
    done = scene.write(msgspec.structs.replace(journal, state=JournalState.RESTORED))
    scene.on_step(RestoreStep.DONE)
    return done


def _return(scene: Scene, journal: Journal, kept: Folder) -> None:
    folder = scene.folder
    if journal.result == journal.original:
        # Again, since this may be the repeat of a restoration that was cut off long ago.
        _check_place(scene, journal)
        # In one step over the result; a repeat finds the kept name gone.
        kept.move(journal.original, folder, journal.original)
    elif not folder.are_same(journal.original, kept, journal.original):
        try:
            if not kept.name_also(journal.original, folder, journal.original):
                kept.move(journal.original, folder, journal.original)
        except FileExistsError:
            raise Conflict(f"{str(folder.path / journal.original)!r} is another file by now; move it away.") from None
    folder.sync()


def _remove_result(scene: Scene, journal: Journal) -> None:
    if journal.result == journal.original:
        return
    # Only as it was made: what was done to it since is somebody's work.
    if scene.folder.fingerprint(journal.result) == journal.made:
        scene.folder.remove(journal.result)
        scene.folder.sync()
