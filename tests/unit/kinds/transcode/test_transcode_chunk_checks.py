"""What is wrong with a chunk or a join, told from indexes and digests alone."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest

from mediafleet.kinds.transcode.chunk_checks import (
    ChunkReport,
    check_borders,
    check_chunk,
    check_join,
    max_shift,
    read_edges,
)
from mediafleet.kinds.transcode.chunks import Chunk, NeedsWholeFile
from mediafleet.kinds.transcode.index import FrameIndex

TICK = Fraction(1, 1000)
CHUNK = Chunk(1, start=208, last=292, end=334, frames=3, seek=150)
MADE = FrameIndex((1, 16000), (0, 42 * 16, 84 * 16), ((0, 0),), 42 * 16, header="h")
EDGES = {208: "a", 334: "b"}
FRAMEHASH = """#format: frame checksums
#stream#, dts,        pts, duration,     size, hash
0,        208,        208,        42,   115200, 79953fe2
0,        334,        334,        42,   115200, 499ff4cd
"""


def test_a_chunk_with_all_its_pictures_passes() -> None:
    report = check_chunk(CHUNK, TICK, made=MADE, edges=EDGES)
    assert report == ChunkReport(1, header="h", first="a", following="b")
    last = msgspec.structs.replace(CHUNK, is_last=True)
    assert check_chunk(last, TICK, made=MADE, edges={208: "a"}).following == ""


@pytest.mark.parametrize(
    ("changes", "edges", "words"),
    [
        ({"pts": (0, 672)}, EDGES, "Chunk 2 has 2 pictures and not 3"),
        ({"pts": ()}, EDGES, "0 pictures"),
        ({"pts": (0, 672, 1344, 2016)}, EDGES, "4 pictures"),
        ({"pts": (640, 672, 1344)}, EDGES, "other times"),
        ({"pts": (0, 672, 1376)}, EDGES, "other times"),
        ({"broken": "moov"}, EDGES, "read back"),
        ({}, {208: "a"}, "begin or end"),
        ({}, {209: "a", 334: "b"}, "begin or end"),
    ],
)
def test_a_chunk_that_lacks_something_sends_the_file_back_whole(
    changes: dict[str, object], edges: dict[int, str], words: str
) -> None:
    with pytest.raises(NeedsWholeFile, match=words):
        check_chunk(CHUNK, TICK, made=msgspec.structs.replace(MADE, **changes), edges=edges)


def test_edges_are_read_by_their_time() -> None:
    assert read_edges(FRAMEHASH) == {208: "79953fe2", 334: "499ff4cd"}


def test_neighbours_that_saw_the_same_border_fit() -> None:
    check_borders([ChunkReport(0, "h", "a", "b"), ChunkReport(1, "h", "b", "c"), ChunkReport(2, "h", "c", "")])


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (ChunkReport(1, "h", "x", ""), "Chunk 2 decoded another picture"),
        (ChunkReport(1, "other", "b", ""), "other settings"),
        (ChunkReport(2, "h", "b", ""), "missing"),
    ],
)
def test_neighbours_that_do_not_fit_send_the_file_back_whole(second: ChunkReport, words: str) -> None:
    with pytest.raises(NeedsWholeFile, match=words):
        check_borders([ChunkReport(0, "h", "a", "b"), second])


SOURCE = FrameIndex((1, 90000), (9000, 12600, 16200), ((9000, 9000),), 3600)


def test_a_join_is_held_to_every_picture_of_the_source() -> None:
    joined = FrameIndex((1, 1000), (50, 90, 131))
    check_join(SOURCE, joined, offset=Fraction(1, 20))
    assert max_shift(SOURCE, joined, offset=Fraction(1, 20)) == Fraction(1, 1000)
    with pytest.raises(NeedsWholeFile, match=r"moved by 12\.0 ms"):
        check_join(SOURCE, joined, offset=Fraction(39, 1000))


@pytest.mark.parametrize(
    ("changes", "words"), [({"pts": (50, 90)}, "2 pictures and not 3"), ({"broken": "x"}, "read back")]
)
def test_a_join_that_lost_pictures_sends_the_file_back_whole(changes: dict[str, object], words: str) -> None:
    joined = msgspec.structs.replace(FrameIndex((1, 1000), (50, 90, 130)), **changes)
    with pytest.raises(NeedsWholeFile, match=words):
        check_join(SOURCE, joined, offset=Fraction(1, 20))
