"""`mediafleet subtitle`: videos and folders in, subtitles beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from cyclopts import Parameter

from mediafleet.cli._batch import Times, Work
from mediafleet.cli._inputs import Source, Unusable, find_sources
from mediafleet.cli._item import Item, Phase
from mediafleet.cli._items import Shown, Wanted, report, run_items
from mediafleet.cli._moments import read_moment
from mediafleet.cli._names import Targets
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._params import check_params, read_params
from mediafleet.cli._progress import choose_display
from mediafleet.cli._run import FAILED, guard, run_client
from mediafleet.domain.batch import check_batch
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.lifecycle import PriorityClass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.ops.settings import Settings

_NO_OPTIONS = ClientOptions()
_MORE = ("burn", "mux", "forced", "bilingual", "review")
"""Params by which more, or something else, is made than files that may be there already."""


@dataclass(frozen=True)
class Request(Wanted):
    """Subtitles as they were asked for."""

    align: Path | None = None
    endings: tuple[str, ...] = ()
    """Of the files that count as there; any of subtitles where nobody named a format."""


def subtitle(  # noqa: PLR0913 - a command line has as many options as people need
    *files: Path,
    from_: Annotated[str, Parameter(name="--from", metavar="LANG")] = "auto",
    to: Annotated[str, Parameter(metavar="LANG,…", show_default=False)] = "",
    format_: Annotated[str, Parameter(name="--format", metavar="FORMAT,…", show_default=False)] = "",
    style: Literal["netflix", "broadcast", "karaoke", "raw"] = "netflix",
    bilingual: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    burn: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    mux: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    forced: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    speakers: Annotated[Literal["channels", "voices"] | None, Parameter(show_default=False)] = None,
    speaker_names: Annotated[str, Parameter(metavar="NAME,…", show_default=False)] = "",
    review: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    glossary: Annotated[Path | None, Parameter(show_default=False, metavar="FILE")] = None,
    align: Annotated[Path | None, Parameter(show_default=False, metavar="FILE")] = None,
    out: Annotated[Path | None, Parameter(metavar="DIR", show_default=False)] = None,
    param: Annotated[tuple[str, ...], Parameter(negative="", show_default=False, metavar="KEY=VALUE")] = (),
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    recursive: bool = True,
    batch: Annotated[str, Parameter(show_default=False)] = "",
    priority: Literal["live", "interactive", "batch"] = "batch",
    not_before: Annotated[str, Parameter(show_default=False, metavar="TIME")] = "",
    deadline: Annotated[str, Parameter(show_default=False, metavar="TIME")] = "",
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """Write subtitles for videos and sound files, and translate them.

    Args:
        files: Files and folders; a folder stands for the media files in it. A file of subtitles is only translated.
        from_: What is spoken, as en; auto lets the engine find out.
        to: Languages to translate into, as es,de.
        format_: Formats to write: srt (where not given), vtt, ass, ttml, dfxp, sub, lrc, json, txt, tsv.
        style: House style: lines, reading speed and pauses. karaoke lights up each word (format ass), raw keeps to no rule.
        bilingual: Also write files with both languages in each cue.
        burn: Also make a copy of the video with subtitles drawn into the picture.
        mux: Also make a copy of the video with all subtitles as tracks.
        forced: Mark what is made as only for what is in another language, so that players show it unasked.
        speakers: Find out who speaks: each channel of the sound is somebody's, or an engine tells voices apart.
        speaker_names: What they are called, in the order of channels or of their first words.
        review: Stop after recognition, until `mediafleet review` has put the corrected text back.
        glossary: A file with a term a line, as `Enterprise = Empresa`; one without `=` is never translated.
        align: Text or subtitles that are known already: they get the times of what is spoken in the one film that is named.
        out: Folder for the results; beside each file where not given.
        param: Any other parameter of the kind: track=1, chars_per_s.es=20, recognizer=vosk. Can be repeated.
        force: Also for files that have subtitles in these languages, beside them or as a track; replaces those beside them.
        recursive: Look in the folders of a folder, too.
        batch: A name for all of them, which `mediafleet batch` shows how far they are by.
        priority: Which work goes first when there is more than the fleet can do at once.
        not_before: Nothing begins sooner: 2030-01-31T18:00, with an offset or in local time, or milliseconds since 1970.
        deadline: What has not ended by then fails.
        options: Shared options.
    """
    output = Output(as_json=options.json)

    def work() -> int:
        if not files:
            raise InvalidRequest("Name at least one file or folder.")
        check_align(files, align, out)
        check_batch(batch)
        params: dict[str, Any] = {"language": from_, "to": _words(to), "style": style}
        params["formats"] = _words(format_ or "srt")
        wishes: dict[str, Any] = {"burn": burn, "mux": mux, "forced": forced, "bilingual": bilingual, "review": review}
        # Who names a format, or a track, or wants more than files, wants it whatever the film holds.
        wishes["skip_tracks"] = not (force or format_ or align or param or any(wishes.values()))
        wishes |= {"speakers": speakers, "speaker_names": _names(speaker_names)}
        wishes["glossary"] = read_glossary(glossary) if glossary else {}
        params |= {name: value for name, value in wishes.items() if value}
        params |= read_params(param)
        check_params(params, "subtitle")
        request = Request(
            files,
            out,
            params,
            force=force,
            recursive=recursive,
            priority=PriorityClass(priority),
            times=Times(read_moment(not_before, "--not-before"), read_moment(deadline, "--deadline")),
            batch=batch,
            align=align,
            endings=tuple(_words(format_)),
        )
        return run_client(subtitle_all(request, options, output), output, debug=options.debug)

    return guard(work, output, debug=options.debug)


def check_align(files: Sequence[Path], align: Path | None, out: Path | None) -> None:
    """Return if a text can be aligned to what was named. Raises InvalidRequest."""
    if align is None:
        return
    if not align.is_file() or [file.is_file() for file in files] != [True]:
        raise InvalidRequest("--align takes one file of text, and one film to align it to.")
    if out is None and align.absolute().parent == files[0].absolute().parent:
        raise InvalidRequest("The text lies where its result would go, and is not replaced; name a folder with --out.")


def read_glossary(path: Path) -> dict[str, str]:
    """Return the terms of a glossary file, each with its translation; a term alone stands for itself.

    Raises:
        InvalidRequest: It cannot be read, or a line has no term.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The glossary {path} cannot be read: {error}.") from error
    terms: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        term, equals, meaning = (part.strip() for part in line.partition("="))
        if not term or (equals and not meaning):
            raise InvalidRequest(f"Line {number} of {path} is no term; write it like 'Enterprise = Empresa'.")
        terms[term] = meaning or term
    return terms


