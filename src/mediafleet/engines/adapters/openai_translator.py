"""Translation by any service that has OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mediafleet.engines.adapters._chat import ask_for_lines
from mediafleet.engines.adapters._openai import OpenAIClient, endpoint_of
from mediafleet.engines.translation import Brief, TranslatorFacts, check_pair

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_LONGER, _LEAST_ROOM = 10, 200
"""What a translation may be longer, in characters: many times where a sign is a word. Beyond it a model has lost its thread."""
_BATCH = 20
"""Lines of a request: models lose count in longer ones."""
_CONTEXT = 6
"""Lines before a batch that it is shown."""
_INSTRUCTIONS = (
    "You translate subtitles from {source} to {target}. The user sends JSON: `lines`, each with `id` and `text`; `context`, the "
    "lines before them, which you do not translate; `glossary`, terms and how they must be translated. Answer with JSON alone: "
    '{{"lines": [{{"id": 1, "text": "…"}}]}}. Translate every line, keep every id, and never join or split lines.'
)


class OpenAITranslator:
    """One endpoint with one model."""

    def __init__(self, client: OpenAIClient) -> None:
        self._client = client
        self.facts = TranslatorFacts(tuple(sorted(client.endpoint.languages)), keeps_glossary=True, reads_context=True)

    def translate(self, sentences: Sequence[str], brief: Brief) -> tuple[str, ...]:
        """Translate sentences in batches, each with the lines before it."""
        check_pair(self.facts, brief)
        lines = [" ".join(sentence.split()) for sentence in sentences]
        done = {number: "" for number, line in enumerate(lines) if not line}
        for start in range(0, len(lines), _BATCH):
            numbers = [number for number in range(start, min(start + _BATCH, len(lines))) if lines[number]]
            before = [*brief.before, *lines[:start]][-_CONTEXT:]
            done |= self._translate_batch({number: lines[number] for number in numbers}, before, brief)
        return tuple(done[number] for number in range(len(lines)))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _translate_batch(self, wanted: Mapping[int, str], before: Sequence[str], brief: Brief) -> dict[int, str]:
        return ask_for_lines(
            self._client,
            wanted,
            instructions=_INSTRUCTIONS.format(source=brief.source, target=brief.target),
            ask=lambda missing: {
                "context": before,
                "glossary": {term: said for term, said in brief.glossary.items() if _has_term(missing.values(), term)},
                "lines": [{"id": number, "text": line} for number, line in missing.items()],
            },
            fits=lambda line, answer: len(answer) <= _LONGER * len(line) + _LEAST_ROOM,
        )


def _has_term(lines: Iterable[str], term: str) -> bool:
    return any(term.casefold() in line.casefold() for line in lines)


def load(offer: Offer) -> OpenAITranslator:
    """Make a client of the endpoint that was offered; nothing is asked yet."""
    return OpenAITranslator(OpenAIClient(endpoint_of(offer)))
