"""Which folders of the fleet are where on one machine: `/mnt/media` of others may be `/Volumes/media` here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath

from mediafleet.domain.errors import InvalidRequest


class PathMap:
    """Folders as the fleet names them, with their names on this machine."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Take mappings as `/mnt/media=/Volumes/media`, the fleet's name first.

        Raises:
            InvalidRequest: One is none, a path in it is relative, or a folder is mapped to two.
        """
        found: dict[PurePosixPath, Path] = {}
        for folder, here in map(_parse, texts):
            if found.setdefault(folder, here) != here:
                raise InvalidRequest(
                    f"{str(folder)!r} is mapped twice, to {str(found[folder])!r} and to {str(here)!r}; leave one of them out."
                )
        self._folders = sorted(found.items(), key=lambda pair: len(pair[0].parts), reverse=True)

    def __bool__(self) -> bool:
        return bool(self._folders)

    @property
    def folders(self) -> list[tuple[PurePosixPath, Path]]:
        """Each folder with its name here, deeper ones first."""
        return list(self._folders)

    def translate(self, path: PurePath) -> Path | None:
        """Return where a file of the fleet would be here, by the deepest folder that it lies in; None if in none."""
        asked = PurePosixPath(path.as_posix())
        for folder, here in self._folders:
            if asked.is_relative_to(folder):
                return here / asked.relative_to(folder)
        return None

    def places(self, path: Path) -> tuple[Path, ...]:
        """Return where a file of the fleet may be here, the likeliest first: where its folder is mapped to, and as named."""
        mapped = self.translate(path)
        return (path,) if mapped is None else (mapped, path)


def _parse(text: str) -> tuple[PurePosixPath, Path]:
    there, _, here = text.partition("=")
    folder, target = PurePosixPath(there.strip()), Path(here.strip()).expanduser()
    if not folder.is_absolute() or not target.is_absolute() or ".." in folder.parts:
        raise InvalidRequest(
            f"{text!r} maps no folder; write the fleet's absolute path, '=' and the absolute path on this machine."
        )
    return folder, target


NO_PATHS = PathMap(())
"""Of a machine on which all folders have their names."""
