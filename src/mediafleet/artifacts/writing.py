"""Uploads that go past the scheduler: one request to a presigned address, and word to the scheduler once they are there."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.artifacts.exchange import STALL_S, StorageAway, decode, retries
from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import UploadMismatch

if TYPE_CHECKING:
    from mediafleet.artifacts.exchange import Exchange
    from mediafleet.artifacts.sending import Source

MOST_PAST_BYTES = 5 * 1024**3
"""Largest object that S3 takes in one request, and only that can be presigned."""
_MD5_DIGITS = 32


@dataclass(frozen=True)
class _Hashes:
    sha256: str
    md5: bytes


async def write_past(exchange: Exchange, upload: str, source: Source) -> ArtifactRef | None:
    """Write an upload to its address and complete it; None if the address gives nothing, and the scheduler may do better.

    A connection that breaks costs the bytes that went over it: a request cannot go on in the middle.

    Raises:
        UploadMismatch: Other bytes arrived than were sent, each time.
        SchedulerUnavailable: The scheduler does not answer; what was written stays.
        MediafleetError: What the scheduler says against it.
    """
    hashes = await asyncio.to_thread(_hash, source)
    try:
        async for attempt in retries():
            with attempt:
                await _write(exchange, upload, source, hashes.md5)
    except StorageAway:
        return None
    body, headers = msgspec.json.encode({"sha256": hashes.sha256}), {"Content-Type": "application/json"}
    async for attempt in retries():
        with attempt:
            async with exchange.request("POST", f"/{upload}/complete", data=body, headers=headers) as response:
                return decode(await response.read(), ArtifactRef)
    raise AssertionError("retries end by returning or raising")  # pragma: no cover


async def _write(exchange: Exchange, upload: str, source: Source, md5: bytes) -> None:
    # Asked for each time: the address of the last try may have expired in it.
    location = await exchange.locate(upload)
    source.arrived = 0
    headers = {
        "Content-Length": str(source.size),
        "Content-Type": "application/octet-stream",
        # What arrives damaged is refused there, and not found out by whoever reads it.
        "Content-MD5": base64.b64encode(md5).decode(),
    }
    try:
        async with (
            asyncio.timeout(STALL_S) as deadline,
            exchange.go_to(location, headers=headers, data=source.read(deadline, STALL_S)) as response,
        ):
            tag = response.headers.get("ETag", "").strip('"')
    except TimeoutError:
        raise StorageAway("The object store took no more bytes; try again.") from None
    except StorageAway as error:
        # A body that cannot be read to its end looks like a connection that broke.
        raise source.fault or error from None
    # Of an object in one part, and not encrypted with a key of its own, the tag is the MD5.
    if len(tag) == _MD5_DIGITS and tag != md5.hex():
        raise UploadMismatch("Other bytes of the file arrived than were sent; send it again.")


def _hash(source: Source) -> _Hashes:
    """Hash the whole file; blocking. Its SHA-256 is that of the source from then on."""
    md5: Any = hashlib.md5(usedforsecurity=False)
    while source.hashed < source.size:
        md5.update(source.next_block(source.hashed))
    return _Hashes(source.digest.hexdigest(), md5.digest())
