"""`translate`: puts a transcript into another language. Cues keep their times; sentences are translated whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.plan import TaskResult
from mediafleet.engines.offer import Need, Role
from mediafleet.engines.translation import Brief
from mediafleet.engines.wire import Translate
from mediafleet.kinds.subtitle.check import breaks_warning, check_cues
from mediafleet.kinds.subtitle.cueing import reading_rules, rules_of
from mediafleet.kinds.subtitle.formats import Transcript
from mediafleet.kinds.subtitle.orders import Film
from mediafleet.kinds.subtitle.params import SubtitleParams
from mediafleet.kinds.subtitle.sentences import find_sentences, spread
from mediafleet.kinds.subtitle.shorten import shorten, shortening_warning
from mediafleet.kinds.subtitle.workspace import publish_record, read_record

if TYPE_CHECKING:
    from mediafleet.kinds.seam import TaskContext

_AT_A_TIME = 20
"""Sentences that are asked for together: some lines of dialogue are understood by their neighbours."""
_CONTEXT = 5
"""Sentences before them that are shown to the translator."""


class TranslateOrder(msgspec.Struct, frozen=True):
    """The payload of this step; its input is the transcript."""

    source: str
    target: str
    film: Film


async def translate(context: TaskContext) -> TaskResult:
    """Find the sentences, translate them, spread them over their cues, publish."""
    params = msgspec.convert(context.spec.params, SubtitleParams)
    order = msgspec.convert(context.spec.payload, TranslateOrder)
    transcript = await read_record(context, context.spec.inputs[0], Transcript)
    offer = context.engines.find(Need(Role.TRANSLATE, order.source, order.target))
    # A sentence goes on while others speak.
    said = sorted(transcript.cues, key=lambda cue: (cue.layer, cue.start_ms))
    sentences = find_sentences(said, order.source)
    texts = [sentence.text for sentence in sentences]
    translated: list[str] = []
    with context.engines.lease(offer) as engine:
        for begin in range(0, len(texts), _AT_A_TIME):
            before = tuple(texts[max(0, begin - _CONTEXT) : begin])
            brief = Brief(order.source, order.target, before, params.glossary)
            group = tuple(texts[begin : begin + _AT_A_TIME])
            translated += await engine.ask(Translate(group, brief), list[str])
            context.report(len(translated) / len(texts), stage=f"translating to {order.target}")
    rules = rules_of(params, order.target, order.film)
    cues = await asyncio.to_thread(spread, said, sentences, translated, rules=rules, language=order.target)
    cues.sort(key=lambda cue: cue.start_ms)
    readable = reading_rules(params, order.target, order.film)
    cues, count = await asyncio.to_thread(shorten, cues, readable, order.target)
    broken = len(check_cues(cues, rules)) if rules else 0
    made = Transcript(order.target, tuple(cues), is_drafty=transcript.is_drafty)
    output = await publish_record(context, made, name=f"transcript.{order.target}.json")
    warnings = [shortening_warning(count, order.target)] if count else []
    warnings += [breaks_warning(broken, order.target)] if broken else []
    return TaskResult({"sentences": len(texts), "engine": offer.shown, "broken": broken}, (output,), tuple(warnings))
