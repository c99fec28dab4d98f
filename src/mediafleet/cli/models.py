"""`mediafleet models`: which speech engines could be loaded here, and the models that they need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._pulling import show_pulling
from mediafleet.cli._run import guard
from mediafleet.cli._text import size_text
from mediafleet.domain.errors import InvalidRequest, NotFound
from mediafleet.engines.models import known
from mediafleet.engines.models.pull import pull_model
from mediafleet.engines.models.survey import EngineFound, survey_engines, survey_folders
from mediafleet.engines.places import places_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mediafleet.engines.models.known import KnownModel
    from mediafleet.engines.offer import Offer, Where

_NO_OPTIONS = ClientOptions()
ENGINES = ("ENGINE", "DOES", "MODEL", "LANGUAGES")
KNOWN = ("MODEL", "ENGINE", "LANGUAGES", "SIZE", "LICENCE", "HERE")
_MOST_NAMED = 8


def models(
    action: Annotated[Literal["list", "pull", "path"], Parameter(name="ACTION")] = "list",
    /,
    *names: Annotated[str, Parameter(name="NAME")],
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """List speech engines and models, download models, or say where they belong. No fleet is needed.

    Nothing is downloaded but by `pull`.

    Args:
        action: list; pull models by their names; or path, of the folder of models or of a known one.
        names: Names of models, as the list shows them.
        options: Shared options.
    """
    output = Output(as_json=options.json)

    def work() -> int:
        if bool(names) and action == "list":
            raise InvalidRequest("`models list` takes no names.")
        if not names and action == "pull":
            raise InvalidRequest("`models pull` takes at least one name of a model (`mediafleet models list`).")
        where = places_of(options.settings().engines)
        wanted = [_find(name) for name in names]
        {"list": _list, "pull": _pull, "path": _path}[action](where, wanted, output)
        return 0

    return guard(work, output, debug=options.debug)


def _find(name: str) -> KnownModel:
    try:
        return known.find_known(known.read_known(known.KNOWN_FILE), name)
    except NotFound as error:
        raise InvalidRequest(error.message) from error


def _list(where: Where, _wanted: Sequence[KnownModel], output: Output) -> None:
    folder = Path(where.models)
    engines, problems = survey_engines(where), survey_folders(where)
    offered = known.read_known(known.KNOWN_FILE)
    output.document(
        {
            "folder": str(folder),
            "engines": [engine_entry(one) for one in engines],
            "problems": problems,
            "known": [known_entry(one, folder) for one in offered],
        }
    )
    output.table(ENGINES, [row for one in engines for row in engine_rows(one)], empty="")
    missing = [one for one in engines if one.advice]
    if missing:
        output.say("\nNot here:")
    for one in missing:
        output.say(f"  {one.name}: {one.advice}")
    output.say(f"\nModels belong into {folder}; `mediafleet models pull NAME` brings one of these:")
    output.table(KNOWN, [known_row(one, folder) for one in offered], empty="")
    for problem in problems:
        output.note(problem)


def _pull(where: Where, wanted: Sequence[KnownModel], output: Output) -> None:
    folder = Path(where.models)
    for one in wanted:
        is_here = one.place(folder).exists()
        if not is_here:
            output.note(f"{one.name}: {size_text(one.bytes)}, {one.licence}, from {one.address}")
        with show_pulling(output) as report:
            place = pull_model(one, folder, report)
        output.say(f"{one.name} {'was there already' if is_here else 'is there now'}: {place}")
    output.document([{"name": one.name, "path": str(one.place(folder))} for one in wanted])


def _path(where: Where, wanted: Sequence[KnownModel], output: Output) -> None:
    folder = Path(where.models)
    output.document({"folder": str(folder), "models": {one.name: str(one.place(folder)) for one in wanted}})
    for place in [one.place(folder) for one in wanted] or [folder]:
        output.say(str(place))


def engine_entry(one: EngineFound) -> dict[str, Any]:
    """Return an engine as JSON shows it."""
    return {
        "name": one.name,
        "role": one.role,
        "advice": one.advice,
        "offers": [
            {"model": offer.model, "place": offer.place, "languages": offer.languages, "pairs": offer.pairs}
            for offer in one.offers
        ],
    }


def engine_rows(one: EngineFound) -> Iterable[tuple[str, ...]]:
    """Yield a row under `ENGINES` for each thing that an engine could load; several of one model share theirs."""
    for offer in one.offers:
        yield one.name, one.role.name.lower().replace("_", " "), offer.model or "-", shorten(_languages(offer))


def _languages(offer: Offer) -> Sequence[str]:
    return offer.pairs or offer.languages


def shorten(languages: Sequence[str]) -> str:
    """Return languages or pairs on a line: the first ones and how many more there are; `any` where nobody named any."""
    more = len(languages) - _MOST_NAMED
    return " ".join(languages[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "") if languages else "any"


def known_entry(one: KnownModel, folder: Path) -> dict[str, Any]:
    """Return a known model as JSON shows it."""
    return {
        "name": one.name,
        "engine": one.adapter,
        "languages": one.languages,
        "bytes": one.bytes,
        "licence": one.licence,
        "address": one.address,
        "files": [file.name for file in one.files],
        "is_here": one.place(folder).exists(),
    }


def known_row(one: KnownModel, folder: Path) -> tuple[str, ...]:
    """Return a known model as a row under `KNOWN`."""
    is_here = "yes" if one.place(folder).exists() else ""
    return one.name, one.adapter, shorten(one.languages), size_text(one.bytes), one.licence, is_here
