"""`mediafleet jobs`, `job`, `cancel`, `retry`: jobs that were handed in before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import FAILED, guard, run_client
from mediafleet.cli._show import JOB_HEADER, job_facts, job_row
from mediafleet.cli._text import printable
from mediafleet.cli._values import defaults_of
from mediafleet.client import FleetClient, JobFilter
from mediafleet.domain.clock import SystemClock
from mediafleet.domain.errors import InvalidRequest, MediafleetError, Unavailable
from mediafleet.domain.event import Event, EventType
from mediafleet.domain.lifecycle import JobStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mediafleet.domain.job import JobView

_NO_OPTIONS = ClientOptions()
_MOST_LISTED = 500
"""The API's limit of one page."""
_Status = Literal["pending", "uploading", "processing", "paused", "review", "completed", "failed", "cancelled"]
_JobIds = Annotated[tuple[str, ...], Parameter(name="ID")]


def jobs(
    *,
    status: _Status | None = None,
    kind: Annotated[str, Parameter(show_default=False)] = "",
    limit: int = 50,
    offset: int = 0,
    watch: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """List jobs, newest first.

    Args:
        status: Only jobs with this status.
        kind: Only jobs of this kind.
        limit: Most jobs to list, 1 to 500.
        offset: Jobs to skip.
        watch: Afterwards tell of all that happens to jobs, until Ctrl-C; with --json a line for each event, and for an error.
        options: Shared options.
    """
    output = Output(as_json=options.json, in_lines=watch)

    def work() -> int:
        if not 1 <= limit <= _MOST_LISTED or offset < 0:
            raise InvalidRequest(f"--limit goes from 1 to {_MOST_LISTED}, and --offset from 0.")
        wanted = JobFilter(JobStatus(status) if status else None, kind, offset, limit)
        return run_client(_list(wanted, options, output, watch=watch), output, debug=options.debug)

    return guard(work, output, debug=options.debug)


async def _list(wanted: JobFilter, options: ClientOptions, output: Output, *, watch: bool) -> int:
    async with open_fleet(options) as fleet:
        # A program that watches gets lines of one kind; a page before them would be another.
        if not (watch and output.as_json):
            page = await fleet.client.jobs(wanted)
            output.document(page)
            now_ms = SystemClock().now_ms()
            output.table(JOB_HEADER, [job_row(view, now_ms=now_ms) for view in page.jobs], empty="No jobs.")
            if page.total > page.offset + len(page.jobs):
                output.note(f"{page.total} jobs in all; --offset {page.offset + len(page.jobs)} shows the next.")
        if watch:
            async for event in fleet.client.events(patience_s=fleet.patience_s):
                if isinstance(event, Event) and event.job:
                    output.line(event, describe(event))
    return 0


def describe(event: Event) -> str:
    """Return an event of a job as a line for people."""
    words = [event.job, event.type.removeprefix("job.").removeprefix("task.")]
    if event.type is EventType.JOB_PROGRESSED:
        words += [f"{float(event.data.get('progress', 0)):.0%}", str(event.data.get("stage", ""))]
    error = event.data.get("error")
    if isinstance(error, dict):
        words.append(str(error.get("message", "")))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - JSON of unknown depth
    return " ".join(word for word in words if word)


def job(job_id: Annotated[str, Parameter(name="ID")], /, *, options: ClientOptions = _NO_OPTIONS) -> int:
    """Show all that is known of one job.

    Args:
        job_id: The job's id, as `mediafleet jobs` shows it.
        options: Shared options.
    """
    output = Output(as_json=options.json)

    async def work() -> int:
        async with open_fleet(options) as fleet:
            view = await fleet.client.job(job_id)
            output.document(view)
            if output.as_json:
                return 0
            defaults = defaults_of(await fleet.client.kinds(), view.kind)
        for word, value in job_facts(view, now_ms=SystemClock().now_ms(), defaults=defaults):
            output.say(f"{word:8} {printable(value)}")
        return 0

    return run_client(work(), output, debug=options.debug)


def cancel(*job_ids: Annotated[str, Parameter(name="ID")], options: ClientOptions = _NO_OPTIONS) -> int:
    """Cancel jobs.

    Args:
        job_ids: Ids of jobs, as `mediafleet jobs` shows them.
        options: Shared options.
    """
    return steer_jobs(job_ids, FleetClient.cancel, "cancelled", options)


def retry(*job_ids: Annotated[str, Parameter(name="ID")], options: ClientOptions = _NO_OPTIONS) -> int:
    """Give failed or cancelled jobs another go.

    Args:
        job_ids: Ids of jobs, as `mediafleet jobs` shows them.
        options: Shared options.
    """
    return steer_jobs(job_ids, FleetClient.retry, "goes again", options)


def steer_jobs(
    job_ids: Sequence[str], act: Callable[[FleetClient, str], Awaitable[JobView]], done: str, options: ClientOptions
) -> int:
    """Do the same with several jobs, one after the other; those that refuse do not hold up the others."""
    output = Output(as_json=options.json)

    def work() -> int:
        if not job_ids:
            raise InvalidRequest("Name at least one job; `mediafleet jobs` lists them.")
        return run_client(_steer_all(job_ids, act, done, (options, output)), output, debug=options.debug)

    return guard(work, output, debug=options.debug)


async def _steer_all(
    job_ids: Sequence[str],
    act: Callable[[FleetClient, str], Awaitable[JobView]],
    done: str,
    shown: tuple[ClientOptions, Output],
) -> int:
    options, output = shown
    results: list[dict[str, object]] = []
    async with open_fleet(options) as fleet:
        for job_id in job_ids:
            try:
                view = await act(fleet.client, job_id)
            # No answer to one is no answer to all: each further one would only wait for as long again.
            except Unavailable:
                raise
            except MediafleetError as error:
                output.note(f"{job_id}: {error.message}")
                results.append({"id": job_id, "status": None, "error": {"code": error.code, "message": error.message}})
            else:
                output.say(f"{job_id} {done}")
                results.append({"id": job_id, "status": view.status, "error": None})
    output.document(results)
    return FAILED if any(result["error"] for result in results) else 0
