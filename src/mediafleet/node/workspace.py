"""One folder an attempt, always removed: at its end, or at the next start of a node that was killed."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from mediafleet.node.patience import finish

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

_log = structlog.get_logger(__name__)


class Workspaces:
    """The folder under which all workspaces of one node lie; nothing else may lie there."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def sweep(self) -> None:
        """Remove what a killed node left behind. Call it before the first workspace is made, holding the lock."""
        remove_tree(self._root)
        self._root.mkdir(parents=True, exist_ok=True)

    @asynccontextmanager
    async def open(self, label: str) -> AsyncGenerator[Path]:
        """Yield an empty folder and remove it with all it holds, also on error and cancel.

        Args:
            label: Shows in the folder's name, for people who look.
        """
        readable = re.sub(r"[^A-Za-z0-9_-]+", "-", label)[:60]
        # With a random ending, because two labels may look alike once their odd characters are gone.
        workspace = Path(tempfile.mkdtemp(prefix=f"{readable}-", dir=self._root))
        try:
            yield workspace
        finally:
            # In a thread, because a folder of many gigabytes takes seconds to remove and heartbeats must go on.
            await finish(asyncio.to_thread(remove_tree, workspace), name=f"remove {workspace.name}")


def remove_tree(folder: Path) -> None:
    """Remove a folder and all it holds, also where permissions were taken away; what resists is logged."""
    if folder.exists():
        shutil.rmtree(folder, onerror=_retry_with_permission)
    if folder.exists():
        _log.error("workspace could not be removed", path=str(folder))


def _retry_with_permission(remove: Callable[[str], Any], path: str, _: object) -> None:
    """Give the owner all rights on the entry and its folder, and remove once more."""
    stuck = Path(path)
    try:
        # Removing an entry needs rights on the folder around it, not on the entry.
        stuck.parent.chmod(0o700)
        # A link is removed and never followed: it may lead to the original of an input.
        if stuck.is_dir() and not stuck.is_symlink():
            stuck.chmod(0o700)
            shutil.rmtree(stuck, ignore_errors=True)
        else:
            remove(path)
    except OSError as error:
        _log.warning("entry of a workspace could not be removed", path=path, reason=str(error))
