"""Where a source is cut: properties over any frame times, and the rules one by one."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.kinds.transcode.chunks import (
    MOST_UNITS,
    Chunk,
    NeedsWholeFile,
    likely_scene_cuts,
    plan_chunks,
    plan_units,
    seconds,
)
from mediafleet.kinds.transcode.index import FrameIndex

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"


def film(frames: int, *, gop: int = 25, ticks: int = 512) -> FrameIndex:
    """A film of 25 pictures a second whose key pictures come every so many pictures, decoded two pictures early."""
    pts = tuple(range(0, frames * ticks, ticks))
    return FrameIndex((1, 25 * ticks), pts, tuple((time, time - 2 * ticks) for time in pts[::gop]), ticks)


@st.composite
def sources(draw: st.DrawFn) -> FrameIndex:
    """Any picture times, also wildly uneven ones, from any start, on any clock."""
    base = draw(st.sampled_from([(1, 1000), (1, 90000), (1001, 30000), (1, 12800), (1, 30)]))
    gaps = draw(st.lists(st.integers(1, 3 * base[1]), min_size=1, max_size=300))
    pts = tuple(accumulate(gaps, initial=draw(st.integers(-(10**6), 10**9))))
    keys = draw(st.sets(st.sampled_from(pts))) | {pts[0]}
    early = draw(st.integers(0, base[1]))
    return FrameIndex(base, pts, tuple((key, key - early) for key in sorted(keys)), draw(st.integers(0, base[1])))


@given(
    index=sources(),
    slots=st.integers(1, 9),
    least_s=st.fractions(Fraction(1, 10), 20),
    demuxer=st.sampled_from([MP4, "mpegts"]),
)
def test_chunks_cover_the_source_in_order_and_none_is_too_short(
    index: FrameIndex, slots: int, least_s: Fraction, demuxer: str
) -> None:
    try:
        chunks = plan_chunks(index, slots=slots, least_s=least_s, demuxer=demuxer)
    except NeedsWholeFile:
        least = least_s / index.tick
        assert not any(index.pts[0] + least <= time <= index.end - least for time in index.pts)
        return
    assert chunks[0].start == index.pts[0]
    assert chunks[-1].end == index.end
    assert all(one.end == other.start for one, other in pairwise(chunks))
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert all(seconds(index, chunk) >= least_s for chunk in chunks)
    assert 2 <= len(chunks) <= 4 * slots
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


@given(index=sources(), slots=st.integers(1, 9))
def test_every_picture_is_in_exactly_one_chunk(index: FrameIndex, slots: int) -> None:
    try:
        chunks = plan_chunks(index, slots=slots, least_s=Fraction(1))
    except NeedsWholeFile:
        return
    for chunk in chunks:
        inside = [time for time in index.pts if chunk.start <= time < chunk.end]
        assert (inside[0], inside[-1], len(inside)) == (chunk.start, chunk.last, chunk.frames)
    assert sum(chunk.frames for chunk in chunks) == len(index.pts)


@given(index=sources(), demuxer=st.sampled_from([MP4, "mpegts"]))
def test_no_chunk_is_entered_behind_the_key_picture_it_needs(index: FrameIndex, demuxer: str) -> None:
    try:
        chunks = plan_chunks(index, slots=4, least_s=Fraction(1), demuxer=demuxer)
    except NeedsWholeFile:
        return
    for chunk in chunks:
        needed = max((key for key in index.keys if key[0] <= chunk.start), default=index.keys[0])
        later = [decoded for shown, decoded in index.keys if shown > needed[0]]
        # A demuxer goes to the last key picture that is not after the place, by one of its two times.
        assert chunk.seek is None or all(chunk.seek < decoded for decoded in later if decoded > needed[1])
        assert chunk.preroll == sum(needed[0] <= time < chunk.start for time in index.pts)


def cuts(chunks: tuple[Chunk, ...], index: FrameIndex) -> list[int]:
    """Return which pictures chunks begin with, the first left out."""
    return [index.pts.index(chunk.start) for chunk in chunks[1:]]


def test_there_are_four_chunks_for_each_slot() -> None:
    index = film(25 * 160)
    assert [chunk.frames for chunk in plan_chunks(index, slots=2, demuxer=MP4)] == [500] * 8
    assert len(plan_chunks(index, slots=100, demuxer=MP4)) == 40  # of four seconds each


def test_a_cut_goes_to_a_scene_near_by_rather_than_to_a_key_picture() -> None:
    index = film(1000)
    near = plan_chunks(index, slots=1, scene_cuts=[index.pts[237], index.pts[20]], demuxer=MP4)
    assert cuts(near, index)[0] == 237
    assert near[1].preroll == 12
    assert cuts(plan_chunks(index, slots=1, scene_cuts=[], demuxer=MP4), index) == [250, 500, 750]


def test_times_of_no_picture_are_no_scenes() -> None:
    index = film(1000)
    assert cuts(plan_chunks(index, slots=1, scene_cuts=[index.pts[240] + 1, 10**9], demuxer=MP4), index)[0] == 250


def test_a_key_picture_out_of_the_rhythm_begins_a_scene() -> None:
    index = film(1000, gop=100)
    keys = tuple(sorted({*index.keys, (index.pts[230], index.pts[228])}))
    uneven = msgspec.structs.replace(index, keys=keys)
    # It also shortens the way to the next one, which is taken for a scene as well: at worst a cut at a key picture.
    assert likely_scene_cuts(uneven) == (index.pts[230], index.pts[300])
    assert likely_scene_cuts(index) == ()
    assert cuts(plan_chunks(uneven, slots=1, demuxer=MP4), index)[0] == 230


def test_rare_key_pictures_make_fewer_chunks() -> None:
    index = film(25 * 60, gop=25 * 60)
    chunks = plan_chunks(index, slots=2, demuxer=MP4)
    assert [chunk.preroll for chunk in chunks] == [0, 750]


def test_pictures_are_shared_out_evenly_where_the_rate_varies() -> None:
    slow, fast = [512 * 25 * n for n in range(20)], [512 * 500 + 128 * n for n in range(2000)]
    index = FrameIndex((1, 12800), tuple(slow + fast), tuple((time, time) for time in (*slow, *fast[::10])), 128)
    frames = [chunk.frames for chunk in plan_chunks(index, slots=1, demuxer=MP4)]
    assert max(frames) - min(frames) <= 250


def test_indexed_formats_are_entered_just_behind_the_key_picture_others_a_second_before() -> None:
    index = film(1000, gop=250)
    # FFmpeg goes 3/23 s ahead of the place by itself, and would else decode the whole group before.
    assert [chunk.seek for chunk in plan_chunks(index, slots=1, demuxer=MP4)[1:]] == [
        index.pts[place] + 1792 for place in (250, 500, 750)
    ]
    assert [chunk.seek for chunk in plan_chunks(index, slots=1, demuxer="mpegts")[1:]] == [
        index.pts[place - 2 - 25] for place in (250, 500, 750)
    ]


def test_an_entry_never_reaches_the_next_key_picture() -> None:
    index = film(1000, gop=1)
    assert all(chunk.seek == chunk.start - 512 - 1 for chunk in plan_chunks(index, slots=1, demuxer=MP4)[1:])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"broken": "I/O error"}, "reading stops early"),
        ({"untimed": 3}, "3 pictures"),
        ({"keys": ()}, "no picture"),
        ({"pts": ()}, "no picture"),
        ({"pts": (0, 512, 512, 1024)}, "the same time"),
        ({"pts": (0, 512)}, "too short"),
    ],
)
def test_a_source_that_cannot_be_cut_is_left_whole(changes: dict[str, object], words: str) -> None:
    with pytest.raises(NeedsWholeFile, match=words):
        plan_chunks(msgspec.structs.replace(film(1000), **changes), slots=2)


def test_the_last_picture_stays_as_long_as_the_one_before_where_nobody_says() -> None:
    assert FrameIndex(pts=(0, 40, 100)).end == 160
    assert FrameIndex(pts=(0, 40, 100), last_duration=25).end == 125
    assert FrameIndex(pts=(7,)).end == 8


# --- the finest cut --------------------------------------------------------------------------


@given(index=sources(), demuxer=st.sampled_from([MP4, "mpegts"]))
def test_the_finest_cut_is_the_source_in_order_and_decodes_little_in_vain(index: FrameIndex, demuxer: str) -> None:
    units = plan_units(index, demuxer=demuxer)
    assert (units[0].start, units[-1].end, units[-1].is_last) == (index.pts[0], index.end, True)
    assert all(one.end == other.start for one, other in pairwise(units))
    assert sum(unit.frames for unit in units) == len(index.pts)
    assert sum(unit.preroll for unit in units) <= len(index.pts)
    assert len(units) <= MOST_UNITS


def test_it_is_cut_at_each_key_picture_and_between_those_far_apart() -> None:
    units = plan_units(film(500, gop=40), demuxer=MP4)
    assert {unit.start for unit in units} >= {time * 512 for time in range(0, 480, 40)}
    units = plan_units(film(500, gop=100), demuxer=MP4)
    assert [unit.frames for unit in units] == [50] * 10, "a second apart would decode more in vain than it keeps"


def test_a_film_with_one_key_picture_is_cut_no_finer_than_is_worth_while() -> None:
    units = plan_units(film(500, gop=500), demuxer=MP4)
    assert 1 <= len(units) <= 3


def test_it_tells_where_scenes_seem_to_begin() -> None:
    pts = tuple(range(300))
    keys = tuple((time, time) for time in (0, 50, 100, 137, 187, 237, 287))
    units = plan_units(FrameIndex((1, 25), pts, keys, 1), demuxer=MP4)
    assert [unit.start for unit in units if unit.is_scene] == [137]
