"""Files of every format hold what was put into them, are read by others, and nothing in a text becomes a command of a format."""

from __future__ import annotations

import re
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from subtitle_samples import spoken

from mediafleet.domain.errors import InputError
from mediafleet.engines.recognition import Word
from mediafleet.kinds.subtitle.bilingual import make_bilingual
from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.formats import (
    Format,
    Style,
    Transcript,
    has_looks,
    read_cues,
    write_cues,
)
from mediafleet.kinds.subtitle.rules import Preset, rules_for
from mediafleet.kinds.subtitle.segment import segment
from mediafleet.testing import run_ffmpeg

WORDS = spoken(
    "When the rain had stopped, they went home. Nobody had seen the letter, which lay beneath the old piano."
)
STORY = Transcript(
    "en", tuple(segment(WORDS, rules_for(Preset.NETFLIX, "en"), language="en")), tuple(WORDS), is_drafty=True
)
TIMED = [Format.SRT, Format.VTT, Format.ASS, Format.TTML, Format.DFXP, Format.SUB, Format.TSV, Format.JSON]
CLOCK_MS = {Format.ASS: 10, Format.SUB: 21}
"""How far a format rounds times."""


def back(form: Format, transcript: Transcript = STORY) -> Transcript:
    return read_cues(write_cues(transcript, form).encode(), name=f"film.{form}")


@pytest.mark.parametrize("form", TIMED)
def test_what_was_written_is_read_again(form: Format) -> None:
    read = back(form)
    assert [" ".join(cue.lines) for cue in read.cues] == [" ".join(cue.lines) for cue in STORY.cues]
    for before, after in zip(STORY.cues, read.cues, strict=True):
        assert abs(before.start_ms - after.start_ms) <= CLOCK_MS.get(form, 0)
        assert abs(before.end_ms - after.end_ms) <= CLOCK_MS.get(form, 0)


@pytest.mark.parametrize("form", [Format.SRT, Format.VTT, Format.ASS, Format.TTML])
def test_lines_stay_lines(form: Format) -> None:
    assert [cue.lines for cue in back(form).cues] == [cue.lines for cue in STORY.cues]


@pytest.mark.parametrize(("language", "line"), [("zh", "雨停了他们就回家。"), ("en", "雨停了 他们就回家。")])
def test_lines_of_scripts_without_blanks_are_joined_without_one(language: str, line: str) -> None:
    transcript = Transcript(language, (Cue(0, 2000, ("雨停了", "他们就回家。"), speaker="Li"),))
    assert write_cues(transcript, Format.TXT) == f"Li: {line}\n"
    assert write_cues(transcript, Format.TSV).splitlines()[1] == f"0\t2000\t{line}"
    assert write_cues(transcript, Format.LRC).splitlines()[0] == f"[00:00.00]{line}"


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    "form", [form for form in TIMED if form not in {Format.TSV, Format.JSON, Format.TTML, Format.DFXP}]
)
async def test_ffmpeg_opens_files_of_however_few_cues(tmp_path: Path, form: Format, count: int) -> None:
    cues = tuple(Cue(2000 * at, 2000 * at + 1500, (f"Line {at}",)) for at in range(count))
    source = tmp_path / f"few.{form}"
    source.write_text(write_cues(Transcript("en", cues), form), encoding="utf-8")
    await run_ffmpeg(["-i", str(source)], tmp_path / "out.srt")
    read = read_cues((tmp_path / "out.srt").read_bytes(), name="out.srt").cues
    assert [cue.lines for cue in read] == [cue.lines for cue in cues]
    assert [cue.lines for cue in read_cues(source.read_bytes(), name=source.name).cues] == [cue.lines for cue in cues]


def test_the_words_and_their_times_are_in_json() -> None:
    assert back(Format.JSON) == STORY


