"""A chunk is encoded from the bytes that are said to be needed, and from nothing else: the rest of the file is zeros."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from mediafleet.artifacts.ranges import count_bytes, merge_ranges
from mediafleet.domain.plan import TaskSpec
from mediafleet.kinds.transcode import TranscodeHandler
from mediafleet.kinds.transcode.chunk_handlers import ChunkHandler, JoinHandler, SoundHandler, needed_bytes
from mediafleet.kinds.transcode.chunks import Chunk
from mediafleet.kinds.transcode.orders import ChunkOrder, FileOrder, read_answer, write
from mediafleet.kinds.transcode.split import Survey, join_units
from mediafleet.testing import LocalTaskContext, ref_to, run_ffmpeg

SECONDS = 24
NOISE = f"-f lavfi -i testsrc2=s=320x240:r=25:d={SECONDS},noise=alls=100:allf=t -f lavfi -i sine=d={SECONDS}"
PARAMS = {"preset": "h264", "speed": "fastest", "chunks": "always"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module", params=["film.mp4", "film.mkv", "front.mp4"])
def film(request: pytest.FixtureRequest, folder: Path) -> Path:
    """A film of many bytes, with its index behind the pictures or before them."""
    path = folder / request.param
    front = "-movflags +faststart" if path.stem == "front" else ""
    asyncio.run(run_ffmpeg(f"{NOISE} -c:v libx264 -preset ultrafast -qp 6 -g 25 -bf 2 {front}".split(), path))
    return path


def context_for(path: Path, folder: Path, step: str, payload: object) -> LocalTaskContext:
    built = msgspec.to_builtins(payload)
    spec = TaskSpec("transcode", 2, step, step, "default", (ref_to(path),), built, PARAMS)
    return LocalTaskContext(spec, folder=folder)


async def survey_of(film: Path, folder: Path) -> Survey:
    context = context_for(film, folder, "transcode", write(FileOrder(survey=True)))
    found = read_answer((await TranscodeHandler()(context)).result).survey
    assert found
    return found


def cut(found: Survey) -> tuple[Chunk, ...]:
    """Return as many chunks as there can be."""
    return join_units(found, len(found.units))


def order_for(found: Survey, number: int) -> ChunkOrder:
    chunk = cut(found)[number]
    return ChunkOrder(found.info, found.time_base, found.first, found.head, found.tail, found.changed, (chunk,))


def holed(film: Path, order: ChunkOrder, path: Path) -> Path:
    """Write a copy of the film with zeros where the chunk needs nothing."""
    wanted, data = needed_bytes(order), film.read_bytes()
    assert wanted
    merged = merge_ranges(wanted, size=len(data))
    assert count_bytes(merged) < 0.8 * len(data), "a part and not the whole"
    with path.open("wb") as out:
        out.truncate(len(data))
        for start, end in merged:
            out.seek(start)
            out.write(data[start:end])
    # As a node that sees the same file does.
    shutil.copystat(film, path)
    return path


async def test_each_chunk_comes_out_the_same_of_a_part_of_its_file(film: Path, tmp_path: Path) -> None:
    found = await survey_of(film, tmp_path / "survey")
    for number in (0, len(cut(found)) // 2, len(cut(found)) - 1):
        order = order_for(found, number)
        part = holed(film, order, tmp_path / f"part-{number}{film.suffix}")
        answers = [
            await ChunkHandler()(context_for(path, tmp_path / f"{number}-{path.stem}", "chunk", write(order)))
            for path in (film, part)
        ]
        whole, part_of_it = [read_answer(answer.result) for answer in answers]
        assert whole.report == part_of_it.report
        assert whole.report is not None


async def test_a_chunk_asks_for_its_part_and_for_all_where_that_was_not_enough(film: Path, tmp_path: Path) -> None:
    found = await survey_of(film, tmp_path / "survey")
    order = order_for(found, len(cut(found)) // 2)
    context = context_for(film, tmp_path / "good", "chunk", write(order))
    await ChunkHandler()(context)
    assert context.asked == [needed_bytes(order)]
    lacking = msgspec.structs.replace(order, chunks=(msgspec.structs.replace(order.chunks[0], span=(0, 1)),))
    poor = context_for(
        holed(film, lacking, tmp_path / f"poor{film.suffix}"), tmp_path / "poor", "chunk", write(lacking)
    )
    result = await ChunkHandler()(poor)
    assert poor.asked == [needed_bytes(lacking), None]
    assert read_answer(result.result).whole, "the rest is zeros here, so the whole file is to be encoded"


async def test_formats_without_an_index_are_needed_whole(folder: Path, tmp_path: Path) -> None:
    source = folder / "film.ts"
    await run_ffmpeg(f"{NOISE} -c:v libx264 -preset ultrafast -qp 30 -g 25".split(), source)
    found = await survey_of(source, tmp_path / "survey")
    assert {needed_bytes(order_for(found, number)) for number in range(len(cut(found)))} == {None}


async def test_a_film_that_was_changed_since_it_was_looked_into_is_encoded_whole(film: Path, tmp_path: Path) -> None:
    """Else it would be joined of two versions of itself."""
    mine = tmp_path / film.name
    await asyncio.to_thread(shutil.copy, film, mine)
    found = await survey_of(mine, tmp_path / "survey")
    assert found.changed == str(mine.stat().st_mtime_ns)
    order = order_for(found, 1)
    result = await ChunkHandler()(context_for(mine, tmp_path / "same", "chunk", write(order)))
    assert not read_answer(result.result).whole
    later = mine.stat().st_mtime + 10
    os.utime(mine, (later, later))
    for handler, step in ((ChunkHandler(), "chunk"), (SoundHandler(), "sound"), (JoinHandler(), "join")):
        result = await handler(context_for(mine, tmp_path / step, step, write(order)))
        assert "changed while" in read_answer(result.result).whole
