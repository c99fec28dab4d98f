"""Subtitle files of all formats: cues in, text out, and back. What pysubs2 knows it does; the rest is a line a cue."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from io import StringIO
from typing import Any

import msgspec
import pysubs2
from pysubs2.exceptions import Pysubs2Error, UnknownFPSError
from pysubs2.formats import autodetect_format
from pysubs2.formats.substation import SubstationFormat
from pysubs2.time import ms_to_times

from mediafleet.domain.errors import InputError
from mediafleet.engines.recognition import Word
from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.cue_blocks import MOST_CHARS, number_srt, number_vtt
from mediafleet.kinds.subtitle.rules import UNSPACED

_LARGEST_BYTES = 32 << 20
"""A season of subtitles has less."""
_LONGEST_MS = 1_000 * 3_600_000
"""A thousand hours."""
_USUAL_FPS = Fraction(24000, 1001)
"""MicroDVD files without a rate: what most films have that they are of."""
_BLANKS = re.compile(r"[ \t\u00a0]+")
_LRC_LINE = re.compile(r"\[(\d{1,3}):(\d{2})(?:[.:](\d{1,3}))?\]")
_LRC_TAIL_MS = 4_000
"""LRC has no ends: a line stays until the next, the last one so long."""
LOOKS_LEFT = "Of {} only texts and times are kept: its styles, positions, italics and colours are not."
"""What is told of a file with such; `{}` is its name."""
_LOOKS = re.compile(
    # Tags of SRT and WebVTT; commands of ASS, and styles beside the usual one; settings of WebVTT cues; TTML; MicroDVD.
    r"<(?:i|b|u|s|font|c|ruby)[\s.>]|\{\\(?!k)[a-z1-9]|^Style:(?! ?Default,)|-->[^>\n]*\b(?:line|position|align|size|region|vertical):"
    r"|<(?:span|p|div|body)\b[^<>]*\btts:(?!textAlign)|\{[ycfso]:",
    re.IGNORECASE | re.MULTILINE,
)
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
"""What XML does not take (XML 1.0, section 2.2), nor discourages, and no player shows."""
_LRC_TAG = re.compile(r"\[([^\[\]]*:[^\[\]]*)\]")
"""What would be a time, or say something of the whole song."""
_COMMANDS = str.maketrans("{}\\", "()/")
_AT_THE_BOTTOM, _SURE_CUES = "{DEFAULT}{}{P:1}\n", 2
"""A line of MicroDVD that shows no text, and from how many cues on a file is known without it."""
_FONT_SHARE = 0.05
"""Of the picture's height."""


class Format(StrEnum):
    """A format of subtitle files; the value is the ending of their names."""

    SRT = "srt"
    VTT = "vtt"
    ASS = "ass"
    TTML = "ttml"
    DFXP = "dfxp"
    """TTML under its older name."""
    SUB = "sub"
    """MicroDVD, which counts pictures."""
    LRC = "lrc"
    """Lyrics: each line from its start on."""
    JSON = "json"
    """Cues, and the words with their times; of mediafleet's own."""
    TXT = "txt"
    """Only what is said."""
    TSV = "tsv"
    """Start and end in milliseconds, and the text, with tabs between."""


_PYSUBS = {
    Format.SRT: "srt",
    Format.VTT: "vtt",
    Format.ASS: "ass",
    Format.TTML: "ttml",
    Format.DFXP: "ttml",
    Format.SUB: "microdvd",
}


class Transcript(msgspec.Struct, frozen=True):
    """What the format JSON holds."""

    language: str
    """ISO 639-1; empty where nobody knows."""
    cues: tuple[Cue, ...]
    words: tuple[Word, ...] = ()
    """As recognized; empty where there was nothing to recognize."""
    is_drafty: bool = False
    """Whether people must expect many wrong words."""
    film_s: float = 0.0
    """How long the film is; 0 where nobody has looked."""


@dataclass(frozen=True)
class Style:
    """How cues look where a format can say it."""

    fps: Fraction = _USUAL_FPS
    """Of the video, for MicroDVD."""
    is_karaoke: bool = False
    """In ASS each word lights up as it is spoken."""
    height: int = 1080
    """Of the picture that ASS is made for; its width is 16/9 of that."""


