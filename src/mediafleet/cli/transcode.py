"""`mediafleet transcode`: files and folders in, verified results out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from mediafleet.cli._batch import Times, Work
from mediafleet.cli._inputs import Source, Unusable, find_sources
from mediafleet.cli._item import Item, Phase
from mediafleet.cli._items import Shown, Wanted, report, run_items
from mediafleet.cli._listing import read_listing
from mediafleet.cli._moments import read_moment
from mediafleet.cli._names import Targets
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._params import expected_ending, read_params, spell_out_preset
from mediafleet.cli._plan import plan_all
from mediafleet.cli._progress import choose_display
from mediafleet.cli._run import FAILED, guard, run_client
from mediafleet.domain.batch import check_batch, merge_params
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.lifecycle import PriorityClass

_NO_OPTIONS = ClientOptions()


@dataclass(frozen=True)
class Request(Wanted):
    """A transcode as it was asked for."""

    own: dict[Path, dict[str, Any]] = field(default_factory=dict[Path, dict[str, Any]])
    """All params of files that have some of their own, by path as it was given."""


def transcode(  # noqa: PLR0913 - a command line has as many options as people need
    *files: Path,
    preset: str = "h264",
    out: Annotated[Path | None, Parameter(metavar="DIR", show_default=False)] = None,
    container: Annotated[Literal["mp4", "mov", "mkv", "webm", "m4a", "mp3", "opus"] | None, Parameter()] = None,
    crf: int | None = None,
    param: Annotated[tuple[str, ...], Parameter(negative="", show_default=False, metavar="KEY=VALUE")] = (),
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    replace: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    trash_days: Annotated[int | None, Parameter(show_default=False, metavar="DAYS")] = None,
    recursive: bool = True,
    from_: Annotated[Path | None, Parameter(name="--from", show_default=False, metavar="FILE")] = None,
    batch: Annotated[str, Parameter(show_default=False)] = "",
    dry_run: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    priority: Literal["live", "interactive", "batch"] = "batch",
    not_before: Annotated[str, Parameter(show_default=False, metavar="TIME")] = "",
    deadline: Annotated[str, Parameter(show_default=False, metavar="TIME")] = "",
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """Convert media files and folders; fetch the results.

    Args:
        files: Files and folders; a folder stands for the media files in it.
        preset: What to make, as `mediafleet presets` lists it: h264, hevc, av1, mp3, copy (repack only), …
        out: Folder for the results, made where it is missing; this folder where not given.
        container: File format of the results; the preset's own where not given.
        crf: Quality on the encoder's own scale; lower is better and larger.
        param: Any other parameter of the kind: bitrate=4000000, scale.height=720, video.tune=film, filters.fps=25. Can be repeated.
        force: Replace results that exist. Inputs are never replaced.
        replace: Put results in the places of the files, which are kept in a trash folder beside them; see `mediafleet restore`.
        trash_days: With --replace: how long the files are kept; 30 where not given.
        recursive: Look in the folders of a folder, too; results keep their order.
        from_: A list of more files: a path a line, or {"input": "a.mkv", "params": {"crf": 20}} with what the file has of its own.
        batch: A name for all of them, which `mediafleet batch` shows how far they are by.
        dry_run: Only print what would become of each stream and what would be lost; no fleet is asked.
        priority: Which work goes first when there is more than the fleet can do at once.
        not_before: Nothing begins sooner: 2030-01-31T18:00, with an offset or in local time, or milliseconds since 1970.
        deadline: What has not ended by then fails.
        options: Shared options.
    """
    output = Output(as_json=options.json)
    given = {"preset": preset, "container": container, "crf": crf}

    def work() -> int:
        if not files and from_ is None:
            raise InvalidRequest("Name at least one file or folder.")
        check_batch(batch)
        params = {name: value for name, value in given.items() if value is not None} | read_params(param)
        params |= replace_params(replace=replace, trash_days=trash_days, out=out, force=force)
        listed = read_listing(from_) if from_ else []
        own = {
            Path(one.input): spell_out_preset(merge_params(params, one.params), options.settings())
            for one in listed
            if one.params
        }
        params = spell_out_preset(params, options.settings())
        paths = (*files, *(Path(one.input) for one in listed))
        if dry_run:
            expected_ending(params)
            return run_client(plan_all(paths, params, output, recursive=recursive), output, debug=options.debug)
        times = Times(read_moment(not_before, "--not-before"), read_moment(deadline, "--deadline"))
        request = Request(
            paths,
            out,
            params,
            force=force,
            recursive=recursive,
            priority=PriorityClass(priority),
            times=times,
            batch=batch,
            own=own,
        )
        return run_client(transcode_all(request, options, output), output, debug=options.debug)

    return guard(work, output, debug=options.debug)


def replace_params(*, replace: bool, trash_days: int | None, out: Path | None, force: bool) -> dict[str, Any]:
    """Return what the options for replacing mean as params. Raises InvalidRequest for those that contradict each other."""
    if not replace:
        if trash_days is not None:
            raise InvalidRequest("--trash-days says how long replaced files are kept, so it needs --replace.")
        return {}
    if out is not None:
        raise InvalidRequest("With --replace the results take the places of the files, so leave --out out.")
    if force:
        raise InvalidRequest("--replace never overwrites another file, so leave --force out.")
    return {"replace": {} if trash_days is None else {"days": trash_days}}


async def transcode_all(request: Request, options: ClientOptions, output: Output) -> int:
    """Work on all that is asked for, print what became of it, and return the exit code."""
    ending = expected_ending(request.params)
    replaces = request.params.get("replace") is not None
    work = Work(
        "transcode", request.params, request.priority, ending, request.times, replaces=replaces, batch=request.batch
    )
    found = list(find_sources(request.paths, recursive=request.recursive))
    inputs = [one.path for one in found if isinstance(one, Source)]
    targets = Targets(request.out or Path(), force=request.force, inputs=inputs)
    if not replaces:
        targets.check_folder()
    items = [_make_item(one, targets, request.own.get(one.path)) for one in found]
    for item in items:
        item.replaces = replaces
    try:
        with choose_display(output, count=len(items)) as display:
            await run_items(items, Shown(options, output, display), work, targets)
    finally:
        # Also after an interruption: a program that reads the document gets one, whatever happened.
        report(items, output)
    return 0 if items and all(item.is_good for item in items) else FAILED


def _make_item(found: Source | Unusable, targets: Targets, own: dict[str, Any] | None) -> Item:
    if isinstance(found, Unusable):
        item = Item(found.path, found.path, phase=Phase.OVER)
        item.fail(found.error.info())
        return item
    ending = expected_ending(own) if own else ""
    return Item(found.path, targets.claim(found.path.stem, found.folder), params=own, ending=ending)
