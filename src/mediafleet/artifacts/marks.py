"""Marks that scheduler instances leave in their artifact root: whoever sees another's mark sees the same folder."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from mediafleet.artifacts.disk import explain
from mediafleet.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class Marks:
    """The marks in one folder, a file an instance."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def leave(self, instance: str) -> str:
        """Write a new mark and return its digest. Raises Unavailable."""
        # Random and only told as a digest: a copy of the folder, made before, cannot have it.
        token = secrets.token_hex(16)
        try:
            await asyncio.to_thread(self._write, self._path(instance), token)
        except OSError as error:
            raise explain(error, self._folder) from error
        return digest_of(token)

    async def sees(self, instance: str, digest: str) -> bool:
        """Tell whether the mark of that digest is there."""
        try:
            found = await asyncio.to_thread(self._path(instance).read_text)
        except (OSError, UnicodeDecodeError):
            return False
        return secrets.compare_digest(digest_of(found), digest)

    async def remove(self, instances: Iterable[str]) -> None:
        """Take marks away, as far as that is possible: one that stays behind means nothing to anybody."""
        for path in map(self._path, instances):
            await asyncio.to_thread(_unlink, path)

    def _write(self, path: Path, token: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        draft.write_text(token)
        draft.replace(path)

    def _path(self, instance: str) -> Path:
        return self._folder / check_instance(instance)


def check_instance(instance: str) -> str:
    """Return an id that names a mark and nothing else. Raises InvalidRequest."""
    # Ids come from the store, and must not lead anywhere else.
    if not _NAME.fullmatch(instance):
        raise InvalidRequest(f"{instance[:100]!r} is no id of an instance.")
    return instance


def digest_of(token: str) -> str:
    """Return what is told of a mark."""
    return hashlib.sha256(token.encode()).hexdigest()


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
