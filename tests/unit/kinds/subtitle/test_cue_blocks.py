"""Text under two lines of times is what players show there, and nothing else."""

from __future__ import annotations

import pytest

from mediafleet.domain.errors import InputError
from mediafleet.kinds.subtitle.cue_blocks import MOST_CHARS
from mediafleet.kinds.subtitle.formats import has_looks, read_cues


def texts(content: str, name: str) -> list[str]:
    return ["|".join(cue.lines) for cue in read_cues(content.encode(), name=name).cues]


WEBVTT = """WEBVTT - a header

STYLE
::cue { color: red }

NOTE a comment
over two lines

first-cue
00:01.000 --> 00:02.000 align:start
It happened in
1984

3f1c-aa/2-0
00:00:03.000 --> 00:00:04.000
Goodbye.

NOTE
00:09.000 --> 00:10.000 was taken out

00:05.000 --> 00:06.000
No id.
00:06.500 --> 00:07.000
No empty line.
"""


def test_identifiers_comments_and_styles_of_webvtt_are_no_text() -> None:
    assert texts(WEBVTT, "film.vtt") == ["It happened in|1984", "Goodbye.", "No id.", "No empty line."]


@pytest.mark.parametrize(
    "content",
    [
        "1\n00:00:01,000 --> 00:00:02,000\nIn\n1984\n\n2\n00:00:03,000 --> 00:00:04,000\nIn\n1999",
        "1\n00:00:01,000 --> 00:00:02,000\nIn\n1984\n2\n00:00:03,000 --> 00:00:04,000\nIn\n1999\n\n\n",
        "00:00:01,000 --> 00:00:02,000\nIn\n1984\n\n00:00:03,000 --> 00:00:04,000\nIn\n1999\n",
        "1\r\n00:00:01,000 --> 00:00:02,000\r\nIn\r\n\r\n1984\r\n\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\nIn\r\n1999\r\n",
    ],
    ids=["usual", "no empty lines", "no numbers", "empty line in a cue"],
)
def test_a_number_that_somebody_says_is_not_taken_for_that_of_a_cue(content: str) -> None:
    assert texts(content, "film.srt") == ["In|1984", "In|1999"]


def test_a_cue_without_text_is_none() -> None:
    content = "1\n00:00:01,000 --> 00:00:02,000\n\n2\n00:00:03,000 --> 00:00:04,000\nHi.\n"
    assert texts(content, "film.srt") == ["Hi."]


@pytest.mark.timeout(60)  # What grows with the square would take hours.
@pytest.mark.parametrize("part", ["<p ", "-->", "<a", "<i>"])
def test_text_without_end_is_refused_at_once(part: str) -> None:
    content = f"1\n00:00:01,000 --> 00:00:03,000\na{part * 500_000}b\n".encode()
    assert has_looks(content) == (part == "<i>")
    with pytest.raises(InputError, match=f"more than {MOST_CHARS:,} characters"):
        read_cues(content, name="film.srt")


def test_text_without_end_is_refused_in_any_format() -> None:
    with pytest.raises(InputError, match="which is no subtitle"):
        read_cues(f"start\tend\ttext\n1\t1000\t{'x' * 6_000}\n".encode(), name="film.tsv")


def test_lines_may_end_as_on_old_computers() -> None:
    assert texts("1\r00:00:01,000 --> 00:00:02,000\rHi.\r\r", "film.srt") == ["Hi."]


@pytest.mark.timeout(60)
def test_empty_lines_without_end_are_none() -> None:
    assert texts("1\n00:00:01,000 --> 00:00:03,000\na" + "\n" * 500_000 + "b", "film.srt") == ["a|b"]
