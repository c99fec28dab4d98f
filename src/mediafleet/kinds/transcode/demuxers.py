"""Which formats an input may have, and how it is opened so that it can name no other file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.domain.errors import InvalidRequest
from mediafleet.kinds.transcode.caps import CAPS

if TYPE_CHECKING:
    from pathlib import Path

ALLOWED = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,live_flv,mpegts,mpeg,mpegvideo,m4v,h261,h263,h264,hevc,vvc,av1,obu,"
    "ivf,ogg,mp3,aac,ac3,eac3,dts,dtshd,truehd,mlp,flac,wav,w64,aiff,au,caf,amr,amrnb,amrwb,ape,wv,tta,mxf,gxf,"
    "nut,dv,rm,wtv,gif,yuv4mpegpipe,vc1,dirac,cavsvideo,dsf,iff,voc,mpc,mpc8,oma,swf,nsv,roq,smk,bink"
)
"""Demuxers that read one file and nothing else. Playlists (hls, dash, concat, sdp, imf …), image patterns,
devices and generators are not among them, and a new one in FFmpeg is refused until it is named here."""


_JOINED = "concat,mov,mp4,m4a,3gp,3g2,mj2"
"""What the join of a transcode in chunks reads: our list, and the chunks that it names, which are MP4."""


def input_options(demuxer: str = "") -> list[str]:
    """Return the FFmpeg options that must stand before every `-i`.

    Args:
        demuxer: Force this one, as the probe found it; FFmpeg guesses among the allowed where empty.
    """
    forced = ["-f", demuxer.partition(",")[0]] if demuxer else []
    # The probe saw the first picture only; a later one may announce another size.
    size = ["-max_pixels", str(CAPS.pixels)]
    return ["-protocol_whitelist", "file", "-format_whitelist", ALLOWED, *size, *forced]


def joined_options() -> list[str]:
    """Return the options before the `-i` of our own list of chunks: it may name plain files beside itself, of MP4."""
    return ["-protocol_whitelist", "file", "-format_whitelist", _JOINED, "-safe", "1", "-f", "concat"]


def url(path: Path) -> str:
    """Return an absolute path so that FFmpeg takes it for a local file, whatever characters it has.

    Raises:
        InvalidRequest: It is not absolute, or no file can be called so.
    """
    # `file:` alone would be looked up in the working folder, and a NUL ends the word that FFmpeg sees.
    if not path.is_absolute() or "\0" in str(path):
        raise InvalidRequest(f"{str(path)!r} is no absolute path of a file.")
    return f"file:{path}"
