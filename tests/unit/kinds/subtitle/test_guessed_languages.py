"""A language that nobody named and no engine could find out is doubted when the recognizer was hardly sure of a word."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mediafleet.domain.errors import InvalidParams
from mediafleet.domain.plan import TaskSpec
from mediafleet.engines.recognition import Recognition, Word
from mediafleet.engines.voice_activity import Span
from mediafleet.kinds.subtitle.orders import Film, Heard, WordsFile, write
from mediafleet.kinds.subtitle.texting import check_guess, make_text
from mediafleet.testing import LocalTaskContext, ref_to

DOUBTFUL = 0.4


def words_file(confidence: float, count: int = 30, *, doubtful_below: float = DOUBTFUL) -> WordsFile:
    words = tuple(Word(f"word{number}", number, number + 0.5, confidence) for number in range(count))
    spans = (Span(0.0, float(count)),)
    return WordsFile(Recognition(words, "en"), spans, "toy", punctuates=True, doubtful_below=doubtful_below)


def test_a_recognizer_that_was_hardly_sure_heard_another_language() -> None:
    with pytest.raises(InvalidParams, match=r"hardly sounds like 'en'.*Name it with --from"):
        check_guess("en", [words_file(0.3), words_file(0.35)])


@pytest.mark.parametrize(
    "parts",
    [
        [words_file(0.5)],
        [words_file(0.1, 5)],
        [words_file(0.1, doubtful_below=0.0)],
        [words_file(0.1), words_file(0.9)],
        [],
    ],
)
def test_others_are_believed(parts: list[WordsFile]) -> None:
    check_guess("en", parts)


@pytest.mark.parametrize("is_guessed", [False, True])
async def test_only_a_guess_is_doubted(tmp_path: Path, *, is_guessed: bool) -> None:
    record = tmp_path / "words-1.json"
    record.write_bytes(msgspec.json.encode(words_file(0.2)))
    payload = write(Heard(Film("film.mkv"), "en", (30.0,), 30.0, is_guessed=is_guessed))
    spec = TaskSpec("subtitle", 1, "text", "text", "default", inputs=(ref_to(record),), payload=payload)
    context = LocalTaskContext(spec, folder=tmp_path / "text")
    if is_guessed:
        with pytest.raises(InvalidParams):
            await make_text(context)
    else:
        assert (await make_text(context)).result["words"] == 30
