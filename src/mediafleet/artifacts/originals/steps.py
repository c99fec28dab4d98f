"""Every point at which a replacement or a restoration may be cut off: tests kill a process at each of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class ReplaceStep(StrEnum):
    """What has just been done, in this order. Before PLACED a restart undoes, from it on it finishes."""

    ANNOUNCED = "announced"
    """The node has noted in its own data in which folder it is at work."""
    JOURNALED = "journaled"
    """The journal says what is to become of which file."""
    WRITING = "writing"
    """Some bytes of the result lie beside the original, under a hidden name."""
    WRITTEN = "written"
    """All of them do."""
    SYNCED = "synced"
    """They were read back from the disk, compared, and survive a power loss."""
    READY = "ready"
    """The journal says so."""
    KEPT = "kept"
    """The original has its name in the trash folder, and its own as well."""
    PLACED = "placed"
    """The result has its final name."""
    REMOVED = "removed"
    """The original's own name is gone; only where the result has another."""
    DONE = "done"
    """The journal says that all is done, and until when the original is kept."""


class RestoreStep(StrEnum):
    """What has just been done, in this order. From the first on a restart finishes."""

    JOURNALED = "restore-journaled"
    """The journal says that the original is to come back."""
    RETURNED = "restore-returned"
    """It has its own name again."""
    REMOVED = "restore-removed"
    """The result's name is gone; only where it was another."""
    EMPTIED = "restore-emptied"
    """The original's name in the trash folder is gone."""
    DONE = "restore-done"
    """The journal says that all is done."""


OnStep = Callable[[ReplaceStep | RestoreStep], None]


def pass_on(_: ReplaceStep | RestoreStep) -> None:
    """Do nothing at any step."""
