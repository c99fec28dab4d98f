"""What a person may put back in the middle of a job: the transcript, with cues that were corrected, added or taken out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.errors import InvalidParams
from mediafleet.kinds.subtitle.cue_blocks import MOST_CHARS
from mediafleet.kinds.subtitle.formats import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mediafleet.engines.recognition import Word
    from mediafleet.kinds.subtitle.cue import Cue

_LONGEST_MS = 60_000
"""Speech of one cue; what is longer is a mistake."""


def check_review(body: bytes, shown: bytes, _: Mapping[str, Any]) -> bytes:
    """Return a corrected transcript in order; `Kind.check_review` of this kind.

    Only cues are taken; all else is as it was shown. Cues whose text is no longer that of their words have no words any more, so
    karaoke does not light up the old ones.

    Raises:
        InvalidParams: It is no transcript, of another language than the one that was shown, or its times cannot be.
    """
    try:
        transcript = msgspec.json.decode(body, type=Transcript)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidParams(f"This is no transcript of subtitles: {error}. Nothing was changed.") from error
    before = msgspec.json.decode(shown, type=Transcript)
    if transcript.language != before.language:
        raise InvalidParams(
            f"The text is in {before.language!r}, and what was put back says {transcript.language[:40]!r}; leave it as it was. "
            "Text in another language is made with --to, or from a file of its own."
        )
    cues = sorted(_tidy_all(transcript.cues, before.words), key=lambda cue: cue.start_ms)
    kept = [cue for cue in cues if cue.lines]
    if not kept:
        raise InvalidParams("No cue with text is left in it; cancel the job if nothing is to be written.")
    for cue in kept:
        _check_times(cue, before)
    return msgspec.json.encode(msgspec.structs.replace(before, cues=tuple(kept)))


def _check_times(cue: Cue, before: Transcript) -> None:
    shown = f"The cue {cue.lines[0][:40]!r} goes from {cue.start_ms} to {cue.end_ms} ms"
    if sum(map(len, cue.lines)) > MOST_CHARS:
        raise InvalidParams(f"{shown} and has more than {MOST_CHARS:,} characters; nobody could read them.")
    if not 0 <= cue.start_ms < cue.end_ms:
        raise InvalidParams(f"{shown}.")
    # What was shown may end behind the film, so that its last words can be read.
    last_ms = max([round(before.film_s * 1000), *(one.end_ms for one in before.cues)])
    if before.film_s and cue.end_ms > last_ms:
        raise InvalidParams(f"{shown}; the film ends at {round(before.film_s * 1000)} ms.")


def _tidy_all(cues: Sequence[Cue], words: Sequence[Word]) -> Iterator[Cue]:
    """Yield cues in order; as many words are looked at as there are, whatever ranges somebody wrote."""
    left = len(words)
    for cue in cues:
        first, last = cue.words
        # Those of people who speak at once lie apart in the words, and not in the order of the cues.
        is_range = 0 <= first <= last <= len(words) and last - first <= left
        yield _tidy(cue, words[first:last] if is_range else ())
        left -= last - first if is_range else 0


def _tidy(cue: Cue, words: Sequence[Word]) -> Cue:
    lines = tuple(line for part in cue.lines for text in part.splitlines() if (line := " ".join(text.split())))
    said = "".join("".join(word.text.split()) for word in words)
    is_same = bool(words) and "".join("".join(lines).split()) == said
    begin, end = cue.spoken_ms
    # Speech of a cue lies about where it is shown; nobody edits that by hand.
    is_near = begin < end and begin < cue.end_ms and end > cue.start_ms
    spoken = cue.spoken_ms if is_near and end - begin <= _LONGEST_MS else (cue.start_ms, cue.end_ms)
    speaker = " ".join(cue.speaker.split())
    kept = cue.words if is_same else (0, 0)
    return msgspec.structs.replace(cue, lines=lines, words=kept, spoken_ms=spoken, speaker=speaker)