PLAIN = Style()


def write_cues(transcript: Transcript, form: Format, style: Style = PLAIN) -> str:
    """Return a subtitle file as text, to be written as UTF-8."""
    if form in _WRITERS:
        return _WRITERS[form](transcript)
    file = _to_file(transcript, style)
    if form is Format.SUB:
        # The rate stands where players look for it; pysubs2 would write it into picture 0.
        fps = float(style.fps)
        # FFmpeg takes three such lines for MicroDVD, and no less; the one of defaults says what is so anyway.
        head = f"{{1}}{{1}}{fps:.3f}\n" + (_AT_THE_BOTTOM if len(file.events) < _SURE_CUES else "")
        return head + file.to_string(_PYSUBS[form], fps=fps, write_fps_declaration=False)
    for event in file.events if form in {Format.VTT, Format.SRT} else ():
        # An arrow is a line of times to some readers; and WebVTT takes what is in angles for a tag (section 3.2).
        event.text = _voiced(event) if form is Format.VTT else event.text.replace("-->", "->")
    for event in file.events if form is Format.ASS else ():
        # Behind a comma the next field would begin.
        event.name = " ".join(event.name.replace(",", " ").split())
    if form is Format.ASS:
        written = StringIO()
        _LongAss.to_file(file, written, _PYSUBS[form])
        return written.getvalue()
    return file.to_string(_PYSUBS[form])


def read_cues(content: bytes, *, name: str, fps: Fraction = _USUAL_FPS) -> Transcript:
    """Return what is in a subtitle file of any format that `write_cues` makes, and of those that pysubs2 reads besides.

    Args:
        content: The file.
        name: Its name, whose ending tells of formats that cannot be told by their content.
        fps: For MicroDVD files that do not say theirs.

    Raises:
        InputError: It is none, holds no cue, or is larger than any such file.
    """
    shown = f"“{name[-80:]}”"
    if len(content) > _LARGEST_BYTES:
        raise InputError(f"{shown} has {len(content):,} bytes; no subtitle file is so large.")
    ending = name.rpartition(".")[2].lower()
    text = decode_text(content)
    try:
        found = _READERS[ending](text) if ending in _READERS else _read_by_pysubs(text, ending, fps)
    except _UNREADABLE as error:
        raise InputError(f"{shown} cannot be read as subtitles: {_first_line(error)}.") from error
    # Times that no film has, such as an end before its begin, are shown by no player.
    cues = tuple(cue for cue in found.cues if 0 <= cue.start_ms < cue.end_ms <= _LONGEST_MS)
    if not cues:
        raise InputError(f"{shown} holds no subtitles.")
    if any(cue.chars > MOST_CHARS for cue in cues):
        raise InputError(f"{shown} has a cue of more than {MOST_CHARS:,} characters, which is no subtitle.")
    return msgspec.structs.replace(found, cues=cues) if len(cues) < len(found.cues) else found


def has_looks(content: bytes) -> bool:
    """Tell whether a subtitle file says how or where text is shown, which cues do not hold: styles, positions, italics, colours."""
    return bool(_LOOKS.search(decode_text(content[:_LARGEST_BYTES])))


class _LongAss(SubstationFormat):
    """ASS of films over ten hours, at which pysubs2 stops; libass and FFmpeg read hours of any length."""

    @staticmethod
    def ms_to_timestamp(requested_ms: int) -> str:
        hours, minutes, seconds, ms = ms_to_times(round(requested_ms / 10) * 10)
        return f"{hours}:{minutes:02}:{seconds:02}.{ms // 10:02}"


# --- writing -----------------------------------------------------------------------------------------


