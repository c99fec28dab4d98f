"""Object stores (S3, GCS, Azure): the objects below one address, and what their refusals mean."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import from_url

from mediafleet.domain.artifact import OBJECT_ADDRESS, Location
from mediafleet.domain.errors import ConfigError, InputError, NotFound, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

SCHEMES = ("s3", "gs", "az")
LIFE_S = 900
"""How long a presigned address is good for: short, since whoever has it needs no other credential."""
READ_BYTES = 8 * 1024 * 1024
"""Asked for in one request: a request to an object store takes tens of milliseconds, whatever comes back."""
FAULTS = (OSError, BaseError, ValueError)
"""What obstore raises; a missing object or bucket is a FileNotFoundError."""
_MOST_PARTS = 9_000
"""Of one upload: S3 takes 10,000."""
_RETRIES: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=20)}
_REASONS = (
    ("SignatureDoesNotMatch", "the secret key is wrong"),
    ("InvalidAccessKeyId", "the access key is not known there"),
    ("RequestTimeTooSkewed", "the clock of this machine is wrong"),
    ("NoSuchBucket", "there is no such bucket"),
)
"""Codes of S3 in the words that an operator can act on."""


@dataclass(frozen=True)
class BucketAccess:
    """How to get at object stores; what is empty comes from the variables that their own tools read (`AWS_…`)."""

    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)

    def config(self, scheme: str) -> dict[str, str]:
        """Return it in obstore's words."""
        names = {
            "s3": ("endpoint", "region", "access_key_id", "secret_access_key"),
            "az": ("endpoint", "", "account_name", "account_key"),
            "gs": ("", "", "", "service_account_key"),
        }[scheme]
        values = (self.endpoint, self.region, self.access_key, self.secret_key)
        return {name: value for name, value in zip(names, values, strict=True) if name and value}


