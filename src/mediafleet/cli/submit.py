"""`mediafleet submit`: hands in a job of any kind."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from mediafleet.cli._fleet import Fleet, open_fleet
from mediafleet.cli._follow import JobWatch, OwnJobs, watching
from mediafleet.cli._hand_in import hand_in
from mediafleet.cli._inputs import Source, find_sources, is_address
from mediafleet.cli._limits import read_limits
from mediafleet.cli._moments import read_moment
from mediafleet.cli._names import Targets, safe_name
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._params import expected_ending, read_params
from mediafleet.cli._run import FAILED, guard, run_client
from mediafleet.cli._text import utf8
from mediafleet.cli.results import fetch_results
from mediafleet.domain.errors import InvalidRequest, MediafleetError
from mediafleet.domain.job import DEFAULT_TENANT, JobView, Submission
from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.domain.placement import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_NO_OPTIONS = ClientOptions()
_PolicyName = Literal["least_loaded", "random", "priority", "spread", "pack"]


@dataclass(frozen=True)
class Afterwards:
    """What to do once the job is handed in."""

    wait: bool = False
    out: Path | None = None
    force: bool = False


def submit(  # noqa: PLR0913 - a submission has as many parts
    kind: Annotated[str, Parameter(name="KIND")],
    /,
    *inputs: str,
    param: Annotated[tuple[str, ...], Parameter(negative="", show_default=False, metavar="KEY=VALUE")] = (),
    params: Annotated[str, Parameter(show_default=False, metavar="JSON")] = "",
    wait: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    out: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    priority: Literal["live", "interactive", "batch"] = "batch",
    policy: Annotated[_PolicyName | None, Parameter(show_default=False)] = None,
    urgency: int = 0,
    tenant: str = DEFAULT_TENANT,
    name: Annotated[str, Parameter(show_default=False)] = "",
    key: Annotated[str, Parameter(show_default=False)] = "",
    not_before: Annotated[str, Parameter(show_default=False, metavar="TIME")] = "",
    deadline: Annotated[str, Parameter(show_default=False, metavar="TIME")] = "",
    after: Annotated[tuple[str, ...], Parameter(negative="", show_default=False, metavar="ID")] = (),
    limit: Annotated[tuple[str, ...], Parameter(negative="", show_default=False, metavar="NAME=TIME")] = (),
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """Hand in a job of any kind.

    Args:
        kind: What is to be done: transcode, noop, or another installed kind.
        inputs: Files, or addresses like artifact:ID that the fleet reads itself.
        param: A parameter of the kind. Can be repeated.
        params: Parameters as one JSON object; --param goes on top.
        wait: Follow the job to its end; exit 0 only if it completed. Ctrl-C cancels it.
        out: With --wait: folder for the results.
        force: Replace files that exist there.
        priority: Which work goes first when there is more than the fleet can do at once.
        policy: Which node with room its tasks get; what the kind says where not given.
        urgency: Among your own work: one more goes before what you handed in up to a minute earlier.
        tenant: On whose behalf.
        name: A word for people; the input's file name where not given.
        key: Idempotency key: a second submission with the same key returns the first job.
        not_before: Nothing of it begins sooner: 2030-01-31T18:00, with an offset or in local time, or milliseconds since 1970.
        deadline: The job fails if it has not ended by then.
        after: A job that must have completed before this one begins; if it fails, so does this one. Can be repeated.
        limit: How long its tasks may take, as queue=10m (the wait for a node), accept, progress, total, or tries=5. Can be repeated.
        options: Shared options.
    """
    output = Output(as_json=options.json)

    def work() -> int:
        draft = Submission(
            kind,
            params=read_params(param, params),
            priority=PriorityClass(priority),
            policy=Policy(policy) if policy else None,
            urgency=urgency,
            tenant=utf8(tenant),
            name=utf8(name),
            idempotency_key=utf8(key),
            not_before=read_moment(not_before, "--not-before"),
            deadline=read_moment(deadline, "--deadline"),
            limits=read_limits(limit),
            after=[utf8(one) for one in after],
        )
        afterwards = Afterwards(wait or out is not None, out, force)
        return run_client(_submit(draft, (inputs, afterwards), options, output), output, debug=options.debug)

    return guard(work, output, debug=options.debug)


async def _submit(
    draft: Submission, what: tuple[tuple[str, ...], Afterwards], options: ClientOptions, output: Output
) -> int:
    words, afterwards = what
    inputs = [word if is_address(word) else _existing(word) for word in words]
    targets = _targets(draft, inputs, afterwards)
    async with open_fleet(options) as fleet:
        own = OwnJobs(fleet.client)
        view = await hand_in(own, draft, inputs, on_upload=_announce(output))
        if afterwards.wait:
            return await _see_through(view, (fleet, own), targets, output)
    output.document(view)
    output.say(view.id)
    if fleet.is_new:
        output.note(
            "The fleet that was started for this command ends soon; `mediafleet up` lets it go on with the job."
        )
    return 0


def _targets(draft: Submission, inputs: Sequence[str | Path], afterwards: Afterwards) -> Targets | None:
    """Return where results go, once it is sure that they can: the work must not end in a place that was taken before it.

    Raises:
        InputError: The folder cannot take them.
        Conflict: A result whose name is known already would replace what it should not.
    """
    if afterwards.out is None:
        return None
    files = [one for one in inputs if isinstance(one, Path)]
    targets = Targets(afterwards.out, force=afterwards.force, inputs=files)
    targets.check_folder()
    # Of other kinds only their own nodes know how they name what they make.
    if draft.kind == "transcode" and len(files) == len(inputs) == 1:
        # Params that do not fit are for the fleet to judge: it may know more of them than we do.
        with suppress(InvalidRequest):
            if ending := expected_ending(draft.params):
                targets.check(afterwards.out / safe_name(files[0].stem + ending))
    return targets


def _existing(word: str) -> Path:
    found = next(find_sources([Path(word)], recursive=False))
    # A folder stands for the files in it, so what comes back under another path was one.
    if isinstance(found, Source) and found.path == Path(word):
        return found.path
    raise found.error if not isinstance(found, Source) else MediafleetError(f"{word} is a folder; a job takes files.")


def _announce(output: Output) -> Callable[[float], None]:
    told: list[int] = []

    def advance(share: float) -> None:
        if (quarter := int(share * 4)) not in told:
            told.append(quarter)
            output.note(f"uploading {quarter * 25} %")

    return advance


async def _see_through(view: JobView, using: tuple[Fleet, OwnJobs], targets: Targets | None, output: Output) -> int:
    fleet, own = using
    follower = JobWatch(fleet.client, patience_s=fleet.patience_s, note=output.note)
    async with watching(follower, own, output) as watch:
        output.note(f"{view.id} accepted")
        view = await watch.follow(view.id, own.note)
        paths: list[Path] = []
        if view.status is JobStatus.COMPLETED and targets is not None:
            paths = await fetch_results(fleet.client, view, targets)
    output.document(view)
    reason = f": {view.error.message}" if view.error else ""
    output.say(f"{view.id} {view.status}{reason}")
    for path in paths:
        output.say(str(path))
    return 0 if view.status is JobStatus.COMPLETED else FAILED
