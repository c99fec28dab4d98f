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
    """Bring a kept original back, and remove the result if it is as it was made; return the journal as it is then.

    Raises:
        NotFound: It is not kept any more.
        Conflict: Its name has another file, or the result, which somebody has changed.
    """
    with scene.kept(journal) as kept:
        if kept is None or kept.find(journal.original) is None:
            raise NotFound(f"The original of {journal.job} is no longer kept; it was removed at the end of its time.")
        journal = _check_place(scene, journal)
        journal = scene.write(msgspec.structs.replace(journal, state=JournalState.RESTORING))
        scene.on_step(RestoreStep.JOURNALED)
    return finish_restoring(scene, journal)


def _check_place(scene: Scene, journal: Journal) -> Journal:
    """Return the journal with what is now known of the result, if nobody's work has the original's name."""
    folder = scene.folder
    if folder.find(journal.original) is None:
        return journal
    known = _compare_result(scene, journal) if journal.result == journal.original else None
    if known is None:
        raise Conflict(
            f"{str(folder.path / journal.original)!r} is another file by now, or was changed since it was made, so the "
            "original was not put in its place; move it away, and try again."
        )
    return known


def _compare_result(scene: Scene, journal: Journal) -> Journal | None:
    """Return the journal with the moment at which the result was known to be as it was made; None if it is not, or in doubt."""
    folder = scene.folder
    found = folder.find(journal.result)
    if found is None or found.st_size != journal.made.size:
        return None
    if journal.ctime_ns and (found.st_ino, found.st_ctime_ns) == (journal.inode, journal.ctime_ns):
        return journal
    # Whatever changes bytes changes this time, but renaming does as well, and other systems count it otherwise.
    if folder.hash(journal.result) != journal.sha256:
        return None
    after = folder.find(journal.result)
    if after is None or (after.st_ino, after.st_ctime_ns) != (found.st_ino, found.st_ctime_ns):
        return None
    return msgspec.structs.replace(journal, inode=after.st_ino, ctime_ns=after.st_ctime_ns)


def finish_restoring(scene: Scene, journal: Journal) -> Journal:
    """Do what is left of a restoration; safe to repeat."""
    with scene.kept(journal) as kept:
        if kept is not None and kept.find(journal.original) is not None:
            _return(scene, journal, kept)
        scene.on_step(RestoreStep.RETURNED)
        remove_result(scene, journal)
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
        taken = Conflict(f"{str(folder.path / journal.original)!r} is another file by now; move it away.")
        try:
            if not kept.name_also(journal.original, folder, journal.original):
                # Unlike a link a rename would take the place of a file that came since the journal was written.
                if folder.find(journal.original) is not None:
                    raise taken
                kept.move(journal.original, folder, journal.original)
        except FileExistsError:
            raise taken from None
    folder.sync()


def remove_result(scene: Scene, journal: Journal) -> None:
    """Remove a result that has another name than its original, if it is there as it was made."""
    if journal.result == journal.original:
        return
    # What was done to it since is somebody's work.
    if _compare_result(scene, journal) is not None:
        scene.folder.remove(journal.result)
        scene.folder.sync()
