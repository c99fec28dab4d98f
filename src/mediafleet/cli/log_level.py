"""`mediafleet log-level`: which lines the scheduler instances write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import guard, run_client
from mediafleet.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from mediafleet.domain.insight import LogLevels

_NO_OPTIONS = ClientOptions()
_HEADER = ("module", "level")


def log_level(
    module: Annotated[str, Parameter(name="MODULE")] = "",
    level: Annotated[str, Parameter(name="LEVEL")] = "",
    /,
    *,
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """Show or set which lines the scheduler instances and their nodes write.

    Args:
        module: A part of mediafleet (scheduler, scheduler.placer), root for everything, or the logger of a library.
        level: debug, info, warning or error; default undoes what was set.
        options: Shared options.
    """
    output = Output(as_json=options.json)

    def work() -> int:
        if module and not level:
            raise InvalidRequest("`log-level MODULE` needs a level: debug, info, warning, error or default.")
        return run_client(_ask(module, level, options, output), output, debug=options.debug)

    return guard(work, output, debug=options.debug)


async def _ask(module: str, level: str, options: ClientOptions, output: Output) -> int:
    async with open_fleet(options) as fleet:
        client = fleet.client
        found = await (client.set_log_level(module, level) if module else client.log_levels())
    output.document(found)
    output.table(_HEADER, _rows(found), empty="")
    return 0


def _rows(found: LogLevels) -> list[tuple[str, str]]:
    return [("everything else" if found.levels else "everything", found.default), *found.levels.items()]
