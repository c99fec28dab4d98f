"""What will keep a result from its original's place, as far as that shows before there is a result; blocking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.artifacts.originals.journal import TRASH
from mediafleet.domain.errors import InputError, NotFound

if TYPE_CHECKING:
    from mediafleet.artifacts.originals.folder import Folder


def check_place(folder: Folder) -> None:
    """Return if files may be replaced in a folder; nothing is made there.

    Raises:
        InputError: It, or its trash folder, cannot be written to, or the trash folder cannot be used or made.
    """
    try:
        with folder.enter(TRASH) as trash:
            may_fill = trash.may_change()
    except NotFound:
        may_fill = None
    except OSError:
        may_fill = False
    if text := find_obstacle(str(folder.path), may_change=folder.may_change(), may_fill_trash=may_fill):
        raise InputError(text)


def find_obstacle(folder: str, *, may_change: bool, may_fill_trash: bool | None) -> str:
    """Return why files cannot be replaced in a folder, as a sentence; empty where they can.

    Args:
        folder: To show.
        may_change: Whether names may be made and removed in it.
        may_fill_trash: The same of its trash folder; None where there is none yet.
    """
    if not may_change:
        return (
            f"Files in {folder!r} cannot be replaced: this node's user may not write there; give it the right to, or "
            "leave 'replace' out."
        )
    if may_fill_trash is False:
        return (
            f"Files in {folder!r} cannot be replaced: this node's user may not write to the trash folder {TRASH!r} there, "
            "where they would be kept; give it the right to, or leave 'replace' out."
        )
    return ""
