"""Videos go in, subtitles come out.

How people read stands in `rules`, `breaks`, `segment`, `timing` and `sentences`, how files look in `formats` and `names`; all
of that is pure, and so is `plan`. The steps are `listening`, `recognizing`, `texting`, `translating`, `reading` and `writing`;
what they tell each other stands in `orders`.
"""

from __future__ import annotations

from mediafleet.domain.limits import KindLimits, TaskLimits
from mediafleet.kinds.seam import Kind
from mediafleet.kinds.subtitle.detect import detect_tools
from mediafleet.kinds.subtitle.listening import listen
from mediafleet.kinds.subtitle.needs import advise, find_needs
from mediafleet.kinds.subtitle.params import SubtitleParams
from mediafleet.kinds.subtitle.plan import FILES, LISTEN, READ, TEXT, TRANSLATE, WORDS, plan_subtitle
from mediafleet.kinds.subtitle.reading import read_subtitles
from mediafleet.kinds.subtitle.recognizing import recognize
from mediafleet.kinds.subtitle.reviewing import check_review
from mediafleet.kinds.subtitle.texting import make_text
from mediafleet.kinds.subtitle.translating import translate
from mediafleet.kinds.subtitle.writing import write_files
from mediafleet.kinds.transcode.probe import SCRIPT

__all__ = ["KIND", "SubtitleParams"]

KIND = Kind(
    name="subtitle",
    version=1,
    params=SubtitleParams,
    plan=plan_subtitle,
    handlers={
        LISTEN: listen,
        READ: read_subtitles,
        WORDS: recognize,
        TEXT: make_text,
        TRANSLATE: translate,
        FILES: write_files,
    },
    # The film, and a text that is known already, to be put into its time.
    inputs=(1, 2),
    summary="Recognize what is spoken in a video or sound file, translate it, and write subtitles.",
    detect=detect_tools,
    check_review=check_review,
    needs=find_needs,
    advise=advise,
    scripts=(SCRIPT,),
    # Loading a large model, or waiting for one answer about a span of speech, says nothing meanwhile.
    limits=KindLimits(usual=TaskLimits(progress_ms=2 * 3600 * 1000)),
)
