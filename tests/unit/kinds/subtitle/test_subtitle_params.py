"""Wishes that contradict each other are refused at once, and names are those that players look for."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from mediafleet.kinds.subtitle.formats import Format
from mediafleet.kinds.subtitle.names import find_languages, is_subtitle_file, language_of, subtitle_name
from mediafleet.kinds.subtitle.params import SubtitleParams


@pytest.mark.parametrize(
    ("params", "what"),
    [
        ({"to": ["es", "es"]}, "names a language twice"),
        ({"language": "en", "to": ["en"]}, "which is what is spoken"),
        ({"bilingual": True}, "needs a language in 'to'"),
        ({"language": "en", "to": ["es"], "burn_language": "de"}, "neither spoken nor in 'to'"),
        ({"speakers": "channels", "speaker_names": ["Anna", "Anna"]}, "has a name twice"),
        ({"style": "karaoke"}, "add it to 'formats'"),
        ({"to": ["spanish"]}, "matching regex"),
        ({"formats": []}, "length >= 1"),
        ({"formats": ["doc"]}, "Invalid enum value"),
        ({"languge": "en"}, "unknown field"),
    ],
)
def test_contradictions_are_refused(params: dict[str, Any], what: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=what):
        msgspec.convert(params, SubtitleParams)


def test_nothing_has_to_be_said() -> None:
    assert msgspec.convert({}, SubtitleParams) == SubtitleParams()
    assert msgspec.convert({"burn_language": "de"}, SubtitleParams).burn_language == "de", "it may be what is spoken"


@pytest.mark.parametrize(
    ("film", "language", "forced", "name"),
    [
        ("movie.mkv", "es", False, "movie.es.srt"),
        ("The.Film.2020.1080p.mkv", "de", True, "The.Film.2020.1080p.de.forced.srt"),
        ("noending", "en", False, "noending.en.srt"),
        (".hidden", "en", False, ".hidden.en.srt"),
        ("movie.en.srt", "es", False, "movie.es.srt"),
        ("movie.en.forced.srt", "es", False, "movie.es.srt"),
        ("The.Old.Man.srt", "es", False, "The.Old.Man.es.srt"),
    ],
)
def test_players_find_the_file(film: str, language: str, *, forced: bool, name: str) -> None:
    assert subtitle_name(film, language, Format.SRT, forced=forced) == name


def test_a_long_name_is_cut_between_its_characters() -> None:
    name = subtitle_name("ü" * 200 + ".mkv", "es", Format.SRT)
    assert len(name.encode()) <= 190
    assert re.fullmatch("ü{80,}~[0-9a-f]{6}[.]es[.]srt", name)


@pytest.mark.parametrize("kind", ["a", "ü", "\N{CLAPPER BOARD}"])
def test_a_long_name_is_found_again_and_is_of_one_film_only(kind: str) -> None:
    first, second = f"{kind * 60}{'x' * 150}1.mkv", f"{kind * 60}{'x' * 150}2.mkv"
    names = [subtitle_name(film, "es", Format.SRT) for film in (first, second)]
    assert names[0] != names[1]
    assert find_languages(first, names[:1]) == {"es"}
    assert find_languages(second, names[:1]) == set()


@pytest.mark.parametrize(
    ("name", "language"),
    [("film.pt-BR.srt", "pt"), ("film.zh-Hans.srt", "zh"), ("film.bn.srt", "bn"), ("film.pt-BR.sdh.srt", "pt")],
)
def test_a_language_of_a_region_or_of_any_country_is_known(name: str, language: str) -> None:
    assert language_of(name) == language
    assert subtitle_name(name, "es", Format.SRT) == "film.es.srt"


def test_a_word_that_is_a_flag_and_a_language_is_both() -> None:
    assert find_languages("movie.mkv", ["movie.hi.srt"]) == {"hi"}
    assert find_languages("movie.mkv", ["movie.en.hi.srt"]) == {"en"}
    assert find_languages("movie.en.mkv", ["movie.en.srt"]) == set()


def test_a_language_that_a_film_has_is_seen_in_any_format() -> None:
    beside = [
        "Movie.mkv",
        "movie.ES.sdh.ass",
        "movie.fr.forced.srt",
        "movie.3.it.srt",
        "movie.pt-BR.srt",
        "other.de.srt",
        "movie2.de.srt",
        "movie.de.txt",
    ]
    assert find_languages("Movie.mkv", beside) == {"es"}
    assert find_languages("movie.en.srt", beside) == {"es"}, "a file of subtitles is of the same film"
    assert find_languages("Movie.mkv", beside, ["srt"]) == set()


def test_a_language_is_there_with_each_format_that_is_wanted_and_under_any_code() -> None:
    beside = ["movie.eng.srt", "movie.en.vtt", "movie.ger.srt", "movie.old.srt", "movie.ast.srt"]
    assert find_languages("movie.mkv", beside) == {"en", "de"}
    assert find_languages("movie.mkv", beside, ["srt", "vtt"]) == {"en"}
    assert find_languages("movie.mkv", beside, ["srt", "vtt", "json"]) == set()
    assert find_languages("movie.mkv", beside, known=["ast"]) == {"en", "de", "ast"}
    assert language_of("movie.ger.forced.srt") == "de"
    assert subtitle_name("movie.ger.srt", "es", Format.SRT) == "movie.es.srt"


def test_files_of_subtitles_are_known_by_their_ending() -> None:
    assert [is_subtitle_file(name) for name in ("a.SRT", "a.mkv", "a.json", "srt")] == [True, False, True, False]


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("film.en.sdh.srt", "en"),
        ("The.Old.Man.srt", ""),
        ("Show.S01E01.WEB.srt", ""),
        ("movie.en.srt", "en"),
        ("movie.EN.forced.srt", "en"),
        ("movie.srt", ""),
        ("a.b.2020.srt", ""),
        ("en.srt", ""),
    ],
)
def test_the_name_of_a_file_tells_its_language(name: str, language: str) -> None:
    assert language_of(name) == language