def test_lyrics_have_starts_and_go_away_at_the_end() -> None:
    text = write_cues(STORY, Format.LRC)
    assert text.splitlines()[0] == "[00:00.50]When the rain had stopped, they went home."
    assert text.splitlines()[-1].endswith("]")
    assert [cue.start_ms for cue in back(Format.LRC).cues] == [round(cue.start_ms, -1) for cue in STORY.cues]
    refrain = read_cues(b"[ar:Nobody]\n[00:10.5][01:10]La la\n[00:20.00]Other\n", name="song.lrc")
    assert [(cue.start_ms, cue.end_ms, cue.lines) for cue in refrain.cues] == [
        (10_500, 20_000, ("La la",)),
        (20_000, 70_000, ("Other",)),
        (70_000, 74_000, ("La la",)),
    ]


def test_text_alone_is_a_line_a_cue() -> None:
    assert write_cues(STORY, Format.TXT).splitlines()[0] == "When the rain had stopped, they went home."


def test_microdvd_counts_the_pictures_of_the_film() -> None:
    cue = Cue(1000, 3000, ("Two seconds.",))
    text = write_cues(Transcript("en", (cue,)), Format.SUB, Style(fps=Fraction(25)))
    assert "{25}{75}Two seconds." in text
    assert read_cues(text.encode(), name="film.sub").cues[0].end_ms == 3000, "it says its rate itself"


def test_karaoke_lights_up_word_by_word_for_as_long_as_the_cue() -> None:
    text = write_cues(STORY, Format.ASS, Style(is_karaoke=True))
    (event, *_) = pysubs2.SSAFile.from_string(text).events
    assert event.plaintext == "When the rain had stopped, they went home."
    lit = sum(int(part.partition("}")[0]) for part in event.text.split(r"{\k")[1:])
    assert lit * 10 == pytest.approx(STORY.cues[0].spoken_ms[1] - STORY.cues[0].start_ms, abs=20)


NASTY = [
    "{\\an8}up",
    "<b>bold</b>",
    "a --> b",
    "5 < 6 & 7",
    "\\N new",
    "[00:01.00]",
    "{1}{2}",
    "WEBVTT",
    "é ñ 漢字 🎬",
    "- {",
]


@pytest.mark.parametrize("form", [Format.SRT, Format.VTT, Format.ASS, Format.TTML, Format.SUB, Format.TSV, Format.JSON])
@pytest.mark.parametrize("words", NASTY)
def test_no_text_becomes_a_command(form: Format, words: str) -> None:
    transcript = Transcript("en", (Cue(1000, 2000, (words,)), Cue(3000, 4000, ("next",))))
    read = back(form, transcript)
    assert [cue.start_ms // 100 for cue in read.cues] == [10, 30]
    assert read.cues[1].lines == ("next",)
    shown = " ".join(read.cues[0].lines) if read.cues[0].start_ms // 100 == 10 else ""
    assert [mark for mark in words if mark.isalnum()] == [mark for mark in shown if mark.isalnum()] or "<b>" in words


@pytest.mark.parametrize("form", [*TIMED, Format.LRC])
def test_characters_that_nobody_can_see_are_left_out(form: Format) -> None:
    unseen = "\x00\x07\x1b\x7f\x9b\ufffe"
    read = back(
        form, Transcript("en", (Cue(1000, 2000, (f"a{unseen}b",), speaker=f"A{unseen}"), Cue(3000, 4000, ("c",))))
    )
    shown = "".join(line for cue in read.cues for line in cue.lines)
    assert shown == "abc"


@pytest.mark.parametrize("words", ["[00:09.00]", "[00:09.00] late", "say [00:09.00]", "[ar:Nobody]", "[[00:09]]"])
def test_no_text_becomes_a_time_of_lrc(words: str) -> None:
    read = back(Format.LRC, Transcript("en", (Cue(1000, 2000, (words,)), Cue(3000, 4000, ("next",)))))
    assert [(cue.start_ms, cue.lines) for cue in read.cues] == [
        (1000, (re.sub(r"\[([^\[\]]*)\]", r"(\1)", words),)),
        (3000, ("next",)),
    ]


def test_a_film_of_a_day_has_its_times_in_ass() -> None:
    late = Transcript("en", (Cue(86_400_000, 86_402_500, ("Good night.",)),))
    text = write_cues(late, Format.ASS)
    assert "Dialogue: 0,24:00:00.00,24:00:02.50," in text
    assert read_cues(text.encode(), name="film.ass").cues[0].start_ms == 86_400_000


def test_a_line_of_a_json_file_that_is_two_is_two() -> None:
    evil = Transcript("en", (Cue(1000, 2000, ("a\n\n9\n00:00:05,000 --> 00:00:09,000\nb",), speaker="Bo\nb"),))
    cues = read_cues(write_cues(evil, Format.JSON).encode(), name="film.json").cues
    assert cues == (Cue(1000, 2000, ("a", "9", "00:00:05,000 --> 00:00:09,000", "b"), speaker="Bo b"),)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("film.json", '{"language":"en","cues":[],"words":[{"text":"a","start_s":1e300,"end_s":1e308}]}'),
        ("film.json", '{"language":"en","x":' + "[" * 100_000),
        ("film.sub", "{1}{1}25\n{1" + "0" * 400 + "}{2" + "0" * 400 + "}hi"),
        (
            "film.ttml",
            '<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="1s" end="3s">' + "<span>" * 3_000 + "x",
        ),
    ],
    ids=["times", "nested", "numbers", "tags"],
)
def test_what_no_program_can_count_is_refused(name: str, content: str) -> None:
    with pytest.raises(InputError, match="cannot be read as subtitles"):
        read_cues(content.encode(), name=name)


