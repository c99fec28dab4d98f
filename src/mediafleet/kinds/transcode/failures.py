"""From what FFmpeg and PyAV write to one sentence that a user can act on."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from mediafleet.domain.errors import MediafleetError, TaskFailed, TransientFailure, UnreadableMedia

_DETAIL_CHARACTERS = 2_000
_LEVEL = re.compile(
    r"^(?P<where>(?:\[[^\]]*@ 0x[0-9a-f]+\] ?)*)\[(?P<level>error|fatal|panic)\] (?P<what>.*)$", re.MULTILINE
)
"""A line of `-loglevel level+…`: which part of FFmpeg, how bad, what."""
_HARMLESS = re.compile(r"non monotonically increasing dts|Skipping unhandled metadata")
_DAMAGE = re.compile(r"corrupt decoded frame|corrupt input packet|Packet corrupt")
"""What FFmpeg only warns of, though something is lost."""
_NAME_CHARACTERS = 80


@dataclass(frozen=True)
class Cause:
    """A pattern of FFmpeg's or PyAV's words and what it means to a user."""

    pattern: re.Pattern[str]
    sentence: str
    """With `{name}` for the file."""
    error: type[MediafleetError]


def _cause(pattern: str, error: type[MediafleetError], sentence: str) -> Cause:
    return Cause(re.compile(pattern, re.IGNORECASE), sentence, error)


_ENCRYPTED = "{name} is encrypted (DRM); ask its owner for a copy without protection."
_PLAYLIST = "{name} is a list of other files or a format that is not allowed as an input; give the media file itself."
_TOO_LONG = "{name} took more processor time than this node allows; raise node.child_cpu_hours, or cut it in parts."
_TOO_LARGE = (
    "The output of {name} grew larger than this node allows; raise node.child_file_gib, or ask for less quality."
)
_LIMITS = {-signal.SIGXCPU: _TOO_LONG, -signal.SIGXFSZ: _TOO_LARGE}
"""Exit code → what the kernel ended it for; no other node would be asked for more."""

CAUSES = (
    _cause(r"encryption info|encrypted|decryption|\bcenc\b", UnreadableMedia, _ENCRYPTED),
    _cause(r"not in allowed list|not on whitelist|Protocol .* not on", UnreadableMedia, _PLAYLIST),
    _cause(
        r"Picture size \d+x\d+ exceeds specified max pixel count",
        UnreadableMedia,
        "{name} turns into a picture that is larger than any known format has; it is damaged, or made to do harm.",
    ),
    _cause(
        # FFmpeg catches this one and ends as if it had been asked to.
        rf"received signal {int(signal.SIGXCPU)}\b",
        TaskFailed,
        _TOO_LONG,
    ),
    _cause(
        r"moov atom not found|partial file|Truncated|EBML header parsing failed|End of file",
        UnreadableMedia,
        "{name} is damaged or incomplete; copy or download it again.",
    ),
    _cause(
        r"No space left on device",
        TransientFailure,
        "The disk of this node is full; free some space, or let another node try.",
    ),
    _cause(
        r"Cannot allocate memory|Out of memory|std::bad_alloc|malloc of size",
        TransientFailure,
        "FFmpeg ran out of memory on {name}; try again with fewer tasks on the node or a smaller picture.",
    ),
    _cause(
        r"Permission denied",
        TaskFailed,
        "FFmpeg may not read {name} or may not write beside it; check the permissions on the node.",
    ),
    _cause(
        r"Unknown encoder|Encoder not found|Error (?:while opening|initializing) (?:encoder|the encoder)|Could not open encoder|"
        r"Error while opening encoder|No capable devices found|Cannot load (?:libcuda|libnvidia|nvcuda)",
        TaskFailed,
        "FFmpeg could not start the encoder for {name}; see the detail, and try another preset or another size.",
    ),
    _cause(
        r"Decoder not found|no decoder found|unknown codec|Decode error rate|decoder .* not found",
        UnreadableMedia,
        "{name} cannot be decoded by this node's FFmpeg; convert it elsewhere or install a fuller FFmpeg.",
    ),
    _cause(
        r"No such file or directory",
        TransientFailure,
        "{name} went away while it was being read; see that it stays where it is until the job is done.",
    ),
    _cause(
        r"Input/output error|Connection|Stale file handle",
        TransientFailure,
        "{name} could not be read to its end because of an I/O error; check the disk or the share it lies on.",
    ),
    _cause(
        r"Invalid data found",
        UnreadableMedia,
        "{name} is not a media file that can be read, or it is damaged.",
    ),
)
"""First match wins: narrow causes stand before wide ones."""


def show_name(name: str) -> str:
    """Return a file name for use in a sentence: on one line, in quotes, not too long."""
    # A name comes from outside: its line breaks would make two lines of a log or a terminal out of one.
    readable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    if len(readable) > _NAME_CHARACTERS:
        readable = f"{readable[: _NAME_CHARACTERS - 20]}…{readable[-19:]}"
    return f"“{readable}”"


def encrypted(name: str) -> UnreadableMedia:
    """Return the error for a file with DRM."""
    return UnreadableMedia(_ENCRYPTED.format(name=show_name(name)))


def playlist(name: str) -> UnreadableMedia:
    """Return the error for a file that only names other files."""
    return UnreadableMedia(_PLAYLIST.format(name=show_name(name)))


def errors_in(log: str) -> list[str]:
    """Return what FFmpeg called an error, without repeats and without what is known to be harmless."""
    # A damaged film repeats one complaint thousands of times; a dict drops repeats and keeps the order.
    found = [match["what"].strip() for match in _LEVEL.finditer(log)] + _DAMAGE.findall(log)
    return list(dict.fromkeys(line for line in found if line and not _HARMLESS.search(line)))


def explain(log: str, *, name: str, exit_code: int | None = None) -> MediafleetError:
    """Return the error that FFmpeg's or PyAV's log stands for.

    Args:
        log: What was written to standard error, or an exception's text.
        name: The user's name of the input.
        exit_code: How FFmpeg ended; None where it was not FFmpeg.
    """
    detail = log[-_DETAIL_CHARACTERS:]
    if exit_code in _LIMITS:
        return TaskFailed(_LIMITS[exit_code].format(name=show_name(name)), detail=detail)
    for cause in CAUSES:
        if cause.pattern.search(log):
            return cause.error(cause.sentence.format(name=show_name(name)), detail=detail)
    # After the words: a killed FFmpeg that said before that memory is short was killed for that.
    if exit_code is not None and exit_code < 0:
        sentence = f"FFmpeg was ended by signal {-exit_code} while it worked on {show_name(name)}."
        return TransientFailure(sentence, detail=detail)
    return TaskFailed(f"FFmpeg could not transcode {show_name(name)}: {_last_words(log)}.", detail=detail)


def _last_words(log: str) -> str:
    words = errors_in(log)
    return words[0].rstrip(".") if words else "it gave no reason"
