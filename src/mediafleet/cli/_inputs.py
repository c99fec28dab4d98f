"""Turns what a user names into inputs: files, folders, and addresses that the fleet can read itself."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import InputError, MediafleetError, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# fmt: off
MEDIA_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".asf", ".avi", ".dts", ".dv", ".eac3", ".f4v",
    ".flac", ".flv", ".gxf", ".h264", ".hevc", ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4a", ".m4b", ".m4v",
    ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".oga", ".ogg", ".ogm",
    ".ogv", ".opus", ".rm", ".rmvb", ".ts", ".tta", ".vob", ".wav", ".webm", ".wma", ".wmv", ".wtv", ".wv", ".y4m",
})
"""File name endings that a folder is searched for; a file that is named itself may have any."""
# fmt: on
_SCHEMES = ("artifact:", "file://", "http://", "https://", "s3://", "gs://", "az://")


class Source(msgspec.Struct, frozen=True):
    """One media file to work on."""

    path: Path
    folder: Path = Path()
    """Where below the folder that was named it lay, so that results can keep the order."""


class Unusable(msgspec.Struct, frozen=True):
    """Something that was named but cannot be worked on."""

    path: Path
    error: MediafleetError


def is_address(word: str) -> bool:
    """Tell whether the word is an address that goes to the fleet as it is, rather than a path."""
    return word.startswith(_SCHEMES)


def find_sources(
    paths: Sequence[Path], *, recursive: bool = True, instead: frozenset[str] = frozenset()
) -> Iterator[Source | Unusable]:
    """Yield each file once, in the order given; folders stand for the media files in them, sorted.

    Args:
        recursive: Also look in the folders of a folder.
        instead: Endings of what a folder without media files stands for, if anything.
    """
    seen: set[Path] = set()
    for path in paths:
        for found in _find(path, recursive=recursive, instead=instead):
            if isinstance(found, Source):
                # A link and its file are the same work, and would be done twice.
                real = Path(os.path.realpath(found.path))
                if real in seen:
                    continue
                seen.add(real)
            yield found


def _find(path: Path, *, recursive: bool, instead: frozenset[str]) -> Iterator[Source | Unusable]:
    try:
        mode = path.stat().st_mode
    # A zero byte in a name is a ValueError; all else that can be wrong with a path is an OSError.
    except (OSError, ValueError) as error:
        yield Unusable(path, _why(path, error))
        return
    if stat.S_ISDIR(mode):
        found = _walk(path, MEDIA_SUFFIXES, recursive=recursive) or _walk(path, instead, recursive=recursive)
        yield from found or [Unusable(path, InputError(f"{path} holds no media files."))]
    elif stat.S_ISREG(mode):
        yield _checked(path)
    else:
        yield Unusable(path, InputError(f"{path} is neither a file nor a folder."))


def _walk(root: Path, suffixes: frozenset[str], *, recursive: bool) -> list[Source | Unusable]:
    found: list[Source | Unusable] = []
    for name, folders, files in os.walk(root):
        folder = Path(name)
        folders[:] = sorted(one for one in folders if not one.startswith(".")) if recursive else []
        # Hidden ones are no media of the user: macOS leaves a `._clip.mp4` beside each file on a foreign disk.
        shown = [file for file in sorted(files) if Path(file).suffix.lower() in suffixes and not file.startswith(".")]
        found += [_checked(folder / file, folder.relative_to(root)) for file in shown]
    return found


def _checked(path: Path, folder: Path = Path()) -> Source | Unusable:
    if os.access(path, os.R_OK):
        return Source(path, folder)
    return Unusable(path, InputError(f"{path} may not be read by this user."))


def _why(path: Path, error: OSError | ValueError) -> MediafleetError:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{path} does not exist.")
    reason = error.strerror if isinstance(error, OSError) else error
    return InputError(f"{path} cannot be read: {reason}.")
