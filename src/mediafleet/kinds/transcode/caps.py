"""How much a file may hold before it counts as an attack or a fault of its maker, and the sentence that says so.

Nothing here is a matter of taste: each number is far above all films that were found, and far below what would fill
the memory or the disk of a node. The probe looks before anything is decoded.
"""

from __future__ import annotations

import re

import msgspec

from mediafleet.domain.errors import UnreadableMedia
from mediafleet.kinds.transcode import failures


class Caps(msgspec.Struct, frozen=True):
    """The most of each; the probe gets it as JSON and answers with the name of the first that is exceeded."""

    pixels: int = 80_216_064
    """Of one picture: the largest that any level of HEVC or VVC allows, and more than 12K cameras make."""
    streams: int = 256
    """Beside attachments; a film with every dub and subtitle of the world has about a hundred."""
    attachments: int = 512
    """Fonts, mostly: collections of subtitled series carry up to three hundred."""
    chapters: int = 2_000
    """The Bible, read out, has 1189."""
    span_s: int = 7 * 24 * 3600
    """From the first to the last packet: filters that fill time fill all of it."""
    gap_s: int = 1_800
    """Without any packet of picture and sound. Pauses of recordings are cut out; what remains is a fault of the clock."""
    memory_bytes: int = 4 << 30
    """What the probing child may take: a picture of the largest size, with all that it refers to, needs three quarters."""


class Excess(msgspec.Struct, frozen=True):
    """What the probe found too much of."""

    excess: str
    """Field of `Caps`."""
    found: int = 0
    at_s: float = 0.0


CAPS = Caps()
_SENTENCES = {
    "pixels": "has a picture of {found:,} pixels, more than the {most:,} of the largest known formats",
    "streams": "has {found:,} streams; at most {most:,} are taken",
    "attachments": "has {found:,} attachments; at most {most:,} are taken",
    "chapters": "has {found:,} chapters; at most {most:,} are taken",
    "span_s": "lasts {found:,} s by the times in it, more than {most:,} s; its clock is damaged, or it must be cut in parts",
    "gap_s": "has a gap of {found:,} s at {at_s:.1f} s, more than {most:,} s; its clock is damaged, or it was joined wrongly",
    "memory_bytes": "needs more than {most:,} bytes of memory only to be opened; no film does",
}
_SIZE = re.compile(r"Picture size (?P<width>\d+)x(?P<height>\d+) (?:is invalid|exceeds specified max pixel count)")
_STREAMS = re.compile(r"Number of streams exceeds max_streams parameter \((?P<most>\d+)\)")


def refuse(excess: Excess, *, name: str, caps: Caps = CAPS) -> UnreadableMedia:
    """Return the error for a file that exceeds a cap."""
    sentence = _SENTENCES[excess.excess].format(found=excess.found, most=getattr(caps, excess.excess), at_s=excess.at_s)
    return UnreadableMedia(f"{failures.show_name(name)} {sentence}.")


def find_in_log(log: str, *, caps: Caps = CAPS) -> Excess | None:
    """Return what FFmpeg itself refused for its size, if it said so.

    Ask only where a picture or a file could not be opened: a damaged film makes decoders guess at sizes, and go on.
    """
    if found := _STREAMS.search(log):
        return Excess("streams", int(found["most"]) + 1)
    sizes = (int(found["width"]) * int(found["height"]) for found in _SIZE.finditer(log))
    largest = max(sizes, default=0)
    return Excess("pixels", largest) if largest > caps.pixels else None
