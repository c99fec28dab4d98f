"""What is said of all files of a command together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.cli._item import Item, Phase
from mediafleet.cli._total import standing, total_eta_ms, total_line


def item(phase: Phase, **changes: Any) -> Item:
    one = Item(Path("a.mkv"), Path("a"), phase=phase)
    for name, value in changes.items():
        setattr(one, name, value)
    return one


@pytest.mark.parametrize(
    ("one", "word"),
    [
        (item(Phase.WAITING), "waiting"),
        (item(Phase.UPLOADING), "uploading"),
        (item(Phase.WORKING, status="uploading", stage="fetching"), "uploading"),
        (item(Phase.WORKING, status="pending"), "waiting"),
        (item(Phase.WORKING, status="paused"), "waiting"),
        (item(Phase.WORKING, status="processing", stage="encoding"), "processing"),
        (item(Phase.FETCHING, status="completed"), "processing"),
        (item(Phase.OVER, status="completed"), "done"),
        (item(Phase.OVER, status="failed"), "failed"),
        (item(Phase.OVER, status="cancelled"), "failed"),
    ],
)
def test_each_file_counts_as_one_thing(one: Item, word: str) -> None:
    assert standing(one) == word


def test_files_of_which_nothing_was_heard_wait() -> None:
    seen = [item(Phase.OVER, status="completed"), item(Phase.UPLOADING), item(Phase.WORKING, status="processing")]
    assert total_line(seen, count=20) == "1 done, 1 uploading, 1 processing, 17 waiting"
    assert total_line([], count=2) == "2 waiting"


def test_all_go_on_as_fast_as_so_far_and_end_no_sooner_than_any_of_them() -> None:
    assert total_eta_ms([], done=1.0, count=4, took_ms=1_000) == 3_000
    slow = item(Phase.WORKING, eta_ms=60_000)
    assert total_eta_ms([slow], done=1.0, count=4, took_ms=1_000) == 60_000
    assert total_eta_ms([slow], done=0.0, count=4, took_ms=1_000) is None, "nothing was measured"


@given(st.floats(0.01, 50), st.floats(0, 50), st.floats(1, 1e9))
def test_it_is_never_below_nothing_and_never_later_for_more_that_is_done(done: float, more: float, took: float) -> None:
    before, after = (total_eta_ms([], done=one, count=50, took_ms=took) for one in (done, done + more))
    assert before is not None
    assert after is not None
    assert 0 <= after <= before
