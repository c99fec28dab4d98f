"""What adapters of OpenAI-compatible chat completions share: lines go out with numbers and come back with numbers.

What does not come back is asked for again, and what never comes is an error: a model that skips, joins or invents lines cannot
shift a single one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from mediafleet.domain.errors import TaskFailed
from mediafleet.engines.adapters._openai import OpenAIClient

_ROUNDS = 3
"""How often a line is asked for."""


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


def ask_for_lines(
    client: OpenAIClient,
    wanted: Mapping[int, str],
    *,
    instructions: str,
    ask: Callable[[Mapping[int, str]], Mapping[str, object]],
    fits: Callable[[str, str], bool],
) -> dict[int, str]:
    """Return an answer to each line, by its number.

    Args:
        client: Of the endpoint; it stays open.
        wanted: Lines by number.
        instructions: What the model is told beforehand.
        ask: Returns what is sent, as JSON, to ask for some of the lines.
        fits: Tells by a line and its answer, on one line, whether it can be one; else it counts as missing.

    Raises:
        TransientFailure: As `OpenAIClient.post`.
        TaskFailed: As `OpenAIClient.post`, or a line never came.
    """
    done: dict[int, str] = {}
    said = ""
    for _ in range(_ROUNDS):
        missing = {number: line for number, line in wanted.items() if number not in done}
        if not missing:
            return done
        said = _complete(client, instructions, msgspec.json.encode(ask(missing)).decode())
        done |= {number: text for number, text in read_lines(said, missing).items() if fits(wanted[number], text)}
    if len(done) == len(wanted):
        return done
    raise TaskFailed(
        f"{client.endpoint.address} left out {len(wanted) - len(done)} of {len(wanted)} lines, however often it was asked.",
        detail=said[:500],
    )


def _complete(client: OpenAIClient, instructions: str, asked: str) -> str:
    messages = [{"role": "system", "content": instructions}, {"role": "user", "content": asked}]
    body = {"model": client.endpoint.model, "messages": messages, "temperature": 0}
    completion = client.post_for(_completions, "chat completion", "chat/completions", json=body)
    return (completion.choices[0].message.content or "") if completion.choices else ""


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
    return {
        number: texts[0]
        for number, texts in found.items()
        if number in wanted and len(texts) == 1 and is_text(texts[0])
    }


def is_text(answer: str) -> bool:
    """Tell whether anybody could see it."""
    return any(one.isprintable() and not one.isspace() for one in answer)
