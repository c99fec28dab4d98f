"""Blobs for tests that are about something else than how bytes come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable

from mediafleet.artifacts.blobs import BlobStore


async def pieces(parts: Iterable[bytes]) -> AsyncGenerator[bytes]:
    """Yield bytes as a sender brings them."""
    for part in parts:
        yield part


async def stage(blobs: BlobStore, key: str, content: bytes) -> None:
    """Leave a blob that is not complete, and that nobody writes to."""
    await blobs.begin(key)
    async with blobs.claim(key) as staged:
        await staged.append(pieces([content]), most=len(content))


async def put_blob(blobs: BlobStore, key: str, content: bytes) -> None:
    """Store a complete blob; its key may have parts."""
    path = blobs.local_path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