def _to_file(transcript: Transcript, style: Style) -> pysubs2.SSAFile:
    file = pysubs2.SSAFile()
    file.info |= {"PlayResX": str(style.height * 16 // 9), "PlayResY": str(style.height), "WrapStyle": "2"}
    default = file.styles["Default"]
    default.fontsize, default.outline, default.shadow = style.height * _FONT_SHARE, style.height / 400, 0.0
    default.marginv = round(style.height * _FONT_SHARE)
    joint = _joint(transcript)
    for cue in transcript.cues:
        # Not in a layer of ASS: what is in another layer is drawn over it, and not above it.
        event = pysubs2.SSAEvent(cue.start_ms, cue.end_ms, name=_escape(cue.speaker))
        event.text = _karaoke(cue, transcript.words, joint) if style.is_karaoke else r"\N".join(map(_escape, cue.lines))
        file.events.append(event)
    return file


def _karaoke(cue: Cue, words: Sequence[Word], joint: str) -> str:
    """Return a line of ASS whose words light up: tags `k` with the hundredths of a second that each takes, and each pause."""
    parts: list[str] = []
    at_ms = cue.start_ms
    for number, word in enumerate(words[slice(*cue.words)]):
        start_ms = max(at_ms, round(word.start_s * 1000))
        end_ms = max(start_ms, round(word.end_s * 1000))
        # Differences of rounded times, so that no error adds up over a line.
        pause = start_ms // 10 - at_ms // 10
        wait = f"{{\\k{pause}}}" if pause else ""
        gap = joint if number else ""
        parts.append(f"{gap}{wait}{{\\k{end_ms // 10 - start_ms // 10}}}{_escape(word.text)}")
        at_ms = end_ms
    return "".join(parts) or r"\N".join(map(_escape, cue.lines))


def _escape(text: str) -> str:
    """Return text without what is a command to ASS and to all that pysubs2 makes of it: braces and backslashes."""
    return " ".join(_UNWRITABLE.sub("", text).split("\n")).translate(_COMMANDS)


def _write_json(transcript: Transcript) -> str:
    return msgspec.json.format(msgspec.json.encode(transcript), indent=1).decode() + "\n"


def _voiced(event: pysubs2.SSAEvent) -> str:
    """Return the text of a WebVTT cue, in a voice span where it is known who speaks (section 3.2)."""
    text = html.escape(event.text, quote=False)
    return f"<v {html.escape(event.name, quote=False)}>{text}" if event.name else text


def _write_txt(transcript: Transcript) -> str:
    return "".join(f"{_said_by(cue)}{_one_line(cue, transcript)}\n" for cue in transcript.cues)


def _one_line(cue: Cue, transcript: Transcript) -> str:
    return _UNWRITABLE.sub("", _joint(transcript).join(cue.lines))


def _joint(transcript: Transcript) -> str:
    return "" if transcript.language in UNSPACED else " "


def _said_by(cue: Cue) -> str:
    return f"{cue.speaker}: " if cue.speaker else ""


def _write_tsv(transcript: Transcript) -> str:
    texts = (_one_line(cue, transcript).replace("\t", " ") for cue in transcript.cues)
    rows = (f"{cue.start_ms}\t{cue.end_ms}\t{text}\n" for cue, text in zip(transcript.cues, texts, strict=True))
    return "start\tend\ttext\n" + "".join(rows)


def _write_lrc(transcript: Transcript) -> str:
    lines: list[str] = []
    for number, cue in enumerate(transcript.cues):
        text = _LRC_TAG.sub(r"(\1)", _one_line(cue, transcript))
        lines.append(f"[{_lrc_time(cue.start_ms)}]{text}")
        following = transcript.cues[number + 1].start_ms if number + 1 < len(transcript.cues) else None
        # An empty line takes the text away where nothing follows at once.
        if following is None or following - cue.end_ms > _LRC_TAIL_MS:
            lines.append(f"[{_lrc_time(cue.end_ms)}]")
    return "\n".join(lines) + "\n"


def _lrc_time(ms: int) -> str:
    minutes, rest = divmod(round(ms / 10), 6_000)
    return f"{minutes:02}:{rest // 100:02}.{rest % 100:02}"


# --- reading -----------------------------------------------------------------------------------------


def decode_text(content: bytes) -> str:
    """Return the text of a file: old ones are no UTF-8."""
    for encoding in ("utf-8-sig", "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("cp1252", errors="replace")


def _read_by_pysubs(text: str, ending: str, fps: Fraction) -> Transcript:
    # By content where that tells, since many files have another ending; MicroDVD and TMP look alike to it.
    form = "microdvd" if ending == "sub" and text.lstrip().startswith("{") else autodetect_format(text)
    text = _NUMBERED[form](text) if form in _NUMBERED else text
    try:
        file = pysubs2.SSAFile.from_string(text, format_=form)
    except UnknownFPSError:
        file = pysubs2.SSAFile.from_string(text, format_=form, fps=float(fps))
    clear = html.unescape if form == "vtt" else str
    cues = [
        Cue(event.start, event.end, lines, (event.start, event.end), speaker=event.name)
        for event in sorted(file.events)
        if event.type == "Dialogue" and not event.is_drawing and 0 <= event.start < event.end
        if (lines := _lines(clear(event.plaintext)))
    ]
    return Transcript("", tuple(cues))


def _read_json(text: str) -> Transcript:
    found = msgspec.json.decode(text, type=Transcript)
    if not all(0 <= word.start_s <= word.end_s <= _LONGEST_MS / 1000 for word in found.words):
        raise ValueError("a word has times that no film has")
    # Anybody may have written it, and a line that is two would be something else in other formats.
    return msgspec.structs.replace(found, cues=tuple(tidied for cue in found.cues if (tidied := _tidy(cue)).lines))


def _tidy(cue: Cue) -> Cue:
    lines = tuple(line for part in cue.lines for line in _lines(part))
    return msgspec.structs.replace(cue, lines=lines, speaker=" ".join(_lines(cue.speaker)))


def _read_tsv(text: str) -> Transcript:
    rows = [line.split("\t", 2) for line in text.splitlines()[1:] if line.strip()]
    return Transcript("", tuple(Cue(int(a), int(b), _lines(words), (int(a), int(b))) for a, b, words in rows))


def _read_lrc(text: str) -> Transcript:
    timed = sorted((ms, rest) for line in text.splitlines() for ms, rest in _lrc_parts(line))
    ends = [ms for ms, _ in timed[1:]] + [timed[-1][0] + _LRC_TAIL_MS] if timed else []
    cues = [Cue(ms, end, _lines(rest), (ms, end)) for (ms, rest), end in zip(timed, ends, strict=True) if rest.strip()]
    return Transcript("", tuple(cues))


def _lrc_parts(line: str) -> list[tuple[int, str]]:
    """Return the times of a line with its text: a refrain has several."""
    rest = _LRC_LINE.sub("", line)
    times: list[int] = []
    for minutes, seconds, part in _LRC_LINE.findall(line):
        times.append((int(minutes) * 60 + int(seconds)) * 1000 + (int(part.ljust(3, "0")) if part else 0))
    return [(ms, rest) for ms in times]


def _lines(text: str) -> tuple[str, ...]:
    parts = _UNWRITABLE.sub("", text.replace("\x85", "\n")).splitlines()
    return tuple(line for part in parts if (line := _BLANKS.sub(" ", part).strip()))


def _first_line(error: Exception) -> str:
    words: Any = str(error).strip().splitlines() or [type(error).__name__]
    return words[0][:200].rstrip(".")


_UNREADABLE = (
    Pysubs2Error,
    ValueError,
    ArithmeticError,
    LookupError,
    SyntaxError,
    NotImplementedError,
    RecursionError,
    msgspec.MsgspecError,
)
"""What readers raise; XML that is none is a SyntaxError, and what is nested too deep a RecursionError."""
_WRITERS: dict[Format, Callable[[Transcript], str]] = {
    Format.JSON: _write_json,
    Format.TXT: _write_txt,
    Format.TSV: _write_tsv,
    Format.LRC: _write_lrc,
}
_NUMBERED: dict[str, Callable[[str], str]] = {"srt": number_srt, "vtt": number_vtt}
_READERS: dict[str, Callable[[str], Transcript]] = {"json": _read_json, "tsv": _read_tsv, "lrc": _read_lrc}
