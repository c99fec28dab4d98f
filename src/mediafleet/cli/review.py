"""`mediafleet review`: fetches what a job wants a person to look at, and puts it back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._names import Targets
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import guard, run_client
from mediafleet.domain.errors import InvalidRequest
from mediafleet.domain.review import ReviewAnswer, ReviewDocument

if TYPE_CHECKING:
    from mediafleet.client import FleetClient

_NO_OPTIONS = ClientOptions()
_STREAM = Path("-")
"""Stands for standard input or output."""
_File = Annotated[Path | None, Parameter(metavar="FILE", show_default=False)]


def review(
    job_id: Annotated[str, Parameter(name="JOB")],
    /,
    *,
    out: _File = None,
    put: _File = None,
    name: Annotated[str, Parameter(name="--review", show_default=False)] = "",
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    options: ClientOptions = _NO_OPTIONS,
) -> int:
    """Fetch what a job wants a person to look at, or put it back, corrected: then the job goes on.

    Args:
        job_id: The job's id, as `mediafleet jobs --status review` shows it.
        out: Where to put the document; standard output where not given, and for `-`.
        put: The corrected document; standard input for `-`.
        name: Which review, where the job has several.
        force: Replace a file that exists.
        options: Shared options.
    """
    output = Output(as_json=options.json)
    if out is not None and put is not None:
        return guard(_refuse, output, debug=options.debug)

    async def work() -> int:
        # Read first: what cannot be read should not start a fleet.
        body = None if put is None else _read(put)
        async with open_fleet(options) as fleet:
            if body is None:
                _write(await fleet.client.review(job_id, review=name), job_id, (out, force), output)
            else:
                await _put_back(fleet.client, job_id, ReviewAnswer(body, name), output)
        return 0

    return run_client(work(), output, debug=options.debug)


def _refuse() -> int:
    raise InvalidRequest("--out fetches the document and --put puts it back; give one of them.")


def _read(source: Path) -> bytes:
    return sys.stdin.buffer.read() if source == _STREAM else source.read_bytes()


async def _put_back(client: FleetClient, job_id: str, answer: ReviewAnswer, output: Output) -> None:
    view = await client.answer_review(job_id, answer)
    output.document(view)
    left = f"; it waits for {', '.join(view.reviews)}" if view.reviews else ""
    output.say(f"{view.id} {view.status}{left}")


def _write(document: ReviewDocument, job_id: str, where: tuple[Path | None, bool], output: Output) -> None:
    out, force = where
    if out is None or out == _STREAM:
        # As it is: what a program reads from a pipe it should be able to put back.
        sys.stdout.buffer.write(document.body)
        sys.stdout.buffer.flush()
        return
    with Targets(out.parent, force=force).write(out) as partial:
        partial.write_bytes(document.body)
    output.document({"review": document.review, "output": str(out), "size": len(document.body), "tag": document.tag})
    output.say(str(out))
    output.note(f"put it back with: mediafleet review {job_id} --review {document.review} --put {out}")
