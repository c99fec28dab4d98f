"""Jobs that wait for other jobs: what a submission may name, and what becomes of it if one of those fails; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.domain.errors import ErrorInfo, InputError, InvalidRequest
from mediafleet.domain.ids import is_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.job import Submission

MOST_AFTER = 100
"""Jobs that one job may wait for; a job of many parts can be waited for by any number."""

# The script fills in {job} and {how}: which job ended, and how, is known in the step that looks.
DEPENDENCY_FAILED = ErrorInfo(
    "dependency-failed",
    "The job {job}, which this one waited for, {how}, so this one was not begun; once that one has completed after all, "
    "a retry of this one begins it.",
)


def named_jobs(submission: Submission, earlier: Sequence[str]) -> list[str]:
    """Return the ids of the jobs that a submission waits for, each once.

    Args:
        earlier: Ids that the submissions before it in the same call got.

    Raises:
        InvalidRequest: A number names no earlier submission of the call, or there are too many.
        InputError: A word is no id of a job.
    """
    if len(submission.after) > MOST_AFTER:
        raise InvalidRequest(f"after names {len(submission.after)} jobs; a job waits for at most {MOST_AFTER}.")
    return list(dict.fromkeys(_named(item, earlier) for item in submission.after))


def _named(item: str | int, earlier: Sequence[str]) -> str:
    if isinstance(item, str):
        if not is_id(item, "j"):
            raise unknown_job(item)
        return item
    # Only backwards: so no two submissions can wait for each other.
    if not 0 <= item < len(earlier):
        raise InvalidRequest(
            f"after names the submission {item} of the call, and this is number {len(earlier)}: it can wait for earlier ones, "
            "counted from 0, and for jobs by their ids."
        )
    return earlier[item]


def unknown_job(job: str) -> InputError:
    """Return the answer to a submission that waits for a job that is not there."""
    return InputError(
        f"There is no job {job[:100]!r} to wait for; it may have passed its retention. Leave it out of after, or name another."
    )
