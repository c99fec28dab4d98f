"""`mediafleet dead`: tasks that failed for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import FAILED, guard, run_client
from mediafleet.cli._show import DEAD_HEADER, dead_facts, dead_row
from mediafleet.cli._text import printable
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.errors import InvalidRequest, MediafleetError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.client import FleetClient

_NO_OPTIONS = ClientOptions()
_MOST_LISTED = 500


def dead(
    action: Annotated[Literal["list", "show", "retry", "drop"], Parameter(name="ACTION")] = "list",
    /,
    *tasks: Annotated[str, Parameter(name="TASK")],
    limit: int = 50,
    offset: int = 0,
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """List tasks that failed for good, look at them, try them again or drop them.

    Args:
        action: list; show what is known of tasks; retry their jobs; or drop them from the list.
        tasks: Ids of tasks, as the list shows them.
        limit: Most letters to list, 1 to 500.
        offset: Letters to skip.
        options: Shared options.
    """
    output = Output(as_json=options.json)

    def work() -> int:
        if not 1 <= limit <= _MOST_LISTED or offset < 0:
            raise InvalidRequest(f"--limit goes from 1 to {_MOST_LISTED}, and --offset from 0.")
        if bool(tasks) == (action == "list"):
            raise InvalidRequest(f"`dead {action}` takes {'no' if tasks else 'at least one'} task.")
        job = _list(offset, limit, options, output) if action == "list" else _each(action, tasks, options, output)
        return run_client(job, output, debug=options.debug)

    return guard(work, output, debug=options.debug)


async def _list(offset: int, limit: int, options: ClientOptions, output: Output) -> int:
    async with open_fleet(options) as fleet:
        page = await fleet.client.dead_letters(offset=offset, limit=limit)
    output.document(page)
    now_ms = SystemClock().now_ms()
    output.table(DEAD_HEADER, [dead_row(one, now_ms=now_ms) for one in page.letters], empty="No dead letters.")
    if page.total > page.offset + len(page.letters):
        output.note(f"{page.total} dead letters in all; --offset {page.offset + len(page.letters)} shows the next.")
    return 0


async def _each(action: str, tasks: Sequence[str], options: ClientOptions, output: Output) -> int:
    act = {"show": _show, "retry": _retry, "drop": _drop}[action]
    results: list[object] = []
    failed = False
    async with open_fleet(options) as fleet:
        for task in tasks:
            try:
                results.append(await act(fleet.client, task, output))
            # No answer to one is no answer to all.
            except Unavailable:
                raise
            except MediafleetError as error:
                failed = True
                output.note(f"{task}: {error.message}")
                results.append({"task": task, "error": {"code": error.code, "message": error.message}})
    output.document(results)
    return FAILED if failed else 0


async def _show(client: FleetClient, task: str, output: Output) -> object:
    letter = await client.dead_letter(task)
    for word, value in dead_facts(letter, now_ms=SystemClock().now_ms()):
        output.say(f"{word:8} {printable(value)}")
    return letter


async def _retry(client: FleetClient, task: str, output: Output) -> object:
    view = await client.retry_dead_letter(task)
    output.say(f"{view.id} goes again")
    return {"task": task, "job": view.id, "status": view.status, "error": None}


async def _drop(client: FleetClient, task: str, output: Output) -> object:
    await client.drop_dead_letter(task)
    output.say(f"{task} dropped")
    return {"task": task, "error": None}
