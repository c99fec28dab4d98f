"""`mediafleet why`: why a job waits, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import run_client
from mediafleet.cli._text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediafleet.domain.explanation import Explanation, JobWhy

_NO_OPTIONS = ClientOptions()
_MOST_LINES = 10
"""Executors and pools that people are shown; programs get all that the answer has."""


def why(job_id: Annotated[str, Parameter(name="JOB")], /, *, options: ClientOptions = _NO_OPTIONS) -> int:
    """Say why a job waits, and what it waits for.

    Args:
        job_id: The job's id, as `mediafleet jobs` shows it.
        options: Shared options.
    """
    output = Output(as_json=options.json)

    async def work() -> int:
        async with open_fleet(options) as fleet:
            found = await fleet.client.why(job_id)
        output.document(found)
        for line in why_lines(found):
            output.say(printable(line))
        return 0

    return run_client(work(), output, debug=options.debug)


def why_lines(found: JobWhy) -> Iterator[str]:
    """Yield an answer as lines for people."""
    yield found.sentence
    if found.modules:
        yield ""
        yield from (f"{one.chain} {one.module} {one.state}: {one.sentence}" for one in found.modules)
    for task in found.tasks:
        yield ""
        yield f"{task.task} {task.state}"
        yield from _indent(task.explanation.words if task.explanation else (task.sentence,))
        if task.explanation:
            yield from _indent(_details(task.explanation))
    if found.tasks_left_out:
        yield ""
        yield f"and {found.tasks_left_out} more {'task' if found.tasks_left_out == 1 else 'tasks'}"


def _indent(lines: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _details(explanation: Explanation) -> Iterator[str]:
    for one in explanation.executors[:_MOST_LINES]:
        yield f"- {one.executor} ({one.used}/{one.slots}): {one.reason}"
    more = len(explanation.executors) - _MOST_LINES + explanation.executors_left_out
    if more > 0:
        yield f"- and {more} more executors"
    for lack in explanation.lacking[:_MOST_LINES]:
        slots = [f"{lack.slots_short} more {'slot' if lack.slots_short == 1 else 'slots'}"] if lack.slots_short else []
        yield f"- pool {lack.pool} lacks {', '.join([*lack.missing, *slots])}"
