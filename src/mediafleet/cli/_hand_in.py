"""Hands a job in with its local files: in place where the fleet can see them, else uploaded first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mediafleet.artifacts.fingerprint import fingerprint, input_uri
from mediafleet.cli._text import utf8
from mediafleet.domain.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediafleet.cli._follow import OwnJobs
    from mediafleet.client import FleetClient
    from mediafleet.domain.job import JobView, Submission


async def hand_in(
    own: OwnJobs,
    draft: Submission,
    inputs: Sequence[str | Path],
    *,
    on_upload: Callable[[float], None],
    on_accepted: Callable[[JobView], None] | None = None,
    in_place_only: bool = False,
) -> JobView:
    """Submit the draft with these inputs and return the job.

    Args:
        own: Remembers the job, so that an interruption can end it.
        inputs: Paths of local files, and addresses that are passed on as they are.
        on_upload: Called with the share 0..1 that is uploaded; not called for what is used in place.
        in_place_only: Never upload, since an upload would not do.
        on_accepted: Called with the job as soon as it is known, even if an interruption then ends this call.

    Raises:
        MediafleetError: The fleet does not take the job, or an upload failed.
        OSError: A file cannot be read.
    """
    seen_in_place = [await _in_place(one) if isinstance(one, Path) else one for one in inputs]
    try:
        return await own.submit(_with_inputs(draft, seen_in_place), on_accepted=on_accepted)
    except InputError as error:
        # The general code: the fleet cannot see the file. The special ones are about the kind or its params.
        if error.code != InputError.code or not any(isinstance(one, Path) for one in inputs):
            raise
        if in_place_only:
            raise InputError(f"Only a file that the fleet uses in place can be replaced. {error.message}") from error
    uploads = _Uploads(own.client, sum(_size(one) for one in inputs if isinstance(one, Path)), on_upload)
    uploaded = [await uploads.send(one) if isinstance(one, Path) else one for one in inputs]
    return await own.submit(_with_inputs(draft, uploaded), on_accepted=on_accepted)


async def _in_place(path: Path) -> str:
    place = _nameable(path)
    return input_uri(place, await fingerprint(place))


def _nameable(path: Path) -> Path:
    # Addresses with `..` are refused; resolving every path would undo links that other machines may share.
    return path.resolve() if ".." in path.parts else path.absolute()


class _Uploads:
    """The files of one job on their way, told of as one."""

    def __init__(self, client: FleetClient, total: int, on_upload: Callable[[float], None]) -> None:
        self._client = client
        self._total = total
        self._on_upload = on_upload
        self._sent = 0
        on_upload(0.0)

    async def send(self, path: Path) -> str:
        """Upload a file and return its address."""
        ref = await self._client.artifacts.upload(path, name=utf8(path.name), on_progress=self._tell)
        self._sent += ref.size
        return f"artifact:{ref.id}"

    def _tell(self, moved: int) -> None:
        # A file may have grown since it was looked at.
        self._on_upload(min(1.0, (self._sent + moved) / self._total) if self._total else 1.0)


def _size(path: Path) -> int:
    return path.stat().st_size


def _with_inputs(draft: Submission, inputs: list[str]) -> Submission:
    if not inputs:
        return draft
    return msgspec.structs.replace(draft, input=inputs[0] if len(inputs) == 1 else inputs)
