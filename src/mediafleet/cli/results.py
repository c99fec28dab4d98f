"""`mediafleet get`: fetches what a job made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._names import Targets, safe_name
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import run_client
from mediafleet.cli._text import size_text
from mediafleet.domain.errors import Conflict
from mediafleet.domain.lifecycle import JobStatus

if TYPE_CHECKING:
    from mediafleet.client import FleetClient
    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.domain.job import JobView

_NO_OPTIONS = ClientOptions()


def get(
    job_id: Annotated[str, Parameter(name="ID")],
    /,
    *,
    out: Annotated[Path, Parameter(metavar="DIR", show_default=False)] = Path(),
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """Fetch the results of a job.

    Args:
        job_id: The job's id, as `mediafleet jobs` shows it.
        out: Folder for the results, made where it is missing; this folder where not given.
        force: Replace files that exist.
        options: Shared options.
    """
    output = Output(as_json=options.json)
    targets = Targets(out, force=force)
    return run_client(_get(job_id, targets, options, output), output, debug=options.debug)


async def _get(job_id: str, targets: Targets, options: ClientOptions, output: Output) -> int:
    targets.check_folder()
    async with open_fleet(options) as fleet:
        view = await fleet.client.job(job_id)
        paths = await fetch_results(fleet.client, view, targets)
    output.document(
        [
            {"name": ref.name, "output": str(path), "size": ref.size}
            for ref, path in zip(view.outputs, paths, strict=True)
        ]
    )
    for ref, path in zip(view.outputs, paths, strict=True):
        output.say(f"{path} ({size_text(ref.size)})")
    if not paths:
        output.say(f"Job {view.id} made no files.")
    return 0


async def fetch_results(client: FleetClient, view: JobView, targets: Targets) -> list[Path]:
    """Fetch every output of a completed job, under the names that they have.

    Raises:
        Conflict: The job is not completed, or a name is taken; nothing was fetched then.
    """
    if view.status is not JobStatus.COMPLETED:
        reason = f": {view.error.message}" if view.error else "."
        raise Conflict(f"Job {view.id} is {view.status} and has no results{reason}")
    planned = [(ref, _place(ref, targets)) for ref in view.outputs]
    for _, path in planned:
        targets.check(path)
    for ref, path in planned:
        with targets.write(path) as partial:
            await client.artifacts.download(ref, partial)
    return [path for _, path in planned]


def _place(ref: ArtifactRef, targets: Targets) -> Path:
    name = Path(safe_name(ref.name))
    # Claimed without the ending: the second of two becomes `a-2.mp4`, not `a.mp4-2`.
    place = targets.claim(name.stem, ending=name.suffix)
    return place.with_name(place.name + name.suffix)
