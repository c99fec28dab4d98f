"""The steps that put a result in its original's place, and an original back in its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.artifacts.fingerprint import path_of_uri, uri_of_path
from mediafleet.artifacts.originals import Replacement
from mediafleet.domain.errors import InputError, InvalidRequest
from mediafleet.domain.plan import TaskResult
from mediafleet.kinds.transcode.params import TranscodeParams
from mediafleet.kinds.transcode.replace_plan import ReplaceOrder, check_replaceable

if TYPE_CHECKING:
    from pathlib import Path

    from mediafleet.artifacts.originals import Originals
    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.kinds.seam import TaskContext


_COARSEST_NS = 2_000_000_000
"""Nodes may see one file by different file systems, and FAT keeps every other second."""


async def replace_original(context: TaskContext) -> TaskResult:
    """Put the first input in the place of the second; the original goes to the trash folder beside it."""
    order = msgspec.convert(context.spec.payload, ReplaceOrder)
    result, original = context.spec.inputs
    check_replaceable(original)
    context.report(0.0, stage="replacing")
    if original.fingerprint is None:
        raise InvalidRequest("An original without a fingerprint cannot be replaced.")
    wanted = Replacement(
        order.job,
        path_of_uri(original.uri),
        original.fingerprint,
        order.ending,
        result.sha256,
        order.trash_ms,
        int(order.mtime_ns),
    )
    replaced = await context.originals.replace(wanted, await context.fetch(result))
    account: dict[str, Any] = {
        # As addresses, which can name any bytes; a name that is no text would fit into no answer.
        "path": uri_of_path(replaced.path),
        "kept": uri_of_path(replaced.kept),
        "until_ms": replaced.until_ms,
    }
    return TaskResult(account, warnings=replaced.warnings)


async def restore_original(context: TaskContext) -> TaskResult:
    """Bring back the original that a job replaced; the input is the file as it is kept."""
    params = msgspec.convert(context.spec.params, TranscodeParams)
    context.report(0.0, stage="restoring")
    restored = await context.originals.restore(params.restore, path_of_uri(context.spec.inputs[0].uri))
    return TaskResult({"restored": uri_of_path(restored.path)}, warnings=restored.warnings)


def look_in_place(originals: Originals, params: TranscodeParams, ref: ArtifactRef, path: Path) -> str:
    """Return when a source was changed last, nanoseconds as text, if it is read in place; "0" for a copy of it.

    Raises:
        InputError: It is to be replaced, and is a link or in a folder that this node may replace files in but cannot write
            to: to be said now and not after hours of encoding.
    """
    # A copy has a time of its own, which says nothing of its source.
    if not ref.uri.startswith("file://") or not originals.is_in_place(asked := path_of_uri(ref.uri), path):
        return "0"
    if params.replace:
        if path.is_symlink():
            raise InputError(f"{ref.name!r} is a link, and only files are replaced; name the file that it leads to.")
        originals.check(asked)
    return str(path.stat().st_mtime_ns)


def has_changed(before: str, now: str) -> bool:
    """Tell whether a source was changed between two looks at it, which may be those of two nodes; "0" tells nothing."""
    return "0" not in {before, now} and abs(int(now) - int(before)) > _COARSEST_NS
