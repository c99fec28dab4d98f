"""Header fields of downloads, as pure functions: ranges (RFC 9110 §14), names (RFC 6266), tags (§8.8.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

FALLBACK_NAME = "download"
_LONGEST_NAME = 200
"""Characters of a name that go into a header: longer ones break clients."""

# 19 digits hold every 64-bit offset. More would only give int() work: it takes quadratic time.
_RANGE = re.compile(r"bytes=(?P<first>[0-9]{0,19})-(?P<last>[0-9]{0,19})", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# Quotes, backslash and per cent are missing on purpose: clients disagree on how to undo them (RFC 6266,
# appendix D).
_NOT_PLAIN = re.compile(r"[^ !#$&+\-.0-9A-Z^_`a-z|~(){}\[\]@,=\']")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Span:
    """A stretch of an artifact."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """Return the value of `Content-Range` for a part of `size` bytes."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


class UnsatisfiableRange(Exception):
    """The range lies outside the artifact: answered with 416."""


def parse_range(header: str, size: int) -> Span | None:
    """Return the stretch that a `Range` header asks for, or None if the whole is to be sent.

    Several ranges, other units and malformed values are ignored, as RFC 9110 §14.2 allows.

    Raises:
        UnsatisfiableRange: No byte of the artifact is meant.
    """
    found = _RANGE.fullmatch(header.strip())
    if not found or not (found["first"] or found["last"]):
        return None
    if not found["first"]:
        return _last_bytes(int(found["last"]), size)
    first = int(found["first"])
    last = min(int(found["last"]), size - 1) if found["last"] else size - 1
    # An end before the start makes the field malformed, so the whole is sent; 416 is for what lies outside (§14.1.1).
    if found["last"] and int(found["last"]) < first:
        return None
    if first >= size:
        raise UnsatisfiableRange
    return Span(first, last - first + 1)


def _last_bytes(count: int, size: int) -> Span:
    length = min(count, size)
    if not length:
        raise UnsatisfiableRange
    return Span(size - length, length)


def entity_tag(sha256: str) -> str:
    """Return the `ETag` for a hash, or an empty string where there is none."""
    return f'"{sha256}"' if _HASH.fullmatch(sha256) else ""


def range_applies(if_range: str, tag: str) -> bool:
    """Tell whether `If-Range` lets the range count; weak tags and dates never match (RFC 9110 §13.1.5)."""
    return not if_range or (tag != "" and if_range.strip() == tag)


def matches(if_none_match: str, tag: str) -> bool:
    """Tell whether `If-None-Match` names the tag: the client has the bytes already."""
    if not tag or not if_none_match:
        return False
    # Compared weakly, unlike If-Range: a tag that a proxy weakened still proves that the client has these bytes
    # (§13.1.2), but not that it may glue new ones to them.
    return any(part.strip().removeprefix("W/") in {tag, "*"} for part in if_none_match.split(","))


def named_tags(if_match: str) -> tuple[str, ...]:
    """Return the tags of `If-Match` without their quotes; none for `*` and for a field that is missing.

    A weak tag stays as it is and so matches nothing (RFC 9110 §13.1.1).
    """
    parts = [part.strip() for part in if_match.split(",")]
    return () if "*" in parts else tuple(part.removeprefix('"').removesuffix('"') for part in parts if part)


def content_disposition(name: str) -> str:
    """Return a `Content-Disposition` that saves under the name, whatever characters it has.

    Control and direction characters are dropped, so no name can break out of the header or show
    itself reversed; old clients get an ASCII form, others the exact name.
    """
    safe = _UNPRINTABLE.sub("", name).replace("/", "_").replace("\\", "_").strip()[:_LONGEST_NAME] or FALLBACK_NAME
    plain = _NOT_PLAIN.sub("_", safe)
    encoded = quote(safe.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
