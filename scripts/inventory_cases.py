"""One file with one preset: what was planned for it, what a fleet made of it, and a line of the table for each result."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.errors import MediafleetError
from mediafleet.kinds.transcode.file_reader import Starter
from mediafleet.kinds.transcode.inventory import Difference, compare
from mediafleet.kinds.transcode.losses import Topic
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.probe import probe
from mediafleet.kinds.transcode.streams import OutputPlan, plan_output
from mediafleet.kinds.transcode.verify import check_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediafleet.kinds.transcode.media import MediaInfo, StreamInfo

DAMAGE = "The source is damaged"
COLUMNS = (
    *("file", "preset", "way", "streams", "chapters", "attachments", "colour", "HDR", "rotation", "SAR", "duration"),
    *("frames", "announced", "NOT announced", "said"),
)


@dataclass
class Made:
    """What one way of encoding came to."""

    path: Path | None = None
    info: MediaInfo | None = None
    job: str = ""
    failure: str = ""
    """Why there is no file."""
    warnings: tuple[str, ...] = ()
    differences: list[Difference] = field(default_factory=list[Difference])

    @property
    def damage(self) -> str:
        """What the job said of a damaged source."""
        return next((text for text in self.warnings if text.startswith(DAMAGE)), "")

    @property
    def is_announced(self) -> bool:
        """Whether nothing was lost without a word."""
        return all(one.announced for one in self.differences)


@dataclass
class Case:
    """One file with one preset."""

    path: Path
    params: TranscodeParams
    is_cut_off: bool = False
    """Whether its end is missing, which must not go unsaid."""
    note: str = ""
    """What was done to the file before."""
    source: MediaInfo | None = None
    plan: OutputPlan | None = None
    refusal: str = ""
    """Why there is no plan."""
    whole: Made = field(default_factory=Made)
    chunked: Made = field(default_factory=Made)
    chunks: int = 0
    """In how many it was encoded; 0 where it was not."""

    @property
    def name(self) -> str:
        """What to call it in a table."""
        return f"{self.path.name}{self.note}"

    @property
    def faults(self) -> list[str]:
        """What came otherwise than it was promised."""
        ways = (("whole", self.whole), ("in chunks", self.chunked))
        if self.plan is None:
            return [f"{way}: it was not refused" for way, made in ways if made.info]
        found: list[str] = []
        for way, made in ways:
            found += [f"{way}: {one.sentence}" for one in made.differences if not one.announced]
            if self.is_cut_off and not (made.failure or made.warnings):
                found.append(f"{way}: its end is missing, and nothing was said")
            elif not self.is_cut_off and (made.failure or made.info is None):
                found.append(f"{way}: {made.failure or 'no result'}")
        return found


async def plan_case(starter: Starter, case: Case) -> None:
    """Look into the source and plan."""
    try:
        case.source = await probe(starter, case.path, name=case.path.name)
        check_source(case.source, name=case.path.name)
        case.plan = plan_output(case.source, case.params, name=case.path.name)
    except MediafleetError as error:
        case.refusal = error.message


async def run_cases(cases: Sequence[Case], out: Path, *, data: Path, chunks: str) -> dict[Path, dict[str, Any]]:
    """Send files that have the same params through a fleet; return what the command says of each."""
    params = cases[0].params
    given = ["--preset", params.preset, "--container", params.container]
    given += ["--param", f"speed={params.speed}", "--param", f"chunks={chunks}"]
    words = ["-m", "mediafleet.cli", "transcode", *(str(case.path) for case in cases), *given]
    # A fleet of its own: what somebody paused or drained elsewhere must not hold it up.
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        *("--out", str(out), "--data", str(data), "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    answer, _ = await child.communicate()
    try:
        return {Path(item["input"]): item for item in json.loads(answer)}
    except (json.JSONDecodeError, TypeError, KeyError):
        raise SystemExit(f"the fleet answered {answer[:500]!r}") from None


async def read_item(starter: Starter, case: Case, item: dict[str, Any]) -> Made:
    """Read what came out of a job and compare it."""
    warnings = tuple(item.get("warnings", ()))
    if not item.get("output"):
        error: dict[str, str] = item.get("error") or {"message": "no result"}
        return Made(job=item.get("job") or "", failure=error["message"], warnings=warnings)
    made = await read_result(starter, case, Path(item["output"]), warnings=warnings)
    made.job = item["job"]
    return made


async def read_result(starter: Starter, case: Case, path: Path, *, warnings: tuple[str, ...] = ()) -> Made:
    """Read a result and compare it with its source."""
    made = Made(path, await probe(starter, path, name=path.name), warnings=warnings)
    if case.plan and case.source and made.info:
        made.differences = compare(case.source, made.info, case.plan, case.params)
    if made.damage:
        # What cannot be decoded is known only afterwards, and the job says so.
        told = (
            msgspec.structs.replace(one, announced=one.announced or one.topic is Topic.RATE) for one in made.differences
        )
        made.differences = list(told)
    return made


def rows(case: Case) -> list[tuple[str, ...]]:
    """Return the case as lines of the table: one where both ways came to the same."""
    one, other = _cells(case, case.whole), _cells(case, case.chunked)
    if one == other or not other[0]:
        return [(case.name, case.params.preset, "both" if one == other else "whole", *one)]
    return [(case.name, case.params.preset, way, *cells) for way, cells in (("whole", one), ("chunks", other))]


def _cells(case: Case, made: Made) -> tuple[str, ...]:
    said = case.refusal or made.failure or made.damage
    if case.source is None or made.info is None:
        return (*[""] * (len(COLUMNS) - 4), said)
    both = (case.source, made.info)
    told = [[one for one in made.differences if one.announced is wanted] for wanted in (True, False)]
    return (
        beside(both, lambda info: " ".join(stream.codec or stream.type for stream in info.streams)),
        beside(both, lambda info: str(info.chapters)),
        beside(both, lambda info: str(sum(stream.type == "attachment" for stream in info.streams))),
        beside(both, of_picture(lambda stream: "/".join(map(str, _colour(stream))))),
        beside(both, of_picture(describe_light)),
        beside(both, of_picture(lambda stream: f"{stream.rotation}{' mirrored' if stream.mirrored else ''}")),
        beside(both, of_picture(lambda stream: f"{stream.sar[0]}:{stream.sar[1]}")),
        beside(both, lambda info: f"{info.duration_s:.3f}"),
        beside(both, of_picture(lambda stream: str(stream.packets))),
        *("; ".join(f"{one.topic} {one.what}: {one.source} → {one.output}" for one in group) for group in told),
        said,
    )


def _colour(stream: StreamInfo) -> tuple[int, ...]:
    # Limited range and range not given are the same to every player, and only Matroska notes the first.
    return (2 if stream.is_full_range else 1, *stream.colour[1:])


def beside(both: tuple[MediaInfo, MediaInfo], show: Callable[[MediaInfo], str]) -> str:
    """Return source and result, once where they are the same."""
    before, after = map(show, both)
    return before if before == after else f"{before} → {after}"


def of_picture(show: Callable[[StreamInfo], str]) -> Callable[[MediaInfo], str]:
    """Return a look at every picture of a file."""
    return lambda info: " ".join(map(show, pictures(info)))


def pictures(info: MediaInfo) -> list[StreamInfo]:
    """Return the streams of moving pictures."""
    return [one for one in info.streams if one.type == "video" and one.packets and not one.is_cover]


def describe_light(stream: StreamInfo) -> str:
    """Return what a picture has of HDR in a few words."""
    words = [{16: "PQ", 18: "HLG"}.get(stream.colour[2], "SDR"), *(word for word in stream.extras)]
    words += ["DolbyVision"] * stream.dolby_vision + ["HDR10+"] * stream.hdr10_plus
    return "+".join(words)
