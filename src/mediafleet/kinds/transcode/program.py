"""Finds the FFmpeg that this node uses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache

import msgspec

from mediafleet.domain.errors import CapabilityMissing

OLDEST = (5, 1)
"""First version with `-fps_mode`, which keeps variable frame rates variable."""
_VERSION = re.compile(r"ffmpeg version (?P<text>\S+)")
_NUMBER = re.compile(r"n?(\d+)\.(\d+)")
_NIGHTLY = re.compile(r"N-\d+-g|git-|\d{4}-\d{2}-\d{2}-git")
_PATIENCE_S = 30


class Ffmpeg(msgspec.Struct, frozen=True):
    """One FFmpeg program."""

    path: str
    version: str


def parse_version(banner: str) -> str:
    """Return the version word of FFmpeg's first line, or "" if it is none of FFmpeg's."""
    found = _VERSION.match(banner)
    return found["text"] if found else ""


def is_recent(version: str) -> bool:
    """Tell whether a version can do what we ask; builds from FFmpeg's main branch count as recent."""
    # Such a version is a date or a count of commits, and says nothing of releases.
    if _NIGHTLY.match(version):
        return True
    found = _NUMBER.match(version)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST


def _ask(path: str) -> Ffmpeg | None:
    try:
        done = subprocess.run(
            [path, "-hide_banner", "-version"], capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
    # A program that cannot be asked is as good as none: the bundled one may still do.
    except (OSError, subprocess.SubprocessError):
        return None
    version = parse_version(done.stdout)
    return Ffmpeg(path, version) if is_recent(version) else None


def _bundled() -> str | None:
    import imageio_ffmpeg  # noqa: PLC0415 - costs 30 ms, and a system FFmpeg makes it needless

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        return None


@cache
def find_ffmpeg() -> Ffmpeg:
    """Return the FFmpeg of PATH if it is recent enough, else the one that the package `imageio-ffmpeg` carries.

    Starts it once to ask for its version: call it from a thread.

    Raises:
        CapabilityMissing: There is none.
    """
    # FFmpeg writes a log wherever this says, even when asked for its version only, and `imageio_ffmpeg` asks as well.
    os.environ.pop("FFREPORT", None)
    # The system's own comes first: its owner chose it, perhaps for the hardware of this machine.
    for path in (shutil.which("ffmpeg"), _bundled()):
        if path and (found := _ask(path)):
            return found
    raise CapabilityMissing("kind:transcode")
