"""Vosk's adapter on a stub with the library's signatures: what is fed, what becomes of pauses and silence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests_support.model_folders import write_empty, write_vosk
from tests_support.stub_libraries import stub_libraries

from mediafleet.domain.errors import CapabilityMissing, ConfigError, InvalidRequest, TaskFailed
from mediafleet.engines import EngineRegistry, Need, Role, Where, load_engine
from mediafleet.engines.adapters.vosk import VoskEngine
from mediafleet.engines.audio import Audio
from mediafleet.engines.models.recognition import look_at_vosk
from mediafleet.engines.pcm import RATE_HZ

ENGLISH = Need(Role.RECOGNIZE, "en")


@pytest.fixture(autouse=True)
def library() -> Iterator[None]:
    with stub_libraries():
        yield


@pytest.fixture
def engine(tmp_path: Path) -> VoskEngine:
    return VoskEngine(str(write_vosk(tmp_path / "vosk-model-small-en-us-0.15")), ("en",))


def tone(seconds: float) -> Audio:
    return np.full(round(seconds * RATE_HZ), 0.2, dtype=np.float32)


def hush(seconds: float) -> Audio:
    return np.zeros(round(seconds * RATE_HZ), dtype=np.float32)


def test_words_before_and_after_a_pause_are_kept_with_the_times_of_the_whole(engine: VoskEngine) -> None:
    result = engine.recognize(np.concatenate([tone(0.6), hush(0.9), tone(0.3)]))
    assert [(word.text, word.start_s, round(word.end_s, 2)) for word in result.words] == [
        ("w0", 0.0, 0.3),
        ("w1", 0.3, 0.6),
        ("w5", 1.5, 1.8),
    ]
    assert {word.confidence for word in result.words} == {0.9}


def test_speech_that_is_followed_is_told_at_once(engine: VoskEngine) -> None:
    stream = engine.follow(language="en")
    assert [word.text for word in stream.feed(tone(0.4)).words] == ["w0", "w1"]
    assert [word.text for word in stream.feed(hush(0.8)).words] == ["w0", "w1"]
    assert [word.text for word in stream.feed(tone(0.35)).words][:2] == ["w0", "w1"]
    assert stream.finish().text == engine.recognize(np.concatenate([tone(0.4), hush(0.8), tone(0.35)])).text
    stream.close()
    stream.close()


def test_what_a_model_hears_in_silence_is_left_out(engine: VoskEngine) -> None:
    assert engine.recognize(hush(1.0)).words == ()
    assert engine.follow().feed(hush(1.0)).words == ()


def test_an_answer_that_is_no_result_is_an_error(engine: VoskEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = engine.follow()
    monkeypatch.setattr(stream._recognizer, "FinalResult", lambda: "[")
    with pytest.raises(TaskFailed, match="no result"):
        stream.finish()


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("vosk-model-small-en-us-0.15", "en"),
        ("vosk-model-cn-0.22", "zh"),
        ("vosk-model-small-vn-0.4", "vi"),
        ("vosk-model-el-gr-0.7", "el"),
    ],
)
def test_the_language_is_in_the_name(tmp_path: Path, name: str, language: str) -> None:
    assert look_at_vosk(write_vosk(tmp_path / name)) == (language,)


def test_a_note_says_the_language_of_other_names(tmp_path: Path) -> None:
    folder = write_empty(tmp_path / "mine", "final.mdl")
    with pytest.raises(ConfigError, match=r'languages = \["en"\] into mediafleet\.toml'):
        look_at_vosk(folder)
    (folder / "mediafleet.toml").write_text('languages = ["nl"]')
    assert look_at_vosk(folder) == ("nl",)


def test_a_folder_that_is_no_model_is_not_offered(tmp_path: Path) -> None:
    write_empty(tmp_path / "vosk" / "vosk-model-en-us-0.22", "README")
    with pytest.raises(CapabilityMissing, match="a model for en into <models>/vosk/<name>"):
        EngineRegistry.installed(Where(models=str(tmp_path))).find(ENGLISH, adapter="vosk")
    with pytest.raises(ConfigError, match=r"lacks am/final\.mdl, conf/mfcc\.conf"):
        look_at_vosk(tmp_path / "vosk" / "vosk-model-en-us-0.22")


def test_a_model_is_found_loaded_and_knows_one_language(tmp_path: Path) -> None:
    write_vosk(tmp_path / "vosk" / "vosk-model-es-0.42")
    registry = EngineRegistry.installed(Where(models=str(tmp_path)))
    offer = registry.find(Need(Role.RECOGNIZE, "es"), adapter="vosk")
    engine = load_engine(registry.get("vosk"), offer)
    assert isinstance(engine, VoskEngine)
    with pytest.raises(InvalidRequest, match="recognizes es, not 'en'"):
        engine.recognize(tone(0.3), language="en")
