"""Brings a known model into the folder of models: nothing is there before all of it is there and was checked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import IO, TypeAlias
from zipfile import BadZipFile, ZipFile

import httpx

from mediafleet.domain.errors import MediafleetError, TaskFailed, Unavailable
from mediafleet.engines.models.known import KnownModel, ModelFile

Report: TypeAlias = Callable[[ModelFile, int, int], None]
"""Takes a file, how many bytes of it are here, and how many there are; 0 where nobody knows."""

_TIMEOUT = httpx.Timeout(60.0, connect=15.0)
_PIECE_BYTES = 1 << 20


def pull_model(model: KnownModel, models: Path, report: Report) -> Path:
    """Download a model and return its folder; what is there already is not touched.

    Args:
        model: Which one.
        models: The folder of models; made where it is missing.
        report: Told how far it is, after each piece.

    Raises:
        Unavailable: The network or the server is not there; the sentence says which files to put where by hand.
        TaskFailed: What came is not what is known of the model.

    Safe to repeat and to interrupt: a folder beside those of the adapters is filled first, then renamed.
    """
    place = model.place(models)
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    # No folder of an adapter: nobody looks for models here.
    making = Path(mkdtemp(prefix=".pull-", dir=models))
    try:
        _fill(making, model, report)
        # What `mkdtemp` makes is for its owner alone; nodes may run as somebody else.
        making.chmod(0o755)
        making.rename(place)
    except httpx.HTTPError as error:
        raise _explain(model, place, error) from error
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(making)
    return place


def _fill(folder: Path, model: KnownModel, report: Report) -> None:
    with httpx.Client(follow_redirects=True, timeout=_TIMEOUT) as client:
        for file in model.files:
            path = folder / file.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with client.stream("GET", f"{model.address}/{file.name}") as response, path.open("wb") as target:
                response.raise_for_status()
                _copy(response, target, file, report)
            if file.is_archive:
                unpack(path, folder)
                path.unlink()


def _copy(response: httpx.Response, target: IO[bytes], file: ModelFile, report: Report) -> None:
    """Write a file and check it.

    Raises:
        TaskFailed: Its size or hash is another one.
    """
    total = file.bytes or int(response.headers.get("Content-Length", "0"))
    came, seen = 0, sha256()
    for piece in response.iter_bytes(_PIECE_BYTES):
        target.write(piece)
        seen.update(piece)
        came += len(piece)
        report(file, came, total)
    if file.bytes and came != file.bytes:
        raise TaskFailed(f"{response.url} has {came:,} bytes, not {file.bytes:,}; nothing was kept.")
    if file.sha256 and seen.hexdigest() != file.sha256:
        raise TaskFailed(f"{response.url} is not the file that is known: its SHA-256 is another one; nothing was kept.")


def unpack(path: Path, folder: Path) -> None:
    """Write what is in the one folder of a ZIP into a folder.

    Raises:
        TaskFailed: It is no ZIP, or has files outside one folder.
    """
    try:
        with ZipFile(path) as archive:
            names = [PurePosixPath(name) for name in archive.namelist()]
            if len({name.parts[0] for name in names}) != 1 or any(
                ".." in name.parts or name.is_absolute() for name in names
            ):
                raise TaskFailed(f"{path.name} is no archive of one folder; nothing was kept.")
            for entry in archive.infolist():
                target = folder.joinpath(*PurePosixPath(entry.filename).parts[1:])
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    except BadZipFile as error:
        raise TaskFailed(f"{path.name} is no archive: {error}; nothing was kept.") from error


def _explain(model: KnownModel, place: Path, error: httpx.HTTPError) -> MediafleetError:
    refused = isinstance(error, httpx.HTTPStatusError)
    why = (
        f"answered {error.response.status_code}" if refused else f"cannot be reached ({error or type(error).__name__})"
    )
    what = ", ".join(file.name for file in model.files)
    unpacked = ", unpacked" if any(file.is_archive for file in model.files) else ""
    return Unavailable(f"{model.address} {why}. Put {what} from there{unpacked} into {place} by hand.")