class Bucket:
    """The objects below one address, such as `s3://bucket/prefix`."""

    def __init__(self, url: str, access: BucketAccess) -> None:
        """Prepare; nothing is asked of the store yet.

        Raises:
            ConfigError: It is no such address, or the access does not fit it.
        """
        scheme, _, _ = split_address(url, ConfigError)
        self.url = url.rstrip("/")
        self._scheme = scheme
        options: Any = {"allow_http": access.endpoint.startswith("http://")}
        try:
            self.store: Any = from_url(
                self.url, config=cast("Any", access.config(scheme)), client_options=options, retry_config=_RETRIES
            )
        except FAULTS as error:
            raise ConfigError(f"{self.url} cannot be used: {_first_line(error)}.") from error

    def uri(self, key: str) -> str:
        """Return the address of an object."""
        return f"{self.url}/{key}"

    async def size(self, key: str) -> int:
        """Return how many bytes an object has. Raises NotFound, Unavailable."""
        return (await self.look(key))[0]

    async def look(self, key: str) -> tuple[int, str]:
        """Return how many bytes an object has, and its entity tag, empty for none. Raises NotFound, Unavailable."""
        try:
            found = await obstore.head_async(self.store, key)
            tag = found["e_tag"] or ""
            # A weak one stands for the same content in other bytes, and matches nothing (RFC 9110, section 8.8.3.2).
            return found["size"], "" if tag.startswith("W/") else tag
        except FileNotFoundError:
            raise NotFound(f"There is no object {self.uri(key)}.") from None
        except FAULTS as error:
            raise self.explain(error) from error

    async def read(self, key: str, start: int, length: int, *, version: str = "") -> bytes:
        """Return a stretch that the object has, where given of that version only. Raises NotFound, Unavailable."""
        if not length:
            return b""
        options: Any = {"range": (start, start + length)} | ({"if_match": version} if version else {})
        try:
            return bytes(await (await obstore.get_async(self.store, key, options=options)).bytes_async())
        except FileNotFoundError:
            raise NotFound(f"There is no object {self.uri(key)}.") from None
        except PreconditionError:
            raise changed(self.uri(key)) from None
        except FAULTS as error:
            raise self.explain(error) from error

    async def stream(self, key: str, *, start: int, length: int, version: str = "") -> AsyncGenerator[bytes]:
        """Yield a stretch in pieces, as `read` gives them."""
        for position in range(start, start + length, READ_BYTES):
            yield await self.read(key, position, min(READ_BYTES, start + length - position), version=version)

    async def put(self, key: str, content: bytes | Path, *, size: int = 0) -> None:
        """Store an object, replacing one; a file is sent in parts. Raises Unavailable."""
        chunk = max(READ_BYTES, size // _MOST_PARTS + 1)
        try:
            await obstore.put_async(self.store, key, content, chunk_size=chunk, max_concurrency=4)
        except FAULTS as error:
            raise self.explain(error) from error

    async def create(self, key: str, content: bytes) -> bool:
        """Store an object unless there is one; False if there is. Raises Unavailable."""
        try:
            await obstore.put_async(self.store, key, content, mode="create")
        except AlreadyExistsError:
            return False
        except FAULTS as error:
            raise self.explain(error) from error
        return True

    async def delete(self, key: str) -> None:
        """Remove an object; it is no error if there is none. Raises Unavailable."""
        try:
            with suppress(FileNotFoundError):
                await obstore.delete_async(self.store, key)
        except FAULTS as error:
            raise self.explain(error) from error

    async def locate(self, key: str, method: str, *, version: str = "") -> Location:
        """Return where anybody may read (`GET`) or write (`PUT`) one object for a while; raises Unavailable.

        Args:
            version: The entity tag that it is to have; the store refuses to give others.
        """
        try:
            url = await obstore.sign_async(self.store, cast("Any", method), key, timedelta(seconds=LIFE_S))
        except FAULTS as error:
            raise self.explain(error) from error
        # Azure wants to be told what kind of object it is.
        headers = {"x-ms-blob-type": "BlockBlob"} if (self._scheme, method) == ("az", "PUT") else {}
        return Location(method, url, LIFE_S, headers | ({"If-Match": version} if version else {}))

    async def probe(self, key: str) -> None:
        """Write, read and remove a small object. Raises Unavailable with a sentence for whoever set it up."""
        await self.put(key, b"mediafleet")
        try:
            if await self.read(key, 0, 10) != b"mediafleet":
                raise Unavailable(f"{self.url} gives other bytes than were written to it.")
        finally:
            await self.delete(key)

    def explain(self, error: Exception) -> Unavailable:
        """Return our error for one of obstore: says what is wrong with key, bucket or line."""
        text = str(error)
        reason = next((words for code, words in _REASONS if code in text), "")
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            told = reason or "the key does not allow this"
            sentence = (
                f"The object store refuses {self.url}: {told}; look at artifacts.access_key and artifacts.secret_key."
            )
        elif reason or isinstance(error, FileNotFoundError):
            sentence = f"{self.url} cannot be used: {reason or 'there is no such bucket'}; look at artifacts.root."
        else:
            sentence = f"The object store of {self.url} does not answer as it should; look at artifacts.endpoint, or try again."
        return Unavailable(sentence, detail=_first_line(error))


def is_object_address(text: str) -> bool:
    """Tell whether something is meant as the address of an object store."""
    return text.partition("://")[0] in SCHEMES and "://" in text


def split_address(url: str, error: type[ConfigError | InputError]) -> tuple[str, str, str]:
    """Return scheme, bucket and path of an address. Raises what is given."""
    match = OBJECT_ADDRESS.fullmatch(url)
    path = (match["path"] or "") if match else ""
    if match is None or ".." in path.split("/"):
        raise error(f"{url[:200]!r} is no address of an object store; write it like s3://bucket/path.")
    return match["scheme"], match["bucket"], path


def changed(uri: str) -> NotFound:
    """Return the error for an object that is not the one that was named as input."""
    return NotFound(f"The object {uri!r} has changed since it was submitted; submit it again.")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300].rstrip(".")