async def subtitle_all(request: Request, options: ClientOptions, output: Output) -> int:
    """Work on all that is asked for, print what became of it, and return the exit code."""
    work = Work(
        "subtitle",
        request.params,
        request.priority,
        times=request.times,
        batch=request.batch,
        keeps_names=True,
        find_done=partial(find_done, request=request),
    )
    # Not at the top: their package knows media, which takes time to import.
    from mediafleet.kinds.subtitle.names import SUBTITLE_ENDINGS  # noqa: PLC0415

    texts = frozenset(f".{ending}" for ending in SUBTITLE_ENDINGS)
    found = list(find_sources(request.paths, recursive=request.recursive, instead=texts))
    inputs = [one.path for one in found if isinstance(one, Source)]
    inputs += [request.align] if request.align else []
    targets = Targets(request.out or Path(), force=request.force, inputs=inputs)
    if request.out:
        targets.check_folder()
    items = [_make_item(one, targets, request) for one in found]
    skip_twins(found, items, request)
    if not options.server:
        check_engines(items, request, options.settings())
    try:
        with choose_display(output, count=len(items)) as display:
            await run_items(items, Shown(options, output, display), work, targets)
    finally:
        report(items, output)
    return 0 if items and all(item.is_good for item in items) else FAILED


def skip_twins(found: Sequence[Source | Unusable], items: Sequence[Item], request: Request) -> None:
    """Skip what a folder has of a film besides the one file of subtitles that is translated: others would take the same names."""
    # Not at the top: their package knows media, which takes time to import.
    from mediafleet.kinds.subtitle.names import is_subtitle_file, language_of  # noqa: PLC0415

    first: dict[tuple[Path, str], Path] = {}
    spoken = request.params["language"]
    for one, item in zip(found, items, strict=True):
        # Who names a file means it.
        if not isinstance(one, Source) or one.path in request.paths or not is_subtitle_file(one.path.name):
            continue
        language = language_of(one.path.name)
        if language and spoken not in {"auto", language}:
            item.skip(f"it is in {language} by its name, and --from is {spoken}")
            continue
        chosen = first.setdefault((one.path.parent, item.stem.casefold()), one.path)
        if chosen != one.path and item.phase is not Phase.OVER:
            item.skip(f"{chosen.name} is of the same film; name one of them, or its language with --from")


