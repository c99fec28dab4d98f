"""Whatever a name holds, it is shown on one line and does nothing to a terminal."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.cli._text import aligned, duration_text, printable, size_text, utf8


@given(st.text())
def test_no_control_character_is_ever_printed(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in shown)
    shown.encode()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain é 漢.mp4", "plain é 漢.mp4"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("right\u202eleft", "right\\u202eleft"),
        ("tag\U000e0041", "tag\\U000e0041"),
        (os.fsdecode(b"\xff.mp4"), "\\udcff.mp4"),
    ],
)
def test_what_acts_on_a_terminal_is_written_as_an_escape(raw: str, shown: str) -> None:
    assert printable(raw) == shown


def test_a_foreign_name_can_be_sent_as_utf8() -> None:
    assert utf8(os.fsdecode(b"a\xff.mp4")) == "a?.mp4"


@pytest.mark.parametrize(
    ("size", "shown"), [(-1, "?"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
)
def test_sizes_are_for_people(size: int, shown: str) -> None:
    assert size_text(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (8.26, "8.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1:00"),
        (125, "2:05"),
        (3599.6, "1:00:00"),
        (3725, "1:02:05"),
    ],
)
def test_lengths_of_time_are_for_people(seconds: float, shown: str) -> None:
    assert duration_text(seconds) == shown


def test_columns_are_aligned_without_blanks_at_the_end() -> None:
    assert aligned([("A", "B"), ("long", "x")]) == ["A     B", "long  x"]
