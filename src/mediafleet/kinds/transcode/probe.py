"""Asks a child process what is in a media file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import UnreadableMedia
from mediafleet.kinds.transcode import failures
from mediafleet.kinds.transcode.caps import Excess, find_in_log, refuse
from mediafleet.kinds.transcode.file_reader import ask_reader
from mediafleet.kinds.transcode.media import MediaInfo

if TYPE_CHECKING:
    from mediafleet.kinds.transcode.file_reader import Starter

SCRIPT = Path(__file__).with_name("_probe.py")
"""What looks into a file."""


class _Refusal(msgspec.Struct, frozen=True):
    error: str
    encrypted: bool = False
    playlist: bool = False


async def probe(starter: Starter, path: Path, *, name: str) -> MediaInfo:
    """Return what is in the file; reads it to its end, decodes one picture of each video stream.

    Args:
        path: Absolute.
        name: The user's name of the file, for sentences.

    Raises:
        UnreadableMedia: It is no media, is damaged, is encrypted, names other files, holds more than `caps` allow, or
            crashed the demuxer.
        TransientFailure: It took so long that the disk seems to hang.
    """
    answer = await ask_reader(starter, SCRIPT, path, name=name)
    if answer.exit_code != 0 or not answer.text:
        if excess := find_in_log(answer.log):
            raise refuse(excess, name=name)
        sentence = f"{failures.show_name(name)} is damaged in a way that stops every reader."
        raise UnreadableMedia(sentence, detail=answer.log)
    return _understand(answer.text, name=name, log=answer.log)


def _understand(line: bytes, *, name: str, log: str) -> MediaInfo:
    # Looked into before it is decoded whole: a refusal has none of the fields that a description needs.
    answer = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    if "excess" in answer:
        raise refuse(msgspec.json.decode(line, type=Excess), name=name)
    if "error" not in answer:
        return _check_pictures(msgspec.json.decode(line, type=MediaInfo), log, name=name)
    refusal = msgspec.json.decode(line, type=_Refusal)
    if refusal.encrypted:
        raise failures.encrypted(name)
    if refusal.playlist:
        raise failures.playlist(name)
    said = f"{log}\n{refusal.error}"
    if excess := find_in_log(said):
        raise refuse(excess, name=name)
    raise failures.explain(said, name=name)


def _check_pictures(info: MediaInfo, log: str, *, name: str) -> MediaInfo:
    """Return the inventory, unless a picture could not be looked at because it is too large."""
    is_blind = any(stream.type == "video" and not stream.decodable for stream in info.streams)
    if is_blind and (excess := find_in_log(log)):
        raise refuse(excess, name=name)
    return info
