"""`mediafleet restore`: brings back the originals that jobs replaced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mediafleet.artifacts.fingerprint import path_of_uri
from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._follow import JobWatch, OwnJobs, watching
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._replace import kept_uri
from mediafleet.cli._run import FAILED, guard, run_client
from mediafleet.domain.errors import Conflict, InputError, InvalidRequest, MediafleetError, Unavailable
from mediafleet.domain.job import Submission
from mediafleet.domain.lifecycle import JobStatus, PriorityClass

if TYPE_CHECKING:
    from collections.abc import Sequence

_NO_OPTIONS = ClientOptions()


def restore(*job_ids: Annotated[str, Parameter(name="ID")], options: ClientOptions = _NO_OPTIONS) -> int:
    """Bring back the originals that jobs replaced; the results are removed.

    Args:
        job_ids: Ids of jobs that were handed in with `--replace`.
        options: Shared options.
    """
    output = Output(as_json=options.json)

    def work() -> int:
        if not job_ids:
            raise InvalidRequest("Name at least one job; `mediafleet jobs` lists them.")
        return run_client(_restore_all(job_ids, options, output), output, debug=options.debug)

    return guard(work, output, debug=options.debug)


async def _restore_all(job_ids: Sequence[str], options: ClientOptions, output: Output) -> int:
    results: list[dict[str, Any]] = []
    async with open_fleet(options) as fleet:
        own = OwnJobs(fleet.client)
        async with watching(JobWatch(fleet.client, patience_s=fleet.patience_s), own, output) as watch:
            for job_id in job_ids:
                result: dict[str, Any] = {"id": job_id, "job": None, "path": None, "warnings": [], "error": None}
                results.append(result)
                try:
                    path = await _restore(job_id, own, watch, result)
                # As with other commands: no answer to one is no answer to all.
                except Unavailable:
                    raise
                except MediafleetError as error:
                    output.note(f"{job_id}: {error.message}")
                    result["error"] = {"code": error.code, "message": error.message}
                else:
                    result["path"] = str(path)
                    _say_restored(job_id, path, result["warnings"], output)
    output.document(results)
    return FAILED if any(result["error"] for result in results) else 0


def _say_restored(job_id: str, path: Path, warnings: Sequence[str], output: Output) -> None:
    output.say(f"{job_id} restored {path}")
    for warning in warnings:
        output.note(f"{job_id}: {warning}")


async def _restore(job_id: str, own: OwnJobs, watch: JobWatch, result: dict[str, Any]) -> Path:
    """Bring one original back and return where it is. Raises MediafleetError."""
    kept = kept_uri(await own.client.job(job_id))
    if not kept:
        raise Conflict(f"Job {job_id} has replaced no original, so there is none to bring back.")
    # A job and no call of its own: it runs where the file is, is tried again elsewhere, and shows up in the list.
    # Without what fingerprints it, since this machine may not see the file.
    wanted = Submission(
        "transcode", kept, {"restore": job_id}, PriorityClass.INTERACTIVE, name=f"restore {path_of_uri(kept).name}"
    )
    try:
        view = await own.submit(wanted)
    except InputError as error:
        sentence = (
            f"The original of {job_id} is no longer at {path_of_uri(kept)}: it was brought back, or its time is over."
        )
        raise Conflict(sentence, detail=error.message) from error
    result["job"] = view.id
    view = await watch.follow(view.id, own.note)
    if view.status is not JobStatus.COMPLETED:
        error = view.error
        raise Conflict(error.message if error else f"Job {view.id}, which was to restore it, is {view.status}.")
    result["warnings"] = list(view.warnings)
    return path_of_uri(str((view.result or {}).get("restored")))
