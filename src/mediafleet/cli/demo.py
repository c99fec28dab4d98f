"""`mediafleet demo`: a tour on generated media."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mediafleet.cli._batch import Batch, Work
from mediafleet.cli._demo_media import Look, compare, look_at, make_clips
from mediafleet.cli._fleet import Fleet, open_fleet
from mediafleet.cli._item import Item
from mediafleet.cli._local import end_fleet
from mediafleet.cli._names import Targets
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._params import expected_ending
from mediafleet.cli._progress import choose_display
from mediafleet.cli._run import FAILED, run_client
from mediafleet.cli._text import duration_text, size_text
from mediafleet.domain.errors import MediafleetError, NotFound, SchedulerUnavailable
from mediafleet.domain.ids import node_of
from mediafleet.domain.node import NodeState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

NODES = 2
JOIN_S = 60.0
"""Longest wait for the nodes: each tries every encoder when it starts for the first time."""
_LOOK_EVERY_S = 0.1
_NO_OPTIONS = ClientOptions()
_HEADER = ("RESULT", "STREAMS", "PLAYS", "SIZE", "TOOK", "NODE")


@dataclass(frozen=True)
class Stop:
    """One stop of the tour: what is shown, on which files."""

    title: str
    sources: tuple[Path, ...]
    preset: str
    container: str

    def work(self) -> Work:
        """Return what the fleet is asked to do."""
        params = {"preset": self.preset, "container": self.container}
        return Work("transcode", params, ending=expected_ending(params))


def demo(
    *,
    input: Annotated[Path | None, Parameter(metavar="FILE")] = None,  # noqa: A002 - the option's name
    out: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    debug: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Take a tour on generated media: two nodes, several files, verified results.

    It runs a fleet of its own in a temporary folder, touches nothing else, and leaves only the results.

    Args:
        input: A file of yours instead of generated clips.
        out: Folder for the results; a new one among the temporary files where not given.
        json: Print one JSON document instead of text: good, results, seconds, and the files as of `transcode --json`.
        debug: Show stack traces with errors.
    """
    output = Output(as_json=json)
    return run_client(_demo(input, out, output), output, debug=debug)


async def _demo(given: Path | None, out: Path | None, output: Output) -> int:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mediafleet-demo-") as name:
        stops = plan_tour(await _sources(given, Path(name), output))
        # Made only now: a tour that cannot begin must not leave an empty folder behind.
        results = out or Path(tempfile.mkdtemp(prefix="mediafleet-demo-results-"))
        async with _own_fleet(Path(name) / "data", output) as fleet:
            items = [item for stop in stops for item in await _visit(stop, fleet, results, output)]
            good = await _tell(items, fleet, output)
    seconds = time.monotonic() - started
    files = [item.document() for item in items]
    output.document({"good": good, "results": str(results), "seconds": round(seconds, 3), "files": files})
    output.say("")
    output.say(f"Results: {results}")
    output.say("The demo's fleet has ended and its folder is gone. `mediafleet up` starts one that stays,")
    output.say("with its console at http://127.0.0.1:8000.")
    output.say(f"{'All is well' if good else 'Something failed'} after {duration_text(seconds)}.")
    return 0 if good else FAILED


async def _sources(given: Path | None, folder: Path, output: Output) -> list[Path]:
    if given is None:
        output.say("Making three short clips with moving picture and sound …")
        return await make_clips(folder)
    if not given.is_file():  # noqa: ASYNC240 - one look at the start
        raise NotFound(f"{given} does not exist or is no file.")
    return [given]


def plan_tour(sources: Sequence[Path]) -> list[Stop]:
    """Return what is shown: all files in H.264, the first also in HEVC and, if it has sound, as MP3."""
    first = sources[0]
    stops = [
        Stop("Every file to H.264 in MP4, on both nodes at once", tuple(sources), "h264", "mp4"),
        Stop("One of them to HEVC in Matroska", (first,), "hevc", "mkv"),
    ]
    if look_at(first).has_sound:
        stops.append(Stop("Its sound as MP3", (first,), "mp3", "mp3"))
    return stops


@asynccontextmanager
async def _own_fleet(data: Path, output: Output) -> AsyncGenerator[Fleet]:
    """Run a fleet with two nodes for the block; it is gone afterwards, also after an interruption."""
    output.say(f"Starting a fleet with {NODES} nodes …")
    options = ClientOptions(data=data)
    fleet: Fleet | None = None
    try:
        async with open_fleet(options, nodes=NODES) as fleet:
            output.say(f"Watch it while it works: {fleet.client.base_url}")
            await _until_ready(fleet)
            yield fleet
    finally:
        if fleet is not None and fleet.local is not None:
            await asyncio.shield(end_fleet(fleet.local))


async def _until_ready(fleet: Fleet) -> None:
    deadline = time.monotonic() + JOIN_S
    while time.monotonic() < deadline:
        ready = [node for node in await fleet.client.nodes() if node.state is NodeState.READY]
        if len(ready) >= NODES:
            return
        await asyncio.sleep(_LOOK_EVERY_S)
    raise SchedulerUnavailable(f"The nodes did not join within {JOIN_S:.0f} s; `mediafleet check` may say why.")


async def _visit(stop: Stop, fleet: Fleet, results: Path, output: Output) -> list[Item]:
    output.say("")
    output.say(stop.title)
    # The tour may be taken again into the same folder; the sources are safe all the same.
    targets = Targets(results, force=True, inputs=stop.sources)
    items = [Item(path, targets.claim(path.stem)) for path in stop.sources]
    with choose_display(output, count=len(items)) as display:
        await Batch(fleet, stop.work(), targets, display=display, output=output).run(items)
    return items


async def _tell(items: Sequence[Item], fleet: Fleet, output: Output) -> bool:
    """Compare every result with its source, print the table, and return whether all is well."""
    rows: list[tuple[str, ...]] = []
    good = True
    for item in items:
        try:
            rows.append(await _row(item, fleet))
        except MediafleetError as error:
            output.note(error.message)
            good = False
    output.say("")
    output.table(_HEADER, rows, empty="No results.")
    return good and bool(rows)


async def _row(item: Item, fleet: Fleet) -> tuple[str, ...]:
    if not item.is_good or not item.outputs:
        raise NotFound(f"{item.path.name} has no result: {item.error.message if item.error else item.status}")
    path = item.outputs[0]
    result = await asyncio.to_thread(look_at, path)
    source = await asyncio.to_thread(look_at, item.path)
    compare(source, result, name=path.name)
    return (path.name, " + ".join(result.streams), *_measures(item, path, result), await _node(item, fleet))


def _measures(item: Item, path: Path, result: Look) -> tuple[str, str, str]:
    return (f"{result.seconds:.2f} s", size_text(path.stat().st_size), duration_text(item.seconds))


async def _node(item: Item, fleet: Fleet) -> str:
    # Asked for anew: only a single job's own view names its tasks.
    tasks = (await fleet.client.job(item.job)).tasks
    return ", ".join(dict.fromkeys(node_of(task.executor) for task in tasks if task.executor)) or "?"
