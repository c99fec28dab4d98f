"""Repair of recognized words by any service that has OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mediafleet.domain.errors import InvalidRequest
from mediafleet.engines.adapters._chat import ask_for_lines
from mediafleet.engines.adapters._openai import OpenAIClient, endpoint_of
from mediafleet.engines.recognition import Word
from mediafleet.engines.repair import RepairerFacts

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_BATCH = 60
"""Words of a request: models lose count in longer ones."""
_CONTEXT = 20
"""Words before a batch that it is shown, as they were written."""
_PAUSE_S = 0.6
"""A pause that is shown: sentences often end there."""
_INSTRUCTIONS = (
    "You correct the spelling of recognized speech in the language {language}: capitals, punctuation, and words that sound like "
    "the right one. The user sends JSON: `lines`, one for each word, with `id`, `text`, and `pause` where the speaker paused after "
    "it; `context`, the text before. Answer with JSON alone: "
    '{{"lines": [{{"id": 1, "text": "…"}}]}}. Keep every id. Each text is one word, with the punctuation that belongs to it: never '
    "join, split, leave out or add words, and do not translate."
)


class OpenAIRepairer:
    """One endpoint with one model."""

    def __init__(self, client: OpenAIClient) -> None:
        self._client = client
        self.facts = RepairerFacts(tuple(sorted(client.endpoint.languages)))

    def repair(self, words: Sequence[Word], *, language: str) -> tuple[str, ...]:
        """Say how each word is written, in batches, each with the words before it."""
        if self.facts.languages and language not in self.facts.languages:
            raise InvalidRequest(f"This engine repairs {', '.join(self.facts.languages)}, not {language!r}.")
        pauses = find_pauses(words)
        written: list[str] = []
        for start in range(0, len(words), _BATCH):
            wanted = {number: words[number].text for number in range(start, min(start + _BATCH, len(words)))}
            context = " ".join(written[-_CONTEXT:])
            done = ask_for_lines(
                self._client,
                wanted,
                instructions=_INSTRUCTIONS.format(language=language),
                ask=lambda missing, context=context: make_question(missing, pauses, context),
                # With a space in it, it would be two words.
                fits=lambda _, text: " " not in text,
            )
            written += [done[number] for number in wanted]
        return tuple(written)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def find_pauses(words: Sequence[Word]) -> frozenset[int]:
    """Return the numbers of the words that a pause follows."""
    return frozenset(
        number for number in range(len(words) - 1) if words[number + 1].start_s - words[number].end_s >= _PAUSE_S
    )


def make_question(missing: Mapping[int, str], pauses: frozenset[int], context: str) -> dict[str, object]:
    """Return what asks for some words."""
    lines = [
        {"id": number, "text": text, **({"pause": True} if number in pauses else {})}
        for number, text in missing.items()
    ]
    return {"context": context, "lines": lines}


def load(offer: Offer) -> OpenAIRepairer:
    """Make a client of the endpoint that was offered; nothing is asked yet."""
    return OpenAIRepairer(OpenAIClient(endpoint_of(offer)))
