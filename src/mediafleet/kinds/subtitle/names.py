"""What result files are called: as players look for them beside a film. Pure."""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import TYPE_CHECKING

from mediafleet.kinds.subtitle.language_codes import is_code, short_code

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mediafleet.kinds.subtitle.formats import Format

_MOST_NAME_BYTES = 190
"""File systems take 255; the rest is for a number, and for what those add who keep it."""
_FLAGS = frozenset({"sdh", "cc", "hi", "default", "full"})
_PARTIAL = frozenset({"forced", "signs"})
"""Of what is only there where the film has another language, or something written."""
SUBTITLE_ENDINGS = frozenset({"srt", "vtt", "ass", "ssa", "ttml", "dfxp", "sub", "lrc", "sbv", "smi", "sami"})
_OWN_ENDINGS = frozenset({"json", "tsv"})
"""Of formats of ours; files of others have these endings, too, so they tell nothing of what a film has."""


def subtitle_name(film: str, language: str, form: Format, *, forced: bool = False) -> str:
    """Return the name of a film's subtitles in a language, as `movie.es.srt` or `movie.es.forced.srt`.

    Jellyfin, Plex, Kodi, VLC and mpv all take what stands between the film's name and the ending for language and flags.

    Args:
        film: File name, not a path.
        language: ISO 639-1; `en+es` for a file with both.
    """
    ending = f".{language}{'.forced' if forced else ''}.{form}"
    return _fit(stem_of(film), _MOST_NAME_BYTES - len(ending)) + ending


def _fit(stem: str, room: int) -> str:
    """Return a stem in so many bytes: one that is longer is cut, and what tells it from others that begin alike put behind."""
    content = stem.encode(errors="replace")
    if len(content) <= room:
        return stem
    mark = f"~{hashlib.blake2b(content, digest_size=3).hexdigest()}"
    # Cut as bytes, which file systems count, and decoded again so that no half character stays.
    return content[: room - len(mark)].decode(errors="ignore") + mark


def stem_of(film: str) -> str:
    """Return the name of a film without its ending; of a file of subtitles also without its language."""
    stem = PurePath(film).stem
    if is_subtitle_file(film) and (tag := _tag_of(film)):
        return stem[: stem.lower().rindex(f".{tag}")]
    return stem


def find_languages(
    film: str, beside: Iterable[str], endings: Collection[str] = (), *, known: Collection[str] = ()
) -> set[str]:
    """Return the languages in which a film has all its subtitles, by the names of files, ISO 639-1 where that has a code.

    Args:
        film: File name.
        beside: All names in the film's folder.
        endings: A language must be there with each of these; with any of subtitles where none is named.
        known: Codes that count beside the usual ones; other words in names tell of something else (`film.old.srt`).
    """
    stem = stem_of(film)
    found: dict[str, set[str]] = {}
    for name in beside:
        parts = name.split(".")
        for at in range(1, len(parts) - 1):
            ending = f".{'.'.join(parts[at:])}"
            language, *flags = ending.casefold().removeprefix(".").split(".")
            is_of_film = name.casefold() == f"{_fit(stem, _MOST_NAME_BYTES - len(ending.encode()))}{ending}".casefold()
            # Who has the text of another region may well want theirs.
            is_language = is_code(language) and "-" not in language
            if is_of_film and _FLAGS.issuperset(flags[:-1]) and (is_language or language in known):
                found.setdefault(flags[-1], set()).add(short_code(language))
    by_ending = [found.get(ending, set[str]()) for ending in endings or SUBTITLE_ENDINGS]
    return set[str].intersection(*by_ending) if endings else set[str]().union(*by_ending)


def is_subtitle_file(name: str) -> bool:
    """Tell whether an input holds subtitles already, and no sound, by its ending."""
    return PurePath(name).suffix[1:].lower() in SUBTITLE_ENDINGS | _OWN_ENDINGS


def language_of(name: str) -> str:
    """Return the language that the name of a subtitle file tells of, as `film.en.forced.srt` does; empty where none."""
    return short_code(_tag_of(name))


def _tag_of(name: str) -> str:
    parts = [part.lower() for part in PurePath(name).name.split(".")[1:-1]]
    while len(parts) > 1 and parts[-1] in _FLAGS | _PARTIAL:
        parts.pop()
    return parts[-1] if parts and is_code(parts[-1]) else ""
