"""Transcode all media files of a folder with several presets, whole and in chunks, and hold each result beside its source.

    python scripts/make_inventory.py FOLDER [--presets h264,hevc,av1,vp9] [--only NAME …] [--out TABLE.md]

Plans are made first, from the source alone; then the files go through a fleet, once as a whole and once in chunks; then the
results are read. The first table has source → result for what a user could miss, the second holds chunks to the whole film.
Both are written again after each file, so who stops in the middle has what was seen till then. The exit code is 1 if
anything was lost that no plan announced, if a job failed whose plan could be made, or if a promise about chunks is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import inventory_cases as cases
import inventory_chunks as chunks
from inventory_cases import Case
from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._inputs import Source, find_sources
from mediafleet.cli._local import dismiss_fleet
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._plan import open_starter
from mediafleet.domain.errors import MediafleetError
from mediafleet.kinds.transcode.file_reader import Starter
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.probe import probe
from mediafleet.testing import run_ffmpeg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mediafleet.cli._fleet import Fleet

CONTAINERS = {"h264": "mp4", "hevc": "mkv", "av1": "mkv", "vp9": "webm", "copy": "mkv"}
"""Preset → container that is asked for."""
CUT_OFF = 0.6
"""How much of a file is left of a copy without its end."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """A file to transcode, or what was made of it before."""

    path: Path
    note: str = ""
    is_cut_off: bool = False


def parse_arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--presets", default="h264,hevc,av1,vp9", help="built-in presets, with commas between them")
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="NAME", help="files of the folder; all where not given"
    )
    parser.add_argument("--but", nargs="*", default=[], metavar="NAME", help="files to leave out")
    parser.add_argument("--largest", type=int, default=0, metavar="BYTES", help="leave out larger files")
    parser.add_argument(
        "--excerpt", type=float, default=0, metavar="S", help="of longer films, take only the first part"
    )
    parser.add_argument("--cut-off", nargs="*", default=[], metavar="NAME", help="files to take without their end, too")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="measure VMAF of each Nth picture only")
    parser.add_argument("--minutes", type=float, default=1e9, help="measure no more quality after that time")
    parser.add_argument("--at-once", type=int, default=8, metavar="N", help="files that are handed in together")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write the tables")
    parser.add_argument("--speed", default="fastest")
    return parser.parse_args()


async def find_origins(starter: Starter, asked: argparse.Namespace, folder: Path) -> list[Origin]:
    """Return the files, the smallest first: who stops in the middle has seen most."""
    paths = [one.path.absolute() for one in find_sources([asked.folder]) if isinstance(one, Source)]
    paths = [path for path in paths if path.name not in asked.but and (path.name in asked.only or not asked.only)]
    paths = [path for path in paths if not asked.largest or path.stat().st_size <= asked.largest]
    found: list[Origin] = []
    await asyncio.to_thread((folder / "excerpts").mkdir)
    for path in sorted(paths, key=lambda path: path.stat().st_size):
        found.append(await take_excerpt(starter, path, folder / "excerpts", asked.excerpt))
        if path.name in asked.cut_off:
            found.append(cut_off(path, folder / "cut"))
    return found


async def take_excerpt(starter: Starter, path: Path, folder: Path, most_s: float) -> Origin:
    """Return the first part of a long film, copied and not encoded; other files as they are."""
    try:
        info = await probe(starter, path, name=path.name)
    except MediafleetError:
        return Origin(path)
    if not most_s or info.duration_s <= most_s:
        return Origin(path)
    await run_ffmpeg(["-i", f"file:{path}", "-map", "0", "-c", "copy", "-t", str(most_s)], folder / path.name)
    return Origin(folder / path.name, f" (first {most_s:g} s)")


def cut_off(path: Path, folder: Path) -> Origin:
    """Return a copy that lacks its end, as a download that broke."""
    folder.mkdir(exist_ok=True)
    copy = folder / path.name
    shutil.copyfile(path, copy)
    with copy.open("r+b") as file:
        file.truncate(int(path.stat().st_size * CUT_OFF))
    return Origin(copy, " (its end missing)", is_cut_off=True)


async def run_group(starter: Starter, fleet: Fleet, group: Sequence[Case], folder: Path) -> None:
    """Encode some files both ways, and read the results."""
    for case in group:
        await cases.plan_case(starter, case)
    data = folder / "fleet"
    whole = await cases.run_cases(group, folder / "whole", data=data, chunks="never")
    pieces = await cases.run_cases(group, folder / "chunks", data=data, chunks="always")
    for case in group:
        case.whole = await cases.read_item(starter, case, whole.get(case.path, {}))
        case.chunked = await cases.read_item(starter, case, pieces.get(case.path, {}))
        if case.chunked.info:
            view = await fleet.client.job(case.chunked.job)
            case.chunks = (view.result or {}).get("chunks", 0)


async def make_inventory(asked: argparse.Namespace, folder: Path) -> AsyncIterator[chunks.Comparison]:
    """Plan, run and compare all; yield each case that is seen."""
    until = time.monotonic() + asked.minutes * 60
    options = ClientOptions(data=folder / "fleet")
    async with open_starter() as starter, open_fleet(options) as fleet:
        origins = await find_origins(starter, asked, folder)
        for preset in asked.presets.split(","):
            params = {"preset": preset, "container": CONTAINERS.get(preset, ""), "speed": asked.speed}
            all_cases = [
                Case(one.path, msgspec.convert(params, TranscodeParams), is_cut_off=one.is_cut_off, note=one.note)
                for one in origins
            ]
            for begin in range(0, len(all_cases), asked.at_once):
                place = folder / f"{preset}-{begin}"
                place.mkdir()
                (place / "fleet").symlink_to(folder / "fleet")
                group = all_cases[begin : begin + asked.at_once]
                await run_group(starter, fleet, group, place)
                for number, case in enumerate(group):
                    await asyncio.to_thread((place / str(number)).mkdir)
                    every = asked.every if time.monotonic() < until else 0
                    yield await chunks.compare_ways(starter, case, place / str(number), every=every)
                shutil.rmtree(place)
        if fleet.local and fleet.is_new:
            await dismiss_fleet(folder / "fleet", fleet.local)


def write_tables(seen: Sequence[chunks.Comparison], place: Path | None) -> None:
    """Write the tables in Markdown, to standard output where no file is named."""
    inventory = [line for one in seen for line in cases.rows(one.case)]
    text = f"{table(cases.COLUMNS, inventory)}\n{table(chunks.COLUMNS, [one.row() for one in seen])}"
    if place:
        place.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    all_lines = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in all_lines) + "\n"


async def run(asked: argparse.Namespace) -> list[chunks.Comparison]:
    """Make the tables; return what was seen."""
    seen: list[chunks.Comparison] = []
    with tempfile.TemporaryDirectory(prefix="mediafleet-inventory-", ignore_cleanup_errors=True) as folder:
        async for one in make_inventory(asked, Path(folder)):
            seen.append(one)
            if asked.out:
                write_tables(seen, asked.out)
            faults = [*one.case.faults, *one.faults]
            said = f"BROKEN: {' '.join(faults)}" if faults else one.how
            print(f"{one.case.params.preset} {one.case.name}: {said}", file=sys.stderr)
    return seen


def main() -> int:
    """Make the tables; return the exit code."""
    asked = parse_arguments()
    seen = asyncio.run(run(asked))
    if not asked.out:
        write_tables(seen, None)
    good = sum(not (one.case.faults or one.faults) for one in seen)
    print(f"{good} of {len(seen)} as promised", file=sys.stderr)
    return 0 if seen and good == len(seen) else 1


if __name__ == "__main__":
    raise SystemExit(main())
