"""Whether a film is shared out, and in how many chunks: by what is free, what waits, and what the encoder gains."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transcode_samples import survey

from mediafleet.domain.room import FreeSlots, Room
from mediafleet.kinds.transcode.chunks import Chunk
from mediafleet.kinds.transcode.split import Sharing, Survey, costliest_first, count_chunks, join_units, usable_slots

ENCODER = "encoder:libx264"


def room(*slots: int, waiting: int = 0, capability: str = ENCODER) -> Room:
    """One node for each number of free slots."""
    return Room(tuple(FreeSlots(f"n0-{n}", (capability,), free) for n, free in enumerate(slots)), waiting)


def chunks(found: Survey, here: Room, sharing: Sharing = Sharing.AUTO, encoder: str = "libx264") -> int:
    return count_chunks(found, sharing, here, encoder=encoder, capabilities=(ENCODER,))


def test_each_free_slot_gets_about_four_chunks() -> None:
    assert chunks(survey(), room(2, 1)) == 12


@pytest.mark.parametrize(
    ("seconds", "slots", "expected"),
    [
        (7, 2, 1),
        (8, 2, 2),
        (20, 8, 4),
        (60, 2, 8),
        (60, 4, 12),
        (60, 5, 10),
        (60, 8, 8),
        (60, 90, 12),
    ],
)
def test_a_short_film_has_as_many_chunks_for_each_slot_as_are_long_enough(
    seconds: int, slots: int, expected: int
) -> None:
    assert chunks(survey(seconds), room(slots)) == expected


@pytest.mark.parametrize(
    ("here", "why"),
    [
        (room(), "nothing is free"),
        (room(1), "one slot has nobody to share with"),
        (room(1, 1, waiting=2), "as many files wait as there are slots"),
        (room(4, capability="encoder:libx265"), "the nodes with room cannot do it"),
    ],
)
def test_a_file_stays_whole_where_chunks_gain_nothing(here: Room, why: str) -> None:
    assert chunks(survey(), here) == 1, why


def test_whoever_insists_gets_chunks_wherever_the_file_allows_it() -> None:
    busy = room(1, waiting=90)
    assert chunks(survey(), busy, Sharing.ALWAYS) == 4
    assert chunks(survey(), room(), Sharing.ALWAYS) == 4


def test_an_encoder_that_loses_by_sharing_a_machine_is_given_one_chunk_a_machine() -> None:
    by_node = {"n0-a": 4, "n0-b": 2}
    assert usable_slots("libx264", by_node) == usable_slots("libsvtav1", by_node) == 6
    assert usable_slots("libx265", by_node) == 2
    assert usable_slots("of-tomorrow", by_node) == 2
    assert chunks(survey(), room(4), encoder="libx265") == 1


@given(seconds=st.integers(8, 900), count=st.integers(1, 64))
def test_joined_units_are_the_film_in_order_and_long_enough(seconds: int, count: int) -> None:
    found = survey(seconds)
    joined = join_units(found, count)
    assert len(joined) <= count
    assert len(joined) == count or len(joined) > seconds / 6, "only the least length makes them fewer"
    assert [chunk.number for chunk in joined] == list(range(len(joined)))
    assert sum(chunk.frames for chunk in joined) == seconds * 25
    assert all(one.end == other.start and not one.is_last for one, other in pairwise(joined))
    assert (joined[0].start, joined[-1].is_last, joined[-1].end) == (0, True, found.units[-1].end)
    assert all((chunk.end - chunk.start) * Fraction(*found.time_base) >= 4 for chunk in joined)
    entries = {unit.start: unit for unit in found.units}
    assert all(entries[chunk.start].seek == chunk.seek for chunk in joined), "each is entered where its first unit is"


@given(seconds=st.integers(8, 900), count=st.integers(1, 64))
def test_joining_again_as_many_as_it_became_is_the_same(seconds: int, count: int) -> None:
    """The plan is asked again after each chunk, and then knows by their names how many there are."""
    found = survey(seconds)
    joined = join_units(found, count)
    assert join_units(found, len(joined)) == joined


@given(frames=st.lists(st.integers(1, 400), min_size=2, max_size=60), count=st.integers(2, 20))
def test_joined_units_are_about_equal_in_pictures(frames: list[int], count: int) -> None:
    units = tuple(Chunk(n, n, n, n + 1, pictures, is_last=n == len(frames) - 1) for n, pictures in enumerate(frames))
    # Four seconds each, so that no chunk is too short.
    found = msgspec.structs.replace(survey(8), units=units, time_base=(4, 1))
    sizes = [chunk.frames for chunk in join_units(found, count)]
    assert len(sizes) == min(count, len(units))
    share = Fraction(sum(frames), len(sizes))
    assert max(sizes) <= share + max(frames)


def test_long_and_heavy_chunks_come_first() -> None:
    def chunk(number: int, frames: int, size: int) -> Chunk:
        return Chunk(number, number, number, number + 1, frames, size=size)

    some = [chunk(0, 100, 10), chunk(1, 100, 30), chunk(2, 130, 10), chunk(3, 100, 10)]
    assert [one.number for one in costliest_first(some)] == [1, 2, 0, 3]
    unknown = [chunk(0, 90, 0), chunk(1, 100, 0)]
    assert [one.number for one in costliest_first(unknown)] == [1, 0]


def test_chunks_begin_at_key_pictures_that_are_near() -> None:
    found = survey(60, key_every=20)
    joined = join_units(found, 8)
    assert [chunk.preroll for chunk in joined] == [0] * 8
    assert any(unit.preroll for unit in found.units), "the finest cut has others, too"


def test_no_node_waits_long_for_the_chunk_of_another() -> None:
    """A key picture that is far off makes one chunk longer than all others, and everybody waits for its node."""
    found = survey(60, key_every=50)
    for slots in (4, 8):
        sizes = [chunk.frames for chunk in join_units(found, slots)]
        assert max(sizes) * slots <= 1500 * 1.07
