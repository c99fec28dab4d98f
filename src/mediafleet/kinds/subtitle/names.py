"""What result files are called: as players look for them beside a film. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mediafleet.kinds.subtitle.formats import Format

_LANGUAGE = re.compile("[a-z]{2,3}")
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
    return stem_of(film).encode(errors="replace")[:room].decode(errors="ignore") + ending


def stem_of(film: str) -> str:
    """Return the name of a film without its ending; of a file of subtitles also without its language."""
    stem = PurePath(film).stem
    if is_subtitle_file(film) and (language := language_of(film)):
        return stem[: -len(language) - 1] if stem.lower().endswith(f".{language}") else stem
    return stem


def find_languages(film: str, beside: Iterable[str]) -> set[str]:
    """Return the languages in which a film has subtitles, by the names of files, in any format.

    Args:
        film: File name.
        beside: All names in the film's folder.
    """
    start = f"{stem_of(film)}.".casefold()
    found: set[str] = set()
    for name in map(str.casefold, beside):
        parts = name.removeprefix(start).split(".")
        if name.startswith(start) and parts[-1] in _SUBTITLE_ENDINGS:
            found.update(part for part in parts[:-1] if _LANGUAGE.fullmatch(part))
    return found


def is_subtitle_file(name: str) -> bool:
    """Tell whether an input holds subtitles already, and no sound, by its ending."""
    return PurePath(name).suffix[1:].lower() in _SUBTITLE_ENDINGS


def language_of(name: str) -> str:
    """Return the language that the name of a subtitle file tells of, as `film.en.srt` does; empty where none."""
    parts = PurePath(name).name.split(".")[1:-1]
    codes = [part.lower() for part in parts if _LANGUAGE.fullmatch(part.lower())]
    return codes[-1] if codes else ""
