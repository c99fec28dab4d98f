"""Where this node has replaced files: one small file each in its data directory, so that a next life of it looks there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from mediafleet.artifacts.disk import sync_folder
from mediafleet.artifacts.fingerprint import path_of_uri, uri_of_path
from mediafleet.artifacts.originals.journal import check_name
from mediafleet.domain.errors import InvalidRequest

_ENDING = ".json"


class Entry(NamedTuple):
    """Where a job has replaced its original."""

    job: str
    folder: Path
    token: str = ""
    """Of the attempt of this node; empty for one of another."""


class _Written(msgspec.Struct, frozen=True):
    folder: str
    """As a `file://` address, which can name any bytes."""
    token: str = ""


class Ledger:
    """The folders in which jobs have replaced files; blocking. It only tells where to look: journals say what is there."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def note(self, entry: Entry) -> None:
        """Remember a folder, surviving a power loss."""
        self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._data / (check_name(entry.job) + _ENDING)
        draft = path.with_suffix(".tmp")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(_Written(uri_of_path(entry.folder), entry.token)))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(self._data)

    def drop(self, job: str) -> None:
        """Forget a job, if it is known."""
        (self._data / (check_name(job) + _ENDING)).unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """Return what is remembered; what cannot be read is left out."""
        found: list[Entry] = []
        # A folder that is missing has no entries.
        for path in sorted(self._data.glob(f"*{_ENDING}")):
            with suppress(OSError, msgspec.DecodeError, InvalidRequest):
                written = msgspec.json.decode(path.read_bytes(), type=_Written)
                found.append(Entry(path.stem, path_of_uri(written.folder), written.token))
        return found
