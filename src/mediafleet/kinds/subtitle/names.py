"""What result files are called: as players look for them beside a film. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediafleet.kinds.subtitle.formats import Format

_MOST_NAME_BYTES = 255
"""Of most file systems."""
_SUBTITLE_ENDINGS = frozenset({"srt", "vtt", "ass", "ssa", "ttml", "dfxp", "sub", "lrc", "sbv", "smi", "sami"})


def subtitle_name(film: str, language: str, form: Format, *, forced: bool = False) -> str:
    """Return the name of a film's subtitles in a language, as `movie.es.srt` or `movie.es.forced.srt`.

    Jellyfin, Plex, Kodi, VLC and mpv all take what stands between the film's name and the ending for language and flags.

    Args:
        film: File name, not a path.
        language: ISO 639-1; `en+es` for a file with both.
    """
    ending = f".{language}{'.forced' if forced else ''}.{form}"
    # Cut as bytes, which file systems count, and decoded again so that no half character stays.
    room = _MOST_NAME_BYTES - len(ending)
    return PurePath(film).stem.encode(errors="replace")[:room].decode(errors="ignore") + ending


def has_subtitles(film: str, language: str, beside: Iterable[str]) -> bool:
    """Tell whether one of the file names beside a film is of its subtitles in that language, in any format.

    Args:
        film: File name.
        language: ISO 639-1.
        beside: All names in the film's folder.
    """
    stem = PurePath(film).stem.casefold()
    for name in beside:
        parts = name.casefold().removeprefix(f"{stem}.").split(".")
        is_of_film = name.casefold().startswith(f"{stem}.")
        if is_of_film and parts[-1] in _SUBTITLE_ENDINGS and language in parts[:-1]:
            return True
    return False


def is_subtitle_file(name: str) -> bool:
    """Tell whether an input holds subtitles already, and no sound, by its ending."""
    return PurePath(name).suffix[1:].lower() in _SUBTITLE_ENDINGS
