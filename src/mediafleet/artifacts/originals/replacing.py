"""The steps by which a result takes the place of its original, each of which can be undone or finished; blocking.

All of them but the copying are taken under the lock of the trash folder.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import msgspec

from mediafleet.artifacts.originals.journal import Journal, JournalState
from mediafleet.artifacts.originals.restoring import remove_result
from mediafleet.artifacts.originals.steps import ReplaceStep
from mediafleet.domain.errors import Conflict, InputError, NotFound, TransientFailure

if TYPE_CHECKING:
    from mediafleet.artifacts.originals.folder import Folder
    from mediafleet.artifacts.originals.scene import Scene
    from mediafleet.domain.artifact import Fingerprint

_GRAINS_NS = (1, 100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)
"""In which file systems count time. Two nodes may see one file by different ones: NFS and SMB of one share."""


def check_original(folder: Folder, name: str, seen: Fingerprint, *, mtime_ns: int = 0) -> os.stat_result:
    """Return what the system says of the original, if that is still what was transcoded.

    Args:
        mtime_ns: When it was changed last, as some node sees it; 0 where nobody knows.

    Raises:
        NotFound: It is gone.
        InputError: It is a link or no file.
        Conflict: It is another one.
    """
    found = folder.find(name)
    shown = str(folder.path / name)
    if found is None:
        raise NotFound(f"{shown!r} is gone, so there is nothing to replace.")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{shown!r} is a link, and only files are replaced; name the file that it leads to.")
    is_same = found.st_size == seen.size and _is_time(mtime_ns, found.st_mtime_ns) and folder.fingerprint(name) == seen
    # Once more, since it may have been replaced while it was read.
    if not is_same or not _is_still(found, folder.find(name)):
        raise Conflict(f"{shown!r} has changed since it was transcoded, so it was not replaced; submit it again.")
    return found


def check_free(folder: Folder, journal: Journal) -> None:
    """Return if the result's name is free, or is the original's. Raises Conflict."""
    if journal.result != journal.original and folder.find(journal.result) is not None:
        raise taken(folder, journal)


def taken(folder: Folder, journal: Journal) -> Conflict:
    """Return the error for a name that another file has."""
    return Conflict(
        f"{str(folder.path / journal.result)!r} exists already and is another file, so "
        f"{os.fsencode(journal.original).decode(errors='replace')!r} was not replaced; move one of them away."
    )


def swap(scene: Scene, journal: Journal, *, now_ms: int) -> Journal:
    """Let the result, which lies complete beside the original, take its place; return the journal as it is then.

    Raises:
        NotFound, InputError, Conflict: As `check_original`, or the result's name was taken; all is as before.
    """
    original = check_original(scene.folder, journal.original, journal.seen, mtime_ns=journal.mtime_ns)
    check_free(scene.folder, journal)
    draft = _find_draft(scene, journal)
    journal = scene.write(msgspec.structs.replace(journal, state=JournalState.READY, inode=draft.st_ino))
    scene.on_step(ReplaceStep.READY)
    with scene.kept(journal, make=True) as kept:
        assert kept is not None  # noqa: S101 - it was just made
        try:
            _change_names(scene, journal, kept, original)
        except Conflict:
            undo(scene, journal, now_ms=now_ms)
            raise
    placed = scene.folder.find(journal.result)
    # Only here, a moment after it was read back: what a restart finds may have been worked on since.
    if placed is not None and _is_still(draft, placed):
        journal = msgspec.structs.replace(journal, ctime_ns=placed.st_ctime_ns)
    done = finish(scene, journal, now_ms=now_ms)
    if done is None or done.state is not JournalState.DONE:
        raise Conflict(_changed_text(scene, journal))
    return done


def _find_draft(scene: Scene, journal: Journal) -> os.stat_result:
    if (found := scene.folder.find(journal.draft)) is None:
        raise TransientFailure(f"The copy of the result in {str(scene.folder.path)!r} vanished while it was made.")
    return found


def _change_names(scene: Scene, journal: Journal, kept: Folder, original: os.stat_result) -> None:
    folder, changed = scene.folder, Conflict(_changed_text(scene, journal))
    is_linked = folder.name_also(journal.original, kept, journal.original)
    if not is_linked and journal.result == journal.original:
        # Without second names the folder has neither for a moment; the journal knows where the original is.
        folder.move(journal.original, kept, journal.original)
    kept.sync()
    scene.on_step(ReplaceStep.KEPT)
    if (found := kept.find(journal.original)) and not _is_still(original, found):
        raise changed
    _place(scene, journal)
    # A program that had it open may have written into it until its name was gone.
    if (found := kept.find(journal.original)) and not _is_still(original, found):
        _take_back(scene, journal, kept)
        raise changed
    scene.on_step(ReplaceStep.PLACED)


def _place(scene: Scene, journal: Journal) -> None:
    folder = scene.folder
    if journal.result == journal.original:
        folder.move(journal.draft, folder, journal.result)
    else:
        try:
            # Unlike a rename it fails where the name was taken a moment ago.
            if folder.name_also(journal.draft, folder, journal.result):
                folder.remove(journal.draft)
            else:
                check_free(folder, journal)
                folder.move(journal.draft, folder, journal.result)
        except FileExistsError:
            raise taken(folder, journal) from None
    folder.sync()


def _take_back(scene: Scene, journal: Journal, kept: Folder) -> None:
    """Undo `_place`: the result gives way to the original."""
    if journal.result == journal.original:
        kept.move(journal.original, scene.folder, journal.original)
    else:
        scene.folder.remove(journal.result)
    scene.folder.sync()


def is_placed(scene: Scene, journal: Journal) -> bool:
    """Tell whether the result got its final name, by which file has it: what is in it may have been changed since."""
    folder = scene.folder
    if folder.find(journal.draft) is not None:
        return folder.are_same(journal.draft, folder, journal.result)
    if (found := folder.find(journal.result)) is None:
        return False
    with scene.kept(journal) as kept:
        if kept is not None and kept.find(journal.original) is not None:
            # The draft has no other way to go while the original is kept.
            return not folder.are_same(journal.result, kept, journal.original)
    # Without links an original whose result has another name is kept last; else all was undone but for the journal, and
    # the draft's number may be another file's by now.
    return journal.inode in {0, found.st_ino} and folder.fingerprint(journal.result) == journal.made


def finish(scene: Scene, journal: Journal, *, now_ms: int) -> Journal | None:
    """Do what is left once the result has its name; safe to repeat.

    Returns:
        The journal. Where the original has changed meanwhile it keeps its name, the result goes if it is as it was made, and
        all is as after `undo`.
    """
    with scene.kept(journal, make=True) as kept:
        assert kept is not None  # noqa: S101 - it was just made
        is_changed = journal.result != journal.original and not _clear_name(scene, journal, kept)
    if is_changed:
        remove_result(scene, journal)
        return undo(scene, journal, now_ms=now_ms)
    if journal.result != journal.original:
        scene.on_step(ReplaceStep.REMOVED)
    done = msgspec.structs.replace(journal, state=JournalState.DONE, until_ms=now_ms + journal.trash_ms)
    scene.write(done)
    scene.on_step(ReplaceStep.DONE)
    return done


def _clear_name(scene: Scene, journal: Journal, kept: Folder) -> bool:
    """Leave the original only its name in the trash, or False where its own name has what was never transcoded."""
    folder, name = scene.folder, journal.original
    has_kept, found = kept.find(name) is not None, folder.find(name)
    # Another file of that name, while the original is kept, is somebody's new one.
    if found is not None and (not has_kept or folder.are_same(name, kept, name)):
        # A restart comes here long after the last comparison.
        if not _is_as_seen(folder, journal):
            return False
        if has_kept:
            folder.remove(name)
        else:
            folder.move(name, kept, name)
            if not _is_still(found, kept.find(name)):
                # What came in that moment is not the original, or not as it was.
                return False
    folder.remove(journal.draft)
    folder.sync()
    kept.sync()
    return True


def _is_as_seen(folder: Folder, journal: Journal) -> bool:
    try:
        check_original(folder, journal.original, journal.seen, mtime_ns=journal.mtime_ns)
    except (Conflict, InputError, NotFound):
        return False
    return True


def undo(scene: Scene, journal: Journal, *, now_ms: int) -> Journal | None:
    """Leave the original at its name and nothing else behind; safe to repeat. The result must have no final name.

    Returns:
        The journal, where it must be kept since the original is: its name has somebody's new file.
    """
    folder, is_aside = scene.folder, False
    with scene.kept(journal) as kept:
        if kept is not None and kept.find(journal.original) is not None:
            if folder.find(journal.original) is None:
                kept.move(journal.original, folder, journal.original)
            elif folder.are_same(journal.original, kept, journal.original):
                kept.remove(journal.original)
            folder.sync()
            kept.sync()
            is_aside = kept.find(journal.original) is not None
    if is_aside:
        # First, so that no crash leaves a journal from which the result seems to be in place.
        aside = msgspec.structs.replace(journal, state=JournalState.ASIDE, until_ms=now_ms + journal.trash_ms)
        journal = scene.write(aside)
    folder.remove(journal.draft)
    folder.sync()
    if is_aside:
        return journal
    scene.forget(journal)
    return None


def settle(scene: Scene, journal: Journal, *, now_ms: int) -> Journal | None:
    """Undo or finish a replacement that was cut off; return its journal if anything is kept, None if nothing is left of it."""
    if journal.state is JournalState.READY and is_placed(scene, journal):
        return finish(scene, journal, now_ms=now_ms)
    if journal.state in {JournalState.WRITING, JournalState.READY}:
        return undo(scene, journal, now_ms=now_ms)
    if journal.state is JournalState.ASIDE:
        # All that an `undo` may have left, where it was cut off.
        scene.folder.remove(journal.draft)
    return journal


def _changed_text(scene: Scene, journal: Journal) -> str:
    return (
        f"{str(scene.folder.path / journal.original)!r} was written to while it was being replaced, so it stays as it is; "
        "submit it again."
    )


def _is_time(told_ns: int, found_ns: int) -> bool:
    return not told_ns or any(
        told_ns // grain == found_ns // grain and 0 in {told_ns % grain, found_ns % grain} for grain in _GRAINS_NS
    )


def _is_still(before: os.stat_result, now: os.stat_result | None) -> bool:
    return now is not None and (before.st_ino, before.st_size, before.st_mtime_ns) == (
        now.st_ino,
        now.st_size,
        now.st_mtime_ns,
    )
