"""Whisper's real code on a tiny model of noise: what is loaded, what is asked of it, what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("faster_whisper", reason="the extra faster-whisper is not installed")

from tests_support.tiny_whisper import write_tiny_whisper

from mediafleet.domain.errors import CapabilityMissing, InvalidRequest, TaskFailed
from mediafleet.engines import EngineRegistry, Need, Role, Where, load_engine
from mediafleet.engines.adapters.faster_whisper import FasterWhisperEngine, load
from mediafleet.engines.audio import Audio
from mediafleet.engines.pcm import RATE_HZ
from mediafleet.engines.recognition import Recognition, Timing
from mediafleet.engines.warm import WarmEngines

ENGLISH = Need(Role.RECOGNIZE, "en")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with a tiny one."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_whisper(folder / "faster-whisper" / "tiny")
    return folder


@pytest.fixture(scope="module")
def engine(models: Path) -> Iterator[FasterWhisperEngine]:
    """The tiny model, loaded."""
    made = load(EngineRegistry.installed(Where(models=str(models))).find(ENGLISH, adapter="faster-whisper"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def noise() -> Audio:
    """A second of something to hear."""
    return np.random.default_rng(1).uniform(-0.5, 0.5, RATE_HZ).astype(np.float32)


def check_times(result: Recognition, seconds: float) -> None:
    edges = [edge for word in result.words for edge in (word.start_s, word.end_s)]
    assert edges == sorted(edges)
    assert not edges or (edges[0] >= 0 and edges[-1] <= seconds)
    assert all(word.text.strip() == word.text != "" and 0 <= word.confidence <= 1 for word in result.words)


def test_a_model_knows_its_languages(engine: FasterWhisperEngine) -> None:
    assert {"en", "es", "zh"} <= set(engine.facts.languages)
    assert engine.facts.detects_language


def test_words_have_times_and_confidence_and_a_language_that_was_detected(
    engine: FasterWhisperEngine, noise: Audio
) -> None:
    result = engine.recognize(noise, hint="Madrid")
    assert result.words
    check_times(result, 1.0)
    assert result.language in {*engine.facts.languages, "haw"}
    assert 0 < result.language_confidence < 1
    assert result.timing is Timing.WORD


def test_nothing_is_heard_in_silence(engine: FasterWhisperEngine) -> None:
    for samples in (0, 100, 2 * RATE_HZ):
        assert engine.recognize(np.zeros(samples, dtype=np.float32), language="en").words == ()


def test_a_language_that_the_model_does_not_know_is_refused(engine: FasterWhisperEngine, noise: Audio) -> None:
    with pytest.raises(InvalidRequest, match="'xx'"):
        engine.recognize(noise, language="xx")
    with pytest.raises(InvalidRequest):
        engine.recognize(noise[:, np.newaxis], language="en")


def test_a_folder_without_all_files_is_no_model(models: Path, tmp_path: Path) -> None:
    lacking = tmp_path / "faster-whisper" / "half"
    lacking.mkdir(parents=True)
    for name in ("model.bin", "config.json"):
        (lacking / name).write_bytes((models / "faster-whisper" / "tiny" / name).read_bytes())
    registry = EngineRegistry.installed(Where(models=str(tmp_path)))
    with pytest.raises(CapabilityMissing, match=r"tokenizer\.json into <models>/faster-whisper"):
        registry.find(ENGLISH, adapter="faster-whisper")


def test_a_broken_model_is_told_in_a_sentence(models: Path, tmp_path: Path) -> None:
    broken = tmp_path / "faster-whisper" / "broken.en"
    broken.mkdir(parents=True)
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (broken / name).write_bytes((models / "faster-whisper" / "tiny" / name).read_bytes()[:100])
    registry = EngineRegistry.installed(Where(models=str(tmp_path)))
    offer = registry.find(ENGLISH, adapter="faster-whisper")
    assert offer.languages == ("en",)
    with pytest.raises(TaskFailed, match="could not be loaded"):
        load_engine(registry.get("faster-whisper"), offer)


async def test_a_machine_says_the_languages_that_the_loaded_model_named(models: Path) -> None:
    offer = EngineRegistry.installed(Where(models=str(models))).find(ENGLISH, adapter="faster-whisper")
    assert offer.capabilities == ("asr:faster-whisper", "engine:asr", "lang:any", "lang:auto")
    async with WarmEngines() as engines:
        proof = await engines.prove([offer])
    assert {"asr:faster-whisper", "lang:en", "lang:zh"} <= set(proof.capabilities)
    assert "lang:any" not in proof.capabilities
