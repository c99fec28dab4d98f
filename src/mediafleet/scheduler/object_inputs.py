"""Inputs that lie in an object store: checked when they are submitted and again before each use, read by address."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from mediafleet.artifacts.buckets import Bucket, BucketAccess, changed, split_address
from mediafleet.artifacts.fingerprint import sample_spans
from mediafleet.domain.artifact import ArtifactRef, Fingerprint, Location
from mediafleet.domain.errors import InputError, NotFound

if TYPE_CHECKING:
    from mediafleet.ops.settings import ArtifactSettings


def access_of(settings: ArtifactSettings) -> BucketAccess:
    """Return how the settings say that object stores are reached."""
    return BucketAccess(settings.endpoint, settings.region, settings.access_key, settings.secret_key)


class ObjectArtifact:
    """An object that was named as input, streamed to whoever cannot reach the object store."""

    def __init__(self, ref: ArtifactRef, bucket: Bucket, key: str) -> None:
        self.ref = ref
        self.size = ref.size
        self._bucket = bucket
        self._key = key

    def read(self, start: int, length: int) -> AsyncIterator[bytes]:
        """Stream a range in pieces of bounded size."""
        return self._bucket.stream(self._key, start=start, length=length, version=self.ref.version)


class ObjectInputs:
    """Objects that may be named as inputs: those below addresses that the operator named, and nothing else."""

    def __init__(self, settings: ArtifactSettings) -> None:
        self._roots = settings.object_roots
        self._access = access_of(settings)
        self._buckets: dict[str, Bucket] = {}

    async def prove(self, uri: str) -> tuple[str, Fingerprint, str]:
        """Return name, fingerprint and version of an object that may be used.

        Raises:
            InputError: It may not be used, or there is none.
            Unavailable: The object store does not answer, or refuses the scheduler's key.
        """
        bucket, key = self._find(uri)
        try:
            size, version = await bucket.look(key)
            proof = await _fingerprint(bucket, key, size)
        except NotFound as error:
            raise InputError(f"There is no object {uri!r}, or not for the key of this fleet.") from error
        return key.rpartition("/")[2], proof, version

    async def open(self, ref: ArtifactRef) -> ObjectArtifact:
        """Open an input for reading. Raises NotFound where it is not the one that was submitted."""
        bucket, key = await self._found(ref)
        return ObjectArtifact(ref, bucket, key)

    async def locate(self, ref: ArtifactRef) -> Location:
        """Return where an input may be read for a while. Raises NotFound as for `open`."""
        bucket, key = await self._found(ref)
        # Its own version only: what lies there in a minute may be another, and a copy made of both would be neither.
        return await bucket.locate(key, "GET", version=ref.version)

    async def _found(self, ref: ArtifactRef) -> tuple[Bucket, str]:
        try:
            bucket, key = self._find(ref.uri)
        except InputError as error:
            raise NotFound(error.message) from error
        # A job may wait for days, and a name may be given to another object meanwhile.
        size, version = await bucket.look(key)
        is_same = version == ref.version
        if not ref.version:
            # Some stores tell none.
            is_same = size == ref.size and await _fingerprint(bucket, key, size) == ref.fingerprint
        if not is_same:
            raise changed(ref.uri)
        return bucket, key

    def _find(self, uri: str) -> tuple[Bucket, str]:
        scheme, name, key = split_address(uri, InputError)
        if not key or key.endswith("/"):
            raise InputError(f"{uri!r} names no object; write it like s3://bucket/film.mkv.")
        if not any(uri.startswith(root if root.endswith("/") else f"{root}/") for root in self._roots):
            raise InputError(
                f"Objects may not be used from {f'{scheme}://{name}'!r}; add the address to artifacts.object_roots."
            )
        address = f"{scheme}://{name}"
        if address not in self._buckets:
            self._buckets[address] = Bucket(address, self._access)
        return self._buckets[address], key


async def _fingerprint(bucket: Bucket, key: str, size: int) -> Fingerprint:
    samples = await asyncio.gather(*(bucket.read(key, start, length) for start, length in sample_spans(size)))
    return Fingerprint(size, hashlib.sha256(b"".join(samples)).hexdigest())
