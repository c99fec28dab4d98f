"""Header fields of downloads."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.doors.http.content import (
    Span,
    UnsatisfiableRange,
    content_disposition,
    entity_tag,
    matches,
    parse_range,
    range_applies,
)

HASH = "ab" * 32


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=2-5", Span(2, 4)),
        ("bytes=5-", Span(5, 5)),
        ("bytes=-3", Span(7, 3)),
        ("bytes=-99", Span(0, 10)),
        ("bytes=8-99", Span(8, 2)),
        ("BYTES=0-1", Span(0, 2)),
        ("bytes=-", None),
        ("bytes=5-2", None),
        ("bytes=0-1,4-5", None),
        ("lines=1-2", None),
        ("bytes=٣-٤", None),
        ("nonsense", None),
    ],
)
def test_a_range_names_bytes_of_the_artifact_or_is_ignored(header: str, span: Span | None) -> None:
    assert parse_range(header, 10) == span


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=99-100", 10), ("bytes=-0", 10), ("bytes=0-", 0)]
)
def test_a_range_without_any_byte_cannot_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(UnsatisfiableRange):
        parse_range(header, size)


@given(st.text(max_size=40), st.integers(0, 1000))
def test_whatever_is_asked_a_span_lies_inside_the_artifact(header: str, size: int) -> None:
    try:
        span = parse_range("bytes=" + header, size)
    except UnsatisfiableRange:
        return
    if span:
        assert span.length >= 1
        assert 0 <= span.start < span.start + span.length <= size


def test_a_part_says_where_it_lies() -> None:
    assert Span(2, 4).content_range(10) == "bytes 2-5/10"


def test_a_hash_is_the_entity_tag_and_anything_else_is_none() -> None:
    assert entity_tag(HASH) == f'"{HASH}"'
    assert entity_tag("") == ""
    assert entity_tag('x"\r\nEvil: 1') == ""


def test_a_range_counts_only_for_the_version_the_client_has() -> None:
    tag = entity_tag(HASH)
    assert range_applies("", tag)
    assert range_applies(tag, tag)
    assert not range_applies("W/" + tag, tag)
    assert not range_applies("Sat, 29 Oct 1994 19:43:31 GMT", tag)
    assert not range_applies('""', "")


def test_a_client_that_names_the_tag_has_the_bytes() -> None:
    tag = entity_tag(HASH)
    assert matches(tag, tag)
    assert matches(f'"other", W/{tag}', tag)
    assert matches("*", tag)
    assert not matches('"other"', tag)
    assert not matches("", tag)
    assert not matches("*", "")


@pytest.mark.parametrize(
    ("name", "plain", "exact"),
    [
        ("a.mkv", "a.mkv", "a.mkv"),
        ('say "hi".mkv', "say _hi_.mkv", 'say "hi".mkv'),
        ("Übung 東京.mkv", "_bung __.mkv", "Übung 東京.mkv"),
        ("a\r\nSet-Cookie: x=1.mkv", "aSet-Cookie_ x=1.mkv", "aSet-Cookie: x=1.mkv"),
        ("../../etc/passwd", ".._.._etc_passwd", ".._.._etc_passwd"),
        ("\u202egpj.exe", "gpj.exe", "gpj.exe"),
        ("\n", "download", "download"),
    ],
)
def test_a_download_is_saved_under_its_name_whatever_characters_it_has(name: str, plain: str, exact: str) -> None:
    value = content_disposition(name)
    assert f'filename="{plain}"' in value
    assert unquote(value.partition("UTF-8''")[2]) == exact


@given(st.text(max_size=300))
def test_no_name_can_break_out_of_its_header(name: str) -> None:
    value = content_disposition(name)
    assert re.fullmatch(r"attachment; filename=\"[ -!#-~]+\"; filename\*=UTF-8''[A-Za-z0-9%._~-]+", value)