def test_two_languages_stand_in_one_file() -> None:
    spanish = Transcript("es", tuple(Cue(c.start_ms, c.end_ms, ("Hola.",)) for c in STORY.cues))
    both = make_bilingual(STORY, spanish)
    assert both.cues[0].lines == ("When the rain had stopped, they went home.", "Hola.")
    assert both.language == "en+es"


def test_a_cue_without_a_translation_stands_alone() -> None:
    spanish = Transcript("es", tuple(Cue(c.start_ms, c.end_ms, ("Hola.",)) for c in STORY.cues[1:]))
    both = make_bilingual(STORY, spanish)
    assert both.cues[0].lines == STORY.cues[0].lines
    assert both.cues[1].lines == (*STORY.cues[1].lines, "Hola.")


@pytest.mark.parametrize(
    ("content", "name", "what"),
    [
        (b"", "a.srt", "cannot be read as subtitles"),
        (b"\x00\x01\x02" * 50, "a.srt", "cannot be read as subtitles"),
        (b"WEBVTT\n\n", "a.vtt", "holds no subtitles"),
        (b"{}", "a.json", "cannot be read as subtitles"),
        (b"start\tend\ttext\nx\ty\tz\n", "a.tsv", "cannot be read as subtitles"),
        (b"<tt xmlns='http://www.w3.org/ns/ttml'><body>", "a.ttml", "cannot be read as subtitles"),
        (b"no times at all", "a.lrc", "holds no subtitles"),
    ],
)
def test_what_is_no_subtitle_file_is_said_so(content: bytes, name: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        read_cues(content, name=name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_old_files_are_read_in_their_encoding(encoding: str) -> None:
    text = write_cues(Transcript("es", (Cue(0, 1000, ("¿Dónde está el niño?",)),)), Format.SRT)
    assert read_cues(text.encode(encoding), name="a.srt").cues[0].lines == ("¿Dónde está el niño?",)


@given(st.binary(max_size=400), st.sampled_from([*Format, "xyz", ""]))
def test_no_bytes_do_more_than_be_refused(content: bytes, ending: str) -> None:
    with suppress(InputError):
        assert read_cues(content, name=f"film.{ending}").cues


def test_a_cue_that_became_two_in_translation_has_both_below_it() -> None:
    one = Transcript("en", (Cue(0, 6_000, ("Long.",)), Cue(7_000, 8_000, ("Next.",))))
    two = Transcript("es", (Cue(0, 2_900, ("Uno.",)), Cue(3_000, 6_000, ("Dos.",)), Cue(7_000, 8_000, ("Otro.",))))
    assert [cue.lines for cue in make_bilingual(one, two).cues] == [("Long.", "Uno.", "Dos."), ("Next.", "Otro.")]


NETFLIX = rules_for(Preset.NETFLIX, "en"), rules_for(Preset.NETFLIX, "es")
LONG = "The letter lay beneath the old piano,", "and nobody had ever seen it there."


@pytest.mark.parametrize(
    ("above", "below", "lines"),
    [
        (("A letter", "for you."), ("Una carta", "para ti."), ("A letter for you.", "Una carta para ti.")),
        (LONG, ("Una carta", "para ti."), (*LONG, "Una carta para ti.")),
        (LONG, LONG, (*LONG, *LONG)),
        # A part that became two cues has two lines again, where it fits.
        (("Long.",), ("Uno dos tres.", "Cuatro cinco.", "Seis siete ocho.", "Nueve."), None),
        # And stays as it is where it does not.
        (("Long.",), (*LONG, *LONG), ("Long.", *LONG, *LONG)),
        # What two people say is never put into one line.
        (("- Who?", "- Me."), ("– ¿Quién?", "– Yo."), ("- Who?", "- Me.", "– ¿Quién?", "– Yo.")),
    ],
)
def test_a_language_has_one_line_where_it_fits_else_two(
    above: tuple[str, ...], below: tuple[str, ...], lines: tuple[str, ...] | None
) -> None:
    one, two = Transcript("en", (Cue(0, 6_000, above),)), Transcript("es", (Cue(0, 6_000, below),))
    made = make_bilingual(one, two, NETFLIX).cues[0].lines
    if lines is None:
        assert len(made) == 3
        assert " ".join(made[1:]) == " ".join(below)
    else:
        assert made == lines
    # Without rules nothing is moved.
    assert make_bilingual(one, two).cues[0].lines == above + below


def test_a_script_without_spaces_is_joined_without_any() -> None:
    one = Transcript("ja", (Cue(0, 6_000, ("雨が", "止んだ。")),))
    two = Transcript("en", (Cue(0, 6_000, ("The rain", "stopped.")),))
    rules = rules_for(Preset.NETFLIX, "ja"), rules_for(Preset.NETFLIX, "en")
    assert make_bilingual(one, two, rules).cues[0].lines == ("雨が止んだ。", "The rain stopped.")


def test_karaoke_waits_for_words_that_come_late() -> None:
    words = (Word("one", 0.5, 1.0), Word("two", 2.4, 3.0))
    text = write_cues(
        Transcript("en", (Cue(0, 3_000, ("one two",), words=(0, 2)),), words), Format.ASS, Style(is_karaoke=True)
    )
    assert r"{\k50}{\k50}one {\k140}{\k60}two" in text


def test_the_name_of_a_speaker_cannot_begin_a_line() -> None:
    text = write_cues(Transcript("en", (Cue(0, 900, ("x",), speaker="A\nDialogue: 0,evil"),)), Format.ASS)
    assert "\nDialogue: 0,evil" not in text


def test_times_that_cannot_be_are_left_out() -> None:
    text = "1\n00:00:05,000 --> 00:00:04,000\nBack.\n\n2\n00:00:06,000 --> 00:00:07,000\nRight.\n"
    assert [cue.lines for cue in read_cues(text.encode(), name="a.srt").cues] == [("Right.",)]


@pytest.mark.parametrize("form", [Format.SRT, Format.VTT, Format.ASS, Format.TTML, Format.TSV])
def test_what_is_read_back_keeps_to_the_rules_as_well(form: Format) -> None:
    rules = rules_for(Preset.NETFLIX, "en")
    words = spoken("Nobody had seen the letter. " * 30, chars_per_s=13.7)
    story = Transcript("en", tuple(segment(words, rules, language="en")))
    read = read_cues(write_cues(story, form).encode(), name=f"a.{form}")
    assert [(cue.start_ms, cue.end_ms) for cue in read.cues] == [(cue.start_ms, cue.end_ms) for cue in story.cues]


@pytest.mark.parametrize("form", [Format.VTT, Format.TTML, Format.TSV, Format.JSON])
def test_angles_and_ampersands_are_text(form: Format) -> None:
    cue = Cue(0, 1_000, ("a <3 b & c",), (0, 1_000))
    read = read_cues(write_cues(Transcript("en", (cue,)), form).encode(), name=f"a.{form}")
    assert read.cues[0].lines == cue.lines


def test_an_arrow_that_is_said_is_no_line_of_times() -> None:
    text = write_cues(Transcript("en", (Cue(0, 1_000, ("a --> b",)),)), Format.SRT)
    assert text.count("-->") == 1


@pytest.mark.parametrize(
    "text",
    [
        "1\n00:00:01,000 --> 00:00:02,000\n<i>Thinking.</i>\n",
        "1\n00:00:01,000 --> 00:00:02,000\n{\\an8}Above.\n",
        "WEBVTT\n\n00:01.000 --> 00:02.000 line:10% align:start\nAbove.\n",
        "WEBVTT\n\n00:01.000 --> 00:02.000\n<c.yellow>Yellow.</c>\n",
        "[V4+ Styles]\nStyle: Default,Arial,20\nStyle: Sign,Arial,40\n",
        "Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\pos(10,20)}Sign\n",
        '<p begin="1s" end="2s"><span tts:fontStyle="italic">x</span></p>',
        "{24}{48}{y:i}Thinking.\n",
    ],
)
def test_what_cues_do_not_hold_is_found(text: str) -> None:
    assert has_looks(text.encode())


@pytest.mark.parametrize("form", [form for form in Format if form is not Format.JSON])
def test_files_of_our_own_have_nothing_that_cues_do_not_hold(form: Format) -> None:
    cue = Cue(0, 2_000, ("a < b, <3 and {so} on", r"C:\new"), (0, 2_000), speaker="Ann")
    assert not has_looks(write_cues(Transcript("en", (cue,)), form, Style(is_karaoke=form is Format.ASS)).encode())


def test_a_comma_in_a_name_does_not_end_up_in_the_text() -> None:
    text = write_cues(Transcript("en", (Cue(0, 900, ("Yes.",), speaker="Smith, Anna"),)), Format.ASS)
    (event,) = pysubs2.SSAFile.from_string(text).events
    assert (event.name, event.text) == ("Smith Anna", "Yes.")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", b"start\tend\ttext\n0\t900\tyes\n2000\t1000\tno\n-5\t100\tno\n5\t%s\tno\n" % (b"9" * 30)),
        (
            "a.json",
            (
                b'{"language":"en","cues":[{"start_ms":0,"end_ms":900,"lines":["yes"]},'
                b'{"start_ms":2000,"end_ms":1000,"lines":["no"]}]}'
            ),
        ),
    ],
)
def test_times_that_no_film_has_are_left_out_of_every_format(name: str, content: bytes) -> None:
    assert [(cue.start_ms, cue.end_ms, cue.lines) for cue in read_cues(content, name=name).cues] == [(0, 900, ("yes",))]


def test_a_file_of_nothing_but_such_times_holds_no_subtitles() -> None:
    with pytest.raises(InputError, match="holds no subtitles"):
        read_cues(b"start\tend\ttext\n2000\t1000\tno\n", name="a.tsv")
