"""`mediafleet batch`: how far many jobs are that were handed in as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import run_client
from mediafleet.cli._text import printable

if TYPE_CHECKING:
    from mediafleet.domain.batch import BatchJob, BatchView

_NO_OPTIONS = ClientOptions()
_HEADER = ("ID", "STATUS", "PROGRESS", "STAGE", "LEFT", "NAME")
_MINUTE_S = 60


def batch(
    name: Annotated[str, Parameter(name="BATCH")],
    /,
    *,
    offset: int = 0,
    limit: int = 50,
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """Show how far a batch is: all of it, and each of its jobs.

    Args:
        name: What it was called when it was handed in.
        offset: Jobs to skip.
        limit: Most jobs to list, 1 to 500.
        options: Shared options.
    """
    output = Output(as_json=options.json)

    async def work() -> int:
        async with open_fleet(options) as fleet:
            view = await fleet.client.batch(name, offset=offset, limit=limit)
        output.document(view)
        output.table(_HEADER, [_row(job) for job in view.jobs], empty="No jobs.")
        output.say(describe(view))
        return 0

    return run_client(work(), output, debug=options.debug)


def describe(view: BatchView) -> str:
    """Return all of a batch in a line for people."""
    counts = ", ".join(f"{count} {status}" for status, count in sorted(view.statuses.items()))
    left = f", about {_span(view.eta_ms)} left" if view.eta_ms is not None else ""
    return f"{view.total} jobs: {counts}; {view.progress:.0%}{left}."


def _row(job: BatchJob) -> list[str]:
    left = _span(job.eta_ms) if job.eta_ms is not None else ""
    return [job.id, job.status, f"{job.progress:.0%}", job.stage, left, printable(job.name)]


def _span(milliseconds: int) -> str:
    minutes, seconds = divmod(round(milliseconds / 1000), _MINUTE_S)
    hours, minutes = divmod(minutes, _MINUTE_S)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
