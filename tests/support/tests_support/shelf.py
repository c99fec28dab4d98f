"""A folder with films in which a node may replace files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mediafleet.artifacts.fingerprint import fingerprint_of
from mediafleet.artifacts.originals import Originals, Replaced, Replacement, ReplaceStep, RestoreStep
from mediafleet.domain.clock import Clock
from mediafleet.domain.path_map import NO_PATHS, PathMap

OLD, NEW = b"the original", b"the result"
DAY_MS = 24 * 3600 * 1000


class SetClock(Clock):
    """Stands still until it is set."""

    now = 1_000_000

    def now_ms(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1000


@dataclass
class Shelf:
    """A folder with films in which a node may replace files."""

    folder: Path
    made: Path
    clock: SetClock
    data: Path
    on_step: Callable[[ReplaceStep | RestoreStep], None] = lambda _: None
    paths: PathMap = NO_PATHS

    @property
    def originals(self) -> Originals:
        return Originals([str(self.folder)], self.data, paths=self.paths, clock=self.clock, on_step=self.on_step)

    def film(self, name: str = "film.mkv", content: bytes = OLD) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def wish(self, film: Path, *, job: str = "j0-abc", ending: str = ".mp4") -> Replacement:
        return Replacement(
            job,
            film,
            fingerprint_of(film),
            ending,
            hashlib.sha256(NEW).hexdigest(),
            30 * DAY_MS,
            film.stat().st_mtime_ns,
        )

    async def replace(self, film: Path, **words: str) -> Replaced:
        return await self.originals.replace(self.wish(film, **words), self.made)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name != ".mediafleet-trash")
