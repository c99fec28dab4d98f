"""What a person may put back in the middle of a job: the transcript, with cues that were corrected, added or taken out. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.errors import InvalidParams
from mediafleet.kinds.subtitle.formats import Transcript

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mediafleet.engines.recognition import Word
    from mediafleet.kinds.subtitle.cue import Cue


def check_review(body: bytes, _: Mapping[str, Any]) -> bytes:
    """Return a corrected transcript in order; `Kind.check_review` of this kind.

    Cues whose text is no longer that of their words have no words any more, so karaoke does not light up the old ones.

    Raises:
        InvalidParams: It is no transcript, or its times cannot be.
    """
    try:
        transcript = msgspec.json.decode(body, type=Transcript)
    except msgspec.MsgspecError as error:
        raise InvalidParams(f"This is no transcript of subtitles: {error}. Nothing was changed.") from error
    cues = sorted((_tidy(cue, transcript.words) for cue in transcript.cues), key=lambda cue: cue.start_ms)
    kept = [cue for cue in cues if cue.lines]
    if not kept:
        raise InvalidParams("No cue with text is left in it; cancel the job if nothing is to be written.")
    for cue in kept:
        if not 0 <= cue.start_ms < cue.end_ms:
            raise InvalidParams(f"The cue {cue.lines[0][:40]!r} goes from {cue.start_ms} to {cue.end_ms} ms.")
    for one, other in pairwise(kept):
        if other.start_ms < one.end_ms:
            raise InvalidParams(
                f"The cue {other.lines[0][:40]!r} begins at {other.start_ms} ms, before {one.lines[0][:40]!r} ends at {one.end_ms} ms."
            )
    return msgspec.json.encode(msgspec.structs.replace(transcript, cues=tuple(kept)))


def _tidy(cue: Cue, words: Sequence[Word]) -> Cue:
    lines = tuple(line for part in cue.lines for text in part.splitlines() if (line := " ".join(text.split())))
    said = "".join("".join(word.text.split()) for word in words[slice(*cue.words)])
    is_same = "".join("".join(lines).split()) == said
    spoken = cue.spoken_ms if any(cue.spoken_ms) else (cue.start_ms, cue.end_ms)
    return msgspec.structs.replace(cue, lines=lines, words=cue.words if is_same else (0, 0), spoken_ms=spoken)
