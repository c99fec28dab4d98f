"""Translation by any service that has OpenAI's chat completions.

Lines go out with numbers and come back with numbers. What does not come back is asked for again, and what never comes is an
error: a model that skips, joins or invents lines cannot shift a single one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from mediafleet.domain.errors import TaskFailed
from mediafleet.engines.adapters._openai import OpenAIClient, endpoint_of
from mediafleet.engines.translation import Brief, TranslatorFacts, check_pair

if TYPE_CHECKING:
    from mediafleet.engines.offer import Offer

_BATCH = 20
"""Lines of a request: models lose count in longer ones."""
_CONTEXT = 6
"""Lines before a batch that it is shown."""
_ROUNDS = 3
"""How often a line is asked for."""
_INSTRUCTIONS = (
    "You translate subtitles from {source} to {target}. The user sends JSON: `lines`, each with `id` and `text`; `context`, the "
    "lines before them, which you do not translate; `glossary`, terms and how they must be translated. Answer with JSON alone: "
    '{{"lines": [{{"id": 1, "text": "…"}}]}}. Translate every line, keep every id, and never join or split lines.'
)


class _Line(msgspec.Struct):
    id: int
    text: str


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


_completions = msgspec.json.Decoder(_Completion)


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
        done: dict[int, str] = {}
        said = ""
        for _ in range(_ROUNDS):
            missing = {number: line for number, line in wanted.items() if number not in done}
            if not missing:
                return done
            said = self._ask(make_messages(missing, before, brief))
            done |= read_lines(said, missing)
        if len(done) == len(wanted):
            return done
        raise TaskFailed(
            f"{self._client.endpoint.address} left out {len(wanted) - len(done)} of {len(wanted)} lines, however often it was asked.",
            detail=said[:500],
        )

    def _ask(self, messages: Sequence[Mapping[str, str]]) -> str:
        body = {"model": self._client.endpoint.model, "messages": messages, "temperature": 0}
        response = self._client.post("chat/completions", json=body)
        try:
            completion = _completions.decode(response.content)
        except msgspec.MsgspecError as error:
            raise TaskFailed(
                f"{self._client.endpoint.address} answered something that is no chat completion.",
                detail=response.text[:500],
            ) from error
        return (completion.choices[0].message.content or "") if completion.choices else ""


def make_messages(lines: Mapping[int, str], before: Sequence[str], brief: Brief) -> list[dict[str, str]]:
    """Return the messages that ask for some lines."""
    asked = {
        "context": list(before),
        "glossary": {term: said for term, said in brief.glossary.items() if _has_term(lines.values(), term)},
        "lines": [{"id": number, "text": line} for number, line in lines.items()],
    }
    instructions = _INSTRUCTIONS.format(source=brief.source, target=brief.target)
    return [
        {"role": "system", "content": instructions},
        {"role": "user", "content": msgspec.json.encode(asked).decode()},
    ]


def _has_term(lines: Iterable[str], term: str) -> bool:
    return any(term.casefold() in line.casefold() for line in lines)


def read_lines(said: str, wanted: Mapping[int, str]) -> dict[int, str]:
    """Return the lines of an answer that were asked for; of a line that comes twice, neither can be trusted.

    Models put fences and words around their JSON; what has no JSON has no lines.
    """
    try:
        raw = msgspec.json.decode(said[said.index("{") : said.rindex("}") + 1], type=dict[str, msgspec.Raw])
        answered = msgspec.json.decode(raw["lines"], type=list[msgspec.Raw])
    except (ValueError, KeyError, msgspec.MsgspecError):
        return {}
    found: dict[int, list[str]] = {}
    for one in answered:
        try:
            # Some models write numbers as words.
            line = msgspec.json.decode(one, type=_Line, strict=False)
        except msgspec.MsgspecError:
            continue
        found.setdefault(line.id, []).append(" ".join(line.text.split()))
    return {number: texts[0] for number, texts in found.items() if number in wanted and len(texts) == 1 and texts[0]}


def load(offer: Offer) -> OpenAITranslator:
    """Make a client of the endpoint that was offered; nothing is asked yet."""
    return OpenAITranslator(OpenAIClient(endpoint_of(offer)))