def check_engines(items: Sequence[Item], request: Request, settings: Settings) -> None:
    """Return if this machine, which is the fleet, has the engines for all that is left to do.

    Raises:
        CapabilityMissing: One is missing; the sentence says what to install.
    """
    # Not at the top: their packages know media, which takes time to import.
    from mediafleet.engines import EngineRegistry, Role  # noqa: PLC0415
    from mediafleet.engines.places import places_of  # noqa: PLC0415
    from mediafleet.kinds.subtitle.needs import needs_of  # noqa: PLC0415
    from mediafleet.kinds.subtitle.params import SubtitleParams  # noqa: PLC0415

    params = msgspec.convert(request.params, SubtitleParams)
    registry = EngineRegistry.installed(places_of(settings.engines))
    left = [item for item in items if item.phase is not Phase.OVER]
    for need in {need for item in left for need in needs_of(params, item.path.name)}:
        registry.find(need, adapter=params.recognizer if need.role is Role.RECOGNIZE else "")


def _make_item(found: Source | Unusable, targets: Targets, request: Request) -> Item:
    if isinstance(found, Unusable):
        item = Item(found.path, found.path, phase=Phase.OVER)
        item.fail(found.error.info())
        return item
    # Not at the top: their package knows media, which takes time to import.
    from mediafleet.kinds.subtitle.names import stem_of  # noqa: PLC0415

    folder = found.folder if request.out else found.path.absolute().parent
    stem = stem_of(found.path.name)
    more = (request.align,) if request.align else ()
    item = Item(found.path, targets.claim(stem, folder), stem=stem, more=more)
    if done := find_done(item, request):
        item.skip(done)
    return item


def find_done(item: Item, request: Request) -> str:
    """Return why nothing has to be done for a film; empty where something has."""
    is_more = request.align or any(request.params.get(name) for name in _MORE)
    have = [] if request.force or is_more else languages_that_are_there(item, request)
    return f"it has {', '.join(have)} already; --force makes them anew" if have else ""


def languages_that_are_there(item: Item, request: Request) -> list[str]:
    """Return the languages that are asked for, if subtitles in all of them lie where they would be put."""
    # Not at the top: their package knows media, which takes time to import.
    from mediafleet.kinds.subtitle.names import find_languages  # noqa: PLC0415

    folder = item.place.parent
    beside = [path.name for path in folder.iterdir() if path != item.path] if folder.is_dir() else []
    wanted: Sequence[str] = request.params["to"]
    have = find_languages(item.path.name, beside, request.endings, known=[*wanted, request.params["language"]])
    if not wanted:
        # Of what is spoken nobody may know the language yet: then any that is there is taken for it.
        spoken = request.params["language"]
        return sorted(have) if spoken == "auto" else [spoken] if spoken in have else []
    return list(wanted) if have.issuperset(wanted) else []


def _names(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split(",")] if text else []


def _words(text: str) -> list[str]:
    return [word for part in text.split(",") if (word := part.strip().lower())]
