"""Files of a task: inputs under plain names, and records as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from mediafleet.domain.errors import TaskFailed

if TYPE_CHECKING:
    from pathlib import Path

    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.kinds.seam import TaskContext

T = TypeVar("T")


async def link_source(context: TaskContext, ref: ArtifactRef) -> Path:
    """Fetch an input and return it under a plain name, so that no tool has to cope with the user's."""
    path = await context.fetch(ref)
    ending = path.suffix.lower() if path.suffix[1:].isalnum() and path.suffix.isascii() else ""
    link = context.workspace / f"input{ending}"
    link.symlink_to(path.absolute())
    return link


async def read_record(context: TaskContext, ref: ArtifactRef, kind: type[T]) -> T:
    """Fetch what another step published as JSON.

    Raises:
        TaskFailed: It is no such record.
    """
    path = await context.fetch(ref)
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.MsgspecError as error:
        raise TaskFailed(f"{ref.name} is no {kind.__name__}: {error}.") from error


async def publish_record(context: TaskContext, record: msgspec.Struct, *, name: str) -> ArtifactRef:
    """Publish a record as JSON."""
    path = context.workspace / name
    path.write_bytes(msgspec.json.encode(record))
    return await context.publish(path, name=name)
