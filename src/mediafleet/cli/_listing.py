"""Reads lists of files: one a line, as a path or as JSON with what the file has of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mediafleet.domain.errors import InvalidRequest


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a list."""

    input: str
    params: dict[str, Any] = {}
    """On top of those of all files; null takes one away."""


_decode = msgspec.json.Decoder(Listed).decode


def read_listing(path: Path) -> list[Listed]:
    """Return what a list names, in order: a path a line, or `{"input": …, "params": {…}}`; empty lines are left out.

    Paths count from the folder of the list.

    Raises:
        InvalidRequest: It cannot be read, names nothing, or a line makes no sense.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise InvalidRequest(f"The list {path} cannot be read: {reason}.") from error
    found = [_read_line(path, number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise InvalidRequest(f"The list {path} names no files.")
    return found


def _read_line(path: Path, number: int, line: str) -> Listed:
    if not line.startswith("{"):
        return Listed(str(path.parent / line))
    try:
        listed = _decode(line.encode())
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"{path}, line {number}: {error}.") from error
    return msgspec.structs.replace(listed, input=str(path.parent / listed.input))
