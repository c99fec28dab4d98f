"""`files`: writes transcripts in all formats that were asked for, and the copy of the film."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import msgspec

from mediafleet.domain.plan import TaskResult
from mediafleet.kinds.subtitle.bilingual import make_bilingual
from mediafleet.kinds.subtitle.check import check_cues
from mediafleet.kinds.subtitle.cueing import rules_of
from mediafleet.kinds.subtitle.film import make_film
from mediafleet.kinds.subtitle.formats import Style, Transcript, write_cues
from mediafleet.kinds.subtitle.names import subtitle_name
from mediafleet.kinds.subtitle.orders import FilesOrder, Film, read
from mediafleet.kinds.subtitle.params import SubtitleParams
from mediafleet.kinds.subtitle.rules import Preset
from mediafleet.kinds.subtitle.workspace import read_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.domain.artifact import ArtifactRef
    from mediafleet.kinds.seam import TaskContext


async def write_files(context: TaskContext) -> TaskResult:
    """Fetch all transcripts, write them, make the film, publish."""
    params = msgspec.convert(context.spec.params, SubtitleParams)
    order = read(context.spec.payload, FilesOrder)
    count = len(order.languages)
    transcripts = [await read_record(context, ref, Transcript) for ref in context.spec.inputs[:count]]
    context.report(0.0, stage="writing")
    outputs: list[ArtifactRef] = []
    listed: list[dict[str, Any]] = []
    written = transcripts if order.writes_first else transcripts[1:]
    for transcript in [*written, *_bilingual(transcripts, params, order.film)]:
        for form in dict.fromkeys(params.formats):
            name = subtitle_name(order.film.name, transcript.language, form, forced=params.forced)
            style = Style(Fraction(*order.film.fps), params.style is Preset.KARAOKE, order.film.height)
            path = context.workspace / f"{len(outputs)}.{form}"
            text = await asyncio.to_thread(write_cues, transcript, form, style)
            path.write_text(text, encoding="utf-8", newline="")
            outputs.append(await context.publish(path, name=name))
            listed.append({"name": name, "language": transcript.language, "format": form.value})
    warnings: tuple[str, ...] = ()
    if params.burn or params.mux:
        made = await make_film(context, params, order, transcripts)
        warnings = made.warnings
        if made.path:
            outputs.append(await context.publish(made.path, name=made.name))
            listed.append({"name": made.name, "language": "+".join(order.languages), "format": made.path.suffix[1:]})
    spoken = transcripts[0]
    rules = rules_of(params, spoken.language, order.film)
    # A person may have changed what the step before counted.
    counted = {
        "cues": len(spoken.cues),
        "words": count_words(spoken),
        "broken": len(check_cues(spoken.cues, rules)) if rules else 0,
    }
    return TaskResult({"files": listed, **counted}, tuple(outputs), warnings)


def count_words(transcript: Transcript) -> int:
    """Return how many words stand in cues; those of a text that was corrected as they are written."""
    return sum(
        last - first if last > first else len(" ".join(cue.lines).split())
        for cue in transcript.cues
        for first, last in [cue.words]
    )


def _bilingual(transcripts: Sequence[Transcript], params: SubtitleParams, film: Film) -> list[Transcript]:
    if not params.bilingual:
        return []
    first, *others = ((one, rules_of(params, one.language, film)) for one in transcripts)
    return [make_bilingual(first[0], other, (first[1], rules)) for other, rules in others]
