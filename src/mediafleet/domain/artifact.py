"""References to bytes; the bytes themselves are the business of `mediafleet.artifacts`."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

OBJECT_ADDRESS = re.compile(r"(?P<scheme>s3|gs|az)://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,62})(?:/(?P<path>[^\0]*))?")
"""An address in an object store: `s3://bucket/path`."""


class Fingerprint(msgspec.Struct, frozen=True):
    """Proof that two machines see the same file: its size and a hash of samples of its content.

    A node that computes the same fingerprint at a path may read the path in place.
    """

    size: int
    """Bytes."""
    sample_sha256: str
    """Hexadecimal SHA-256 over the first, middle and last 64 KiB (fewer where the file is shorter)."""


class ArtifactState(StrEnum):
    """Where an artifact stands."""

    OPEN = "open"
    """Announced; its bytes are not complete, and nobody can read them."""
    COMPLETE = "complete"
    """All bytes are there and their hash was checked."""


class ArtifactRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input or output: what a task needs to get at the bytes and to check them."""

    id: str
    """Artifact id; readable at `/api/v1/artifacts/{id}`."""
    name: str
    """File name to show and to save under: never a path."""
    uri: str = ""
    """Where the bytes are for those who can see it: `file:///m/a.mkv`; empty if only by id."""
    size: int = -1
    """Bytes; -1 while not known."""
    sha256: str = ""
    """Hexadecimal SHA-256 of all bytes; empty for a file used in place."""
    fingerprint: Fingerprint | None = None
    """Set where `uri` may be used in place, once proven."""
    version: str = ""
    """Of an object or a file that was named as input: other bytes under its address have another one. An object's is its entity
    tag (RFC 9110); a file's is made of what the scheduler's system says of it, and proves nothing to other machines."""


class Location(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the bytes of one artifact may be read or written for a while, by whoever has the address."""

    method: str
    """`GET` for an artifact that is complete, `PUT` for an upload that is open."""
    url: str
    """A secret while it is good."""
    life_s: int
    """Seconds from now."""
    headers: dict[str, str] = {}
    """To be sent with the request."""

    def __repr__(self) -> str:
        """Leave the address out: it turns up in log lines and tracebacks otherwise."""
        return f"Location({self.method}, {self.life_s} s)"


class Artifact(msgspec.Struct, frozen=True, omit_defaults=True):
    """The stored record of an artifact: its reference, and who it belongs to."""

    ref: ArtifactRef
    state: ArtifactState
    cell: str
    tenant: str
    principal: str
    created_ms: int
    blob: str = ""
    """Key in the artifact store; empty for a file used in place."""
    grant: str = ""
    """The attempt that made it; empty for uploads and inputs."""
    job: str = ""
    """The job that owns it; empty while nobody does."""
