"""Results that take their sources' places: what can be known beforehand, and what became of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediafleet.artifacts.fingerprint import path_of_uri
from mediafleet.artifacts.originals import result_name
from mediafleet.domain.errors import Conflict, InputError

if TYPE_CHECKING:
    from mediafleet.domain.job import JobView


def check_source(path: Path, ending: str) -> None:
    """Return if the result of a file may take its place, as far as that shows here; the work must not be done in vain.

    Args:
        ending: Of the result's name, with its dot; empty where only the fleet will know.

    Raises:
        InputError: It is a link.
        Conflict: Another file has the name that the result would get.
    """
    if path.is_symlink():
        raise InputError(f"{path} is a link, and only files are replaced; name the file that it leads to.")
    if not ending or (name := result_name(path.name, ending)) == path.name:
        return
    if os.path.lexists(place := path.with_name(name)):
        raise Conflict(f"{place} exists already and is not replaced by the result of {path.name}; move it away.")


def replaced_path(view: JobView) -> Path | None:
    """Return where a job's result has taken its source's place; None where the source has stayed."""
    replaced = _account(view).get("path")
    return path_of_uri(replaced) if isinstance(replaced, str) else None


def kept_uri(view: JobView) -> str:
    """Return the address of the original that a job keeps; empty where it replaced nothing."""
    kept = _account(view).get("kept")
    return kept if isinstance(kept, str) else ""


def _account(view: JobView) -> dict[str, Any]:
    account: dict[str, Any] | None = (view.result or {}).get("replaced")
    return account or {}
