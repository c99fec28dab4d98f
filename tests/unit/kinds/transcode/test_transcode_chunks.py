"""Where a source is cut: properties over any frame times, and the rules one by one."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transcode_samples import media, video

from mediafleet.kinds.transcode.chunks import (
    LEAST_S,
    MOST_UNITS,
    UNIT_S,
    Chunk,
    NeedsWholeFile,
    likely_scene_cuts,
    plan_units,
)
from mediafleet.kinds.transcode.index import FrameIndex
from mediafleet.kinds.transcode.split import even_count, join_units, make_survey

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


def chunks_of(
    index: FrameIndex, *, slots: int = 1, least_s: Fraction = LEAST_S, demuxer: str = MP4
) -> tuple[Chunk, ...]:
    """Return the chunks of a film for so many slots."""
    about = msgspec.structs.replace(media(video()), format=demuxer)
    found = make_survey(about, index, unit_s=min(UNIT_S, least_s))
    return join_units(found, even_count(found, slots, least_s=least_s), least_s=least_s)


def cuts(chunks: tuple[Chunk, ...], index: FrameIndex) -> list[int]:
    """Return which pictures chunks begin with, the first left out."""
    return [index.pts.index(chunk.start) for chunk in chunks[1:]]


@given(
    index=sources(),
    slots=st.integers(1, 9),
    least_s=st.fractions(Fraction(1, 10), 20),
    demuxer=st.sampled_from([MP4, "mpegts"]),
)
def test_chunks_cover_the_source_in_order_and_none_is_too_short(
    index: FrameIndex, slots: int, least_s: Fraction, demuxer: str
) -> None:
    chunks = chunks_of(index, slots=slots, least_s=least_s, demuxer=demuxer)
    assert chunks[0].start == index.pts[0]
    assert chunks[-1].end == index.end
    assert all(one.end == other.start for one, other in pairwise(chunks))
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    assert len(chunks) <= 4 * slots
    assert len(chunks) == 1 or all((chunk.end - chunk.start) * index.tick >= least_s for chunk in chunks)
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


@given(index=sources(), slots=st.integers(1, 9))
def test_every_picture_is_in_exactly_one_chunk(index: FrameIndex, slots: int) -> None:
    chunks = chunks_of(index, slots=slots, least_s=Fraction(1))
    for chunk in chunks:
        inside = [time for time in index.pts if chunk.start <= time < chunk.end]
        assert (inside[0], inside[-1], len(inside)) == (chunk.start, chunk.last, chunk.frames)
    assert sum(chunk.frames for chunk in chunks) == len(index.pts)


@given(index=sources(), demuxer=st.sampled_from([MP4, "mpegts"]))
def test_no_chunk_is_entered_behind_the_key_picture_it_needs(index: FrameIndex, demuxer: str) -> None:
    for chunk in chunks_of(index, slots=4, least_s=Fraction(1), demuxer=demuxer):
        needed = max((key for key in index.keys if key[0] <= chunk.start), default=index.keys[0])
        later = [decoded for shown, decoded in index.keys if shown > needed[0]]
        # A demuxer goes to the last key picture that is not after the place, by one of its two times.
        assert chunk.seek is None or all(chunk.seek < decoded for decoded in later if decoded > needed[1])
        assert chunk.preroll == sum(needed[0] <= time < chunk.start for time in index.pts)


def test_there_are_four_chunks_for_each_slot() -> None:
    index = film(25 * 160)
    assert [chunk.frames for chunk in chunks_of(index, slots=2)] == [500] * 8
    assert len(chunks_of(index, slots=100)) == 32  # of five seconds each


def test_a_key_picture_out_of_the_rhythm_begins_a_scene_and_a_chunk() -> None:
    index = film(1000, gop=100)
    keys = tuple(sorted({*index.keys, (index.pts[230], index.pts[228])}))
    uneven = msgspec.structs.replace(index, keys=keys)
    # It also shortens the way to the next one, which is taken for a scene as well: at worst a cut at a key picture.
    assert likely_scene_cuts(uneven) == (index.pts[230], index.pts[300])
    assert likely_scene_cuts(index) == ()
    assert cuts(chunks_of(uneven), index)[0] == 230


def test_rare_key_pictures_make_fewer_chunks() -> None:
    assert len(chunks_of(film(25 * 60, gop=25), slots=2)) == 8
    assert len(chunks_of(film(25 * 60, gop=25 * 60), slots=2)) == 2


def test_pictures_are_shared_out_evenly_where_the_rate_varies() -> None:
    slow, fast = [512 * 25 * n for n in range(20)], [512 * 500 + 128 * n for n in range(2000)]
    index = FrameIndex((1, 12800), tuple(slow + fast), tuple((time, time) for time in (*slow, *fast[::10])), 128)
    frames = [chunk.frames for chunk in chunks_of(index)]
    assert max(frames) - min(frames) <= 250


def test_indexed_formats_are_entered_just_behind_the_key_picture_others_a_second_before() -> None:
    index = film(1000, gop=250)
    # FFmpeg goes 3/23 s ahead of the place by itself, and would else decode the whole group before.
    assert [chunk.seek for chunk in chunks_of(index)[1:]] == [index.pts[place] + 1792 for place in (250, 500, 750)]
    assert [chunk.seek for chunk in chunks_of(index, demuxer="mpegts")[1:]] == [
        index.pts[place - 2 - 25] for place in (250, 500, 750)
    ]


def test_an_entry_never_reaches_the_next_key_picture() -> None:
    chunks = chunks_of(film(1000, gop=1))[1:]
    assert chunks
    assert all(chunk.seek == chunk.start - 512 - 1 for chunk in chunks)


def test_a_chunk_tells_how_many_bytes_its_pictures_take() -> None:
    ends = tuple(500 + 100 * n for n in range(1, 1001))
    index = msgspec.structs.replace(film(1000), ends=ends, begins=tuple(500 + 2500 * n for n in range(40)))
    assert [chunk.size for chunk in chunks_of(index)] == [25_000] * 4
    assert [chunk.size for chunk in chunks_of(film(1000))] == [0] * 4, "nobody knows"


def test_the_cluster_before_a_picture_is_needed_where_pictures_are_small() -> None:
    ends = tuple(1000 * n for n in range(1, 1001))
    index = msgspec.structs.replace(film(1000), ends=ends, begins=tuple(25_000 * n for n in range(40)))
    for unit in plan_units(index, demuxer=MP4):
        # With the key picture before its own, to which a seek may go.
        assert unit.span
        assert unit.span[0] == max(0, unit.start // (25 * 512) - 1) * 25_000
    assert {unit.span and unit.span[0] for unit in plan_units(index, demuxer="webm")} == {0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"broken": "I/O error"}, "reading stops early"),
        ({"untimed": 3}, "3 pictures"),
        ({"keys": ()}, "no picture"),
        ({"pts": ()}, "no picture"),
        ({"pts": (0, 512, 512, 1024)}, "the same time"),
    ],
)
def test_a_source_that_cannot_be_cut_is_left_whole(changes: dict[str, object], words: str) -> None:
    with pytest.raises(NeedsWholeFile, match=words):
        plan_units(msgspec.structs.replace(film(1000), **changes), demuxer=MP4)


def test_the_last_picture_stays_as_long_as_the_one_before_where_nobody_says() -> None:
    assert FrameIndex(pts=(0, 40, 100)).end == 160
    assert FrameIndex(pts=(0, 40, 100), last_duration=25).end == 125
    assert FrameIndex(pts=(7,)).end == 8


# --- the finest cut --------------------------------------------------------------------------


@given(index=sources(), demuxer=st.sampled_from([MP4, "mpegts"]))
def test_the_finest_cut_is_the_source_in_order(index: FrameIndex, demuxer: str) -> None:
    units = plan_units(index, demuxer=demuxer)
    assert (units[0].start, units[-1].end, units[-1].is_last) == (index.pts[0], index.end, True)
    assert all(one.end == other.start for one, other in pairwise(units))
    assert sum(unit.frames for unit in units) == len(index.pts)
    assert len(units) <= MOST_UNITS


@given(index=sources(), slots=st.integers(1, 90), least_s=st.fractions(Fraction(1, 10), 20))
def test_chunks_decode_little_in_vain(index: FrameIndex, slots: int, least_s: Fraction) -> None:
    chunks = chunks_of(index, slots=slots, least_s=least_s)
    assert sum(chunk.preroll for chunk in chunks) <= len(index.pts) / 2


def test_it_is_cut_at_each_key_picture_and_between_those_far_apart() -> None:
    units = plan_units(film(500, gop=40), demuxer=MP4)
    assert {unit.start for unit in units} >= {time * 512 for time in range(0, 480, 40)}
    units = plan_units(film(500, gop=100), demuxer=MP4)
    assert {unit.frames for unit in units} == {6, 7}, "a quarter of a second"


def test_a_film_with_one_key_picture_is_cut_no_finer_than_is_worth_while() -> None:
    assert len(chunks_of(film(1500, gop=25), slots=8)) == 8
    assert len(chunks_of(film(1500, gop=1500), slots=8)) == 2


def test_it_tells_where_scenes_seem_to_begin() -> None:
    pts = tuple(range(300))
    keys = tuple((time, time) for time in (0, 50, 100, 137, 187, 237, 287))
    units = plan_units(FrameIndex((1, 25), pts, keys, 1), demuxer=MP4)
    assert [unit.start for unit in units if unit.is_scene] == [137]
