"""A text that is handed in beside the film: whose it is, what it is written in, and where it ends. Whole jobs on toy engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests_support.local_job import run_job
from toy_talk import HIGH, LOW, samples, write_models, write_talk

from mediafleet.domain.errors import InputError
from mediafleet.kinds.subtitle import KIND
from mediafleet.kinds.subtitle.cue import Cue
from mediafleet.kinds.subtitle.formats import Format, Transcript, write_cues


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Engines that understand tones."""
    return write_models(tmp_path / "models")


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """Two sentences, said by one."""
    return write_talk(tmp_path / "talk.wav", samples([LOW, HIGH]))


async def aligned(
    film: Path, text: Path, *, models: Path, **params: Any
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the cues that come out, and what was told."""
    wishes = {"language": "eo", "formats": ["json"], **params}
    outcome, folder = await run_job(KIND, film, text, folder=text.parent, models=models, **wishes)
    return json.loads((folder / "talk.eo.json").read_text())["cues"], outcome.warnings


async def test_words_that_were_not_heard_are_said_by_who_speaks(tmp_path: Path, models: Path) -> None:
    anna, ben = samples([LOW]), samples([HIGH], after_s=6.0)
    film = write_talk(tmp_path / "talk.wav", anna, ben)
    text = tmp_path / "text.txt"
    text.write_text("Unu du certe tri. Ses sep ho ok dek.")
    cues, _ = await aligned(film, text, models=models, speakers="channels", speaker_names=["Anna", "Ben"])
    said = [(cue["speaker"], " ".join(cue["lines"])) for cue in cues]
    assert said == [("Anna", "Unu du certe tri."), ("Ben", "Ses sep ho ok dek.")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
async def test_plain_text_may_be_written_as_editors_write_it(
    tmp_path: Path, talk: Path, models: Path, encoding: str
) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(f"{LOW} é {HIGH}".encode(encoding))
    cues, _ = await aligned(talk, text, models=models)
    assert " ".join(line for cue in cues for line in cue["lines"]) == f"{LOW} é {HIGH}"


@pytest.mark.parametrize(("content", "sentence"), [(b"", "no word in the text"), (b"unu\0du", "is no text")])
async def test_what_is_no_text_is_refused(
    tmp_path: Path, talk: Path, models: Path, content: bytes, sentence: str
) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        await aligned(talk, text, models=models)


@pytest.mark.parametrize("form", [Format.JSON, Format.TSV, Format.SRT])
async def test_files_of_our_own_are_put_right_and_what_lies_behind_the_film_is_left_out(
    tmp_path: Path, talk: Path, models: Path, form: Format
) -> None:
    late = tuple(
        Cue(start_ms, start_ms + 1000, (line,), (start_ms, start_ms + 1000))
        for start_ms, line in ((5000, LOW), (8000, HIGH), (60_000, "Fino."))
    )
    text = tmp_path / f"late.eo.{form}"
    text.write_text(write_cues(Transcript("eo", late), form))
    cues, warnings = await aligned(talk, text, models=models)
    assert [" ".join(cue["lines"]) for cue in cues] == [LOW, HIGH]
    assert all(cue["end_ms"] < 8000 and cue["start_ms"] % 10 == 0 for cue in cues)
    assert any("1 cue(s)" in text and "outside the film" in text for text in warnings)


async def test_a_transcript_of_ours_is_an_input_like_any_other(tmp_path: Path, models: Path) -> None:
    text = tmp_path / "talk.eo.json"
    text.write_text(write_cues(Transcript("eo", (Cue(0, 1000, (LOW,)),)), Format.JSON))
    _, folder = await run_job(KIND, text, folder=tmp_path, models=models, to=["en"])
    assert "one two three" in (folder / "talk.en.srt").read_text()
