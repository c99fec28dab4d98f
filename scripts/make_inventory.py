"""Transcode all media files of a folder with several presets, and hold each result beside its source.

    python scripts/make_inventory.py FOLDER [--presets h264,hevc,av1,vp9] [--only NAME …] [--out TABLE.md]

Plans are made first, from the source alone; then the files go through a fleet; then the results are read. The table has
source → result for what a user could miss. The exit code is 1 if anything was lost that no plan announced, or if a job failed
whose plan could be made.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.cli._inputs import Source, find_sources
from mediafleet.cli._plan import open_starter
from mediafleet.domain.errors import MediafleetError
from mediafleet.kinds.transcode.inventory import Difference, compare
from mediafleet.kinds.transcode.losses import Topic
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.probe import Starter, probe
from mediafleet.kinds.transcode.streams import OutputPlan, plan_output
from mediafleet.kinds.transcode.verify import check_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo

CONTAINERS = {"h264": "mp4", "hevc": "mkv", "av1": "mkv", "vp9": "webm", "copy": "mkv"}
"""Preset → container that is asked for."""
DAMAGE = "The source is damaged"
COLUMNS = (
    *("file", "preset", "streams", "chapters", "attachments", "colour", "HDR", "rotation", "SAR", "duration"),
    *("frames", "announced", "NOT announced", "said"),
)


@dataclass
class Case:
    """One file with one preset."""

    path: Path
    params: TranscodeParams
    source: MediaInfo | None = None
    plan: OutputPlan | None = None
    refusal: str = ""
    """Why there is no plan."""
    failure: str = ""
    """Why the job failed."""
    damage: str = ""
    """What the job said of a damaged source."""
    output: MediaInfo | None = None
    differences: list[Difference] = field(default_factory=list[Difference])

    @property
    def is_good(self) -> bool:
        """Whether all came as it was announced."""
        if self.plan is None:
            return self.output is None
        return self.output is not None and all(one.announced for one in self.differences)


async def plan_case(starter: Starter, case: Case) -> None:
    """Look into the source and plan."""
    try:
        case.source = await probe(starter, case.path, name=case.path.name)
        check_source(case.source, name=case.path.name)
        case.plan = plan_output(case.source, case.params, name=case.path.name)
    except MediafleetError as error:
        case.refusal = error.message


def run_cases(cases: Sequence[Case], folder: Path) -> dict[Path, dict[str, Any]]:
    """Send files that have the same params through a fleet; return what the command says of each."""
    params = msgspec.to_builtins(cases[0].params)
    given = ["--preset", params["preset"], "--container", params["container"], "--param", f"speed={params['speed']}"]
    words = [sys.executable, "-m", "mediafleet.cli", "transcode", *(str(case.path) for case in cases), *given]
    # A fleet of its own: what somebody paused or drained elsewhere must not hold it up.
    done = subprocess.run(
        [*words, "--out", str(folder / "out"), "--data", str(folder / "fleet"), "--json"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        return {Path(item["input"]): item for item in json.loads(done.stdout)}
    except (json.JSONDecodeError, TypeError, KeyError):
        raise SystemExit(f"the fleet answered {done.stdout[:500]!r}") from None


async def look_at_result(starter: Starter, case: Case, item: dict[str, Any]) -> None:
    """Read what came out and compare it."""
    if not item.get("output"):
        error: dict[str, str] = item.get("error") or {"message": "no result"}
        case.failure = error["message"]
        return
    path = Path(item["output"])
    case.output = await probe(starter, path, name=path.name)
    if case.plan and case.source:
        case.differences = compare(case.source, case.output, case.plan, case.params)
    case.damage = next((text for text in item["warnings"] if text.startswith(DAMAGE)), "")
    if case.damage:
        # What cannot be decoded is known only afterwards, and the job says so.
        told = (
            msgspec.structs.replace(one, announced=one.announced or one.topic is Topic.RATE) for one in case.differences
        )
        case.differences = list(told)


def row(case: Case) -> tuple[str, ...]:
    """Return the case as a line of the table."""
    said = case.refusal or case.failure or case.damage
    if case.source is None or case.output is None:
        return (case.path.name, case.params.preset, *[""] * (len(COLUMNS) - 3), said)
    both = (case.source, case.output)
    told = [[one for one in case.differences if one.announced is wanted] for wanted in (True, False)]
    return (
        case.path.name,
        case.params.preset,
        beside(both, lambda info: " ".join(stream.codec or stream.type for stream in info.streams)),
        beside(both, lambda info: str(info.chapters)),
        beside(both, lambda info: str(sum(stream.type == "attachment" for stream in info.streams))),
        beside(both, of_picture(lambda stream: "/".join(map(str, stream.colour)))),
        beside(both, of_picture(describe_light)),
        beside(both, of_picture(lambda stream: f"{stream.rotation}{' mirrored' if stream.mirrored else ''}")),
        beside(both, of_picture(lambda stream: f"{stream.sar[0]}:{stream.sar[1]}")),
        beside(both, lambda info: f"{info.duration_s:.3f}"),
        beside(both, of_picture(lambda stream: str(stream.packets))),
        *("; ".join(f"{one.topic} {one.what}: {one.source} → {one.output}" for one in group) for group in told),
        said,
    )


def beside(both: tuple[MediaInfo, MediaInfo], show: Callable[[MediaInfo], str]) -> str:
    """Return source and result, once where they are the same."""
    before, after = map(show, both)
    return before if before == after else f"{before} → {after}"


def of_picture(show: Callable[[StreamInfo], str]) -> Callable[[MediaInfo], str]:
    """Return a look at every picture of a file."""
    return lambda info: " ".join(
        show(one) for one in info.streams if one.type == "video" and one.packets and not one.is_cover
    )


def describe_light(stream: StreamInfo) -> str:
    """Return what a picture has of HDR in a few words."""
    words = [{16: "PQ", 18: "HLG"}.get(stream.colour[2], "SDR"), *(word for word in stream.extras)]
    words += ["DolbyVision"] * stream.dolby_vision + ["HDR10+"] * stream.hdr10_plus
    return "+".join(words)


def write_table(cases: Sequence[Case], place: Path | None) -> None:
    """Write the table in Markdown, to standard output where no file is named."""
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *map(row, cases)]
    text = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"
    if place:
        place.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


def parse_arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--presets", default="h264,hevc,av1,vp9", help="built-in presets, with commas between them")
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="NAME", help="files of the folder; all where not given"
    )
    parser.add_argument("--but", nargs="*", default=[], metavar="NAME", help="files to leave out")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write the table")
    parser.add_argument("--speed", default="fastest")
    return parser.parse_args()


async def make_inventory(asked: argparse.Namespace) -> list[Case]:
    """Plan, run and compare all."""
    paths = [one.path.absolute() for one in find_sources([asked.folder]) if isinstance(one, Source)]
    # The largest last: who stops in the middle has seen most.
    paths = sorted(
        (path for path in paths if path.name not in asked.but and (path.name in asked.only or not asked.only)),
        key=lambda path: path.stat().st_size,
    )
    cases: list[Case] = []
    async with open_starter() as starter:
        for preset in asked.presets.split(","):
            params = {"preset": preset, "container": CONTAINERS.get(preset, ""), "speed": asked.speed}
            group = [Case(path, msgspec.convert(params, TranscodeParams)) for path in paths]
            for case in group:
                await plan_case(starter, case)
            with tempfile.TemporaryDirectory(prefix="mediafleet-inventory-") as folder:
                items = await asyncio.to_thread(run_cases, group, Path(folder))
                for case in group:
                    await look_at_result(starter, case, items.get(case.path, {}))
            cases += group
            print(f"{preset}: {sum(case.is_good for case in group)} of {len(group)} as announced", file=sys.stderr)
    return cases


def main() -> int:
    """Make the table; return the exit code."""
    asked = parse_arguments()
    cases = asyncio.run(make_inventory(asked))
    write_table(cases, asked.out)
    for case in (case for case in cases if not case.is_good):
        what = [one.sentence for one in case.differences if not one.announced] or [case.failure or "it was not refused"]
        print(f"NOT announced: {case.path.name} ({case.params.preset}): {' '.join(what)}", file=sys.stderr)
    return 0 if cases and all(case.is_good for case in cases) else 1


if __name__ == "__main__":
    raise SystemExit(main())
