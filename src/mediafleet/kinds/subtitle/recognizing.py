"""`words`: recognizes one piece, span by span."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.plan import TaskResult
from mediafleet.engines.diarization import name_speakers
from mediafleet.engines.offer import Need, Role
from mediafleet.engines.recognition import Recognition, RecognizerFacts
from mediafleet.engines.spoken import join_results, shift_words
from mediafleet.engines.wire import Coding, Recognize
from mediafleet.kinds.subtitle.orders import PieceFile, WordsFile
from mediafleet.kinds.subtitle.params import SubtitleParams
from mediafleet.kinds.subtitle.workspace import publish_record

if TYPE_CHECKING:
    from mediafleet.kinds.seam import TaskContext

_STAGE = "recognizing"
_MOST_HINT = 800
"""Characters; recognizers take a sentence or two."""


async def recognize(context: TaskContext) -> TaskResult:
    """Fetch a piece, recognize each span of it for itself, and publish the words in the time of the film.

    Spans are recognized one by one, so that what comes out is the same however they were shared out among nodes.
    """
    params = msgspec.convert(context.spec.params, SubtitleParams)
    language = str(context.spec.payload["language"])
    (ref,) = context.spec.inputs
    piece = msgspec.msgpack.decode((await context.fetch(ref)).read_bytes(), type=PieceFile)
    context.report(0.0, stage=_STAGE)
    offer = context.engines.find(Need(Role.RECOGNIZE, language), adapter=params.recognizer)
    total_s = sum(span.end_s - span.start_s for span in piece.spans)
    done_s, results = 0.0, list[Recognition]()
    with context.engines.lease(offer) as engine:
        facts = await engine.load(RecognizerFacts)
        hint = ", ".join(params.glossary)[:_MOST_HINT]
        for span, sound in zip(piece.spans, piece.sounds, strict=True):
            found = await engine.ask(Recognize(sound, language, hint, Coding.PCM), Recognition)
            results.append(shift_words(found, by_s=span.start_s))
            done_s += span.end_s - span.start_s
            context.report(done_s / total_s, stage=_STAGE)
    joined = join_results(results)
    said = msgspec.structs.replace(joined, words=name_speakers(joined.words, piece.turns))
    words = WordsFile(said, piece.spans, offer.shown, facts.punctuates, piece.channel, facts.doubtful_below)
    output = await publish_record(context, words, name=f"{context.spec.name}.json")
    return TaskResult({"words": len(words.recognition.words), "engine": offer.shown}, (output,))
