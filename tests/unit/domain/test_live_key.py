"""Keys of live work: the same for the same piece, and for no other."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.job import Submission
from mediafleet.domain.live_key import LONGEST_KEY, live_key
from mediafleet.kinds.noop import KIND
from mediafleet.scheduler.accept import check_submission

words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=120)
pieces = st.tuples(words, words, st.integers(0, 10**6), st.lists(words | st.integers(), max_size=3))


def key_of(piece: tuple[str, str, int, list[str | int]]) -> str:
    tenant, session, index, parts = piece
    return live_key(tenant, session, index, *parts)


@given(pieces)
def test_any_piece_has_a_key_that_a_submission_takes(piece: tuple[str, str, int, list[str | int]]) -> None:
    key = key_of(piece)
    assert re.fullmatch(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}", key)
    check_submission(Submission("noop", idempotency_key=key), KIND)
    assert key == key_of(piece), "whoever builds it"


def as_text(piece: tuple[str, str, int, list[str | int]]) -> tuple[str, ...]:
    tenant, session, index, parts = piece
    return (tenant, session, str(index), *map(str, parts))


@given(pieces, pieces)
def test_two_pieces_share_no_key(
    one: tuple[str, str, int, list[str | int]], other: tuple[str, str, int, list[str | int]]
) -> None:
    assert (key_of(one) == key_of(other)) == (as_text(one) == as_text(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("t", "a/b", 1, "c"), ("t", "a", 1, "b", "c")),
        (("t", "s", 1, "es", "fr"), ("t", "s", 1, "es/fr")),
        (("t", "s", 12), ("t", "s", 1, "2")),
        (("t", "s" * 500, 1), ("t", "s" * 500, 2)),
        (("t", "s" * 500, 1, "a"), ("t", "s" * 501, 1, "a")),
    ],
)
def test_parts_do_not_run_into_each_other(one: tuple[str, str, int], other: tuple[str, str, int]) -> None:
    assert live_key(*one) != live_key(*other)


def test_a_short_key_can_be_read() -> None:
    assert live_key("studio", "s0-abc", 7, "translate", "es") == "live/studio/s0-abc/7/translate/es"


@pytest.mark.parametrize("piece", [("", "s", 0), ("t", "", 0), ("t", "s", -1)])
def test_what_is_no_piece_has_no_key(piece: tuple[str, str, int]) -> None:
    with pytest.raises(InvalidRequest, match="tenant, its session and an index"):
        live_key(*piece)
