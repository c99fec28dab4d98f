"""Casing and punctuation, put right by an engine where the recognizer gives none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import TaskFailed, TransientFailure
from mediafleet.engines.offer import Need, Role
from mediafleet.engines.wire import Repair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediafleet.engines.recognition import Word
    from mediafleet.kinds.seam import TaskContext
    from mediafleet.kinds.subtitle.turns import Channel

_PARAGRAPH = 200
"""Words that are repaired at a time, about: what a language model can see at once."""
_PAUSE_S = 0.7
"""At which a paragraph may end."""
_MOST_TOLD = 3


async def repair(context: TaskContext, channels: Sequence[Channel], language: str) -> tuple[list[Channel], list[str]]:
    """Return what was said with words as they are written, and what to tell the user.

    What the engine cannot write stays as it was recognized: the words are worth more than their marks.

    Raises:
        CapabilityMissing: There is no such engine here.
        TransientFailure: It did not answer this time.
    """
    context.report(0.3, stage="repairing")
    offer = context.engines.find(Need(Role.REPAIR, language))
    total, done = sum(len(channel.words) for channel in channels), 0
    repaired: list[Channel] = []
    failures: list[str] = []
    with context.engines.lease(offer) as engine:
        for channel in channels:
            words: list[Word] = []
            for paragraph in paragraphs(channel.words):
                try:
                    texts = await engine.ask(Repair(paragraph, language), list[str])
                except TransientFailure:
                    raise
                except TaskFailed as error:
                    texts = [word.text for word in paragraph]
                    failures.append(f"Words from {paragraph[0].start_s:.0f} s on are as recognized: {error.message}")
                pairs = zip(paragraph, texts, strict=True)
                words += [msgspec.structs.replace(word, text=text) for word, text in pairs]
                done += len(paragraph)
                context.report(0.3 + 0.6 * done / total, stage="repairing")
            repaired.append(channel._replace(words=tuple(words)))
    return repaired, failures[:_MOST_TOLD]


def paragraphs(words: Sequence[Word]) -> list[tuple[Word, ...]]:
    """Return words in groups that end at pauses, so that each has whole sentences, and are of one speaker each."""
    found: list[tuple[Word, ...]] = []
    begin = 0
    for number in range(1, len(words) + 1):
        length = number - begin
        is_end = number == len(words) or words[number].speaker != words[number - 1].speaker
        is_pause = is_end or words[number].start_s - words[number - 1].end_s >= _PAUSE_S
        if (is_pause and length >= _PARAGRAPH) or length >= 2 * _PARAGRAPH or is_end:
            found.append(tuple(words[begin:number]))
            begin = number
    return found
