"""Files that are used in place: how they are named, and the proof that two machines see the same one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from mediafleet.domain.artifact import Fingerprint
from mediafleet.domain.errors import InvalidRequest, MediafleetError, NotFound

SAMPLE_BYTES = 64 * 1024
_SCHEME = "file://"
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FINGERPRINT = re.compile(r"(\d{1,19})-([0-9a-f]{64})")


async def fingerprint(path: Path) -> Fingerprint:
    """Return the fingerprint of a regular file, without holding up the event loop.

    Raises:
        NotFound: There is no such file.
        InvalidRequest: It is no regular file, may not be read, or is still being written to.
    """
    return await asyncio.to_thread(fingerprint_of, path)


def fingerprint_of(path: Path) -> Fingerprint:
    """Return the fingerprint of a regular file; blocking. Errors are those of `fingerprint`."""
    descriptor = open_regular(path)
    try:
        return fingerprint_of_open(descriptor, path)
    finally:
        os.close(descriptor)


def open_regular(path: Path) -> int:
    """Open a file for reading and return its descriptor, which the caller closes; blocking.

    Raises:
        NotFound: There is no such file.
        InvalidRequest: It may not be read.
    """
    try:
        # Opening a pipe would block until somebody writes to it.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"There is no file {_shown(path)}.") from None
    except OSError as error:
        raise InvalidRequest(f"{_shown(path)} cannot be read: {error.strerror}.") from error


def fingerprint_of_open(descriptor: int, path: Path) -> Fingerprint:
    """Return the fingerprint of an opened file, whose name is used in errors only; blocking.

    Raises:
        InvalidRequest: It is no regular file, cannot be read, or is still being written to.
    """
    try:
        return _sample(descriptor, path)
    except OSError as error:
        raise InvalidRequest(f"{_shown(path)} cannot be read: {error.strerror}.") from error


async def sees_same_file(path: Path, expected: Fingerprint) -> bool:
    """Tell whether the file at the path is here and is the one that was fingerprinted; never raises for what is there."""
    try:
        # The path alone proves nothing: two machines may each have another disk mounted there.
        return await fingerprint(path) == expected
    except MediafleetError:
        return False


def sample_spans(size: int) -> list[tuple[int, int]]:
    """Return start and length of each stretch that a fingerprint is made of, in order."""
    # Three samples and not the whole: a film of 100 GB on a share would have to be read twice before any work.
    # Containers keep their index at the start or the end, so another cut of the same film shows there.
    starts = sorted({0, max(0, (size - SAMPLE_BYTES) // 2), max(0, size - SAMPLE_BYTES)})
    return [(start, min(SAMPLE_BYTES, size - start)) for start in starts]


def uri_of_path(path: Path) -> str:
    """Return the `file://` address of an absolute path, whatever bytes its name has.

    Raises:
        InvalidRequest: The path is relative.
    """
    if not path.is_absolute():
        raise InvalidRequest(f"{_shown(path)} is a relative path; only absolute ones mean the same to every machine.")
    return _SCHEME + quote(os.fsencode(path))


def path_of_uri(uri: str) -> Path:
    """Return the path that a `file://` address names.

    Raises:
        InvalidRequest: It is no such address, names a host or a relative path, or is not percent-encoded right.
    """
    encoded = uri.removeprefix(_SCHEME)
    if encoded == uri:
        raise InvalidRequest(f"{uri!r} is no file address; write it like file:///media/a.mkv.")
    if not encoded.startswith("/"):
        raise InvalidRequest(f"{uri!r} names a host or a relative path; write it like file:///media/a.mkv.")
    if "?" in encoded or "#" in encoded or _BAD_ESCAPE.search(encoded):
        raise InvalidRequest(f"{uri!r} is not percent-encoded right; write ? as %3F, # as %23 and % as %25.")
    path = unquote_to_bytes(encoded)
    # Looked at after decoding, since %2e%2e is another way to write the dots.
    if b"\0" in path or b".." in path.split(b"/"):
        raise InvalidRequest(f"{uri!r} has a part that no address may have: '..' or a zero byte.")
    return Path(os.fsdecode(path))


def input_uri(path: Path, proof: Fingerprint) -> str:
    """Return the address of a file together with its fingerprint: `file:///m/a.mkv#<size>-<sample sha256>`."""
    return f"{uri_of_path(path)}#{proof.size}-{proof.sample_sha256}"


def parse_input_uri(uri: str) -> tuple[Path, Fingerprint | None]:
    """Return path and, where the address carries one, fingerprint: the inverse of `input_uri` and `uri_of_path`.

    Raises:
        InvalidRequest: As for `path_of_uri`, or what follows the # is no fingerprint.
    """
    address, separator, proof = uri.partition("#")
    path = path_of_uri(address)
    if not separator:
        return path, None
    match = _FINGERPRINT.fullmatch(proof)
    if match is None:
        raise InvalidRequest(
            f"{proof!r} is no fingerprint; write #<size>-<sample sha256>, or %23 where # is part of the file's name."
        )
    return path, Fingerprint(int(match[1]), match[2])


def _sample(descriptor: int, path: Path) -> Fingerprint:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise InvalidRequest(f"{_shown(path)} is not a regular file.")
    size = found.st_size
    digest = hashlib.sha256()
    for start, length in sample_spans(size):
        digest.update(os.pread(descriptor, length, start))
    after = os.fstat(descriptor)
    if (after.st_size, after.st_mtime_ns) != (size, found.st_mtime_ns):
        raise InvalidRequest(f"{_shown(path)} is still being written to; try again when it is complete.")
    return Fingerprint(size, digest.hexdigest())


def _shown(path: Path) -> str:
    return repr(os.fsencode(path).decode(errors="replace"))
