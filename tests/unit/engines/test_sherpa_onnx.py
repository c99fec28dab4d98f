"""sherpa-onnx's adapter on a stub with the library's signatures: which files are loaded, how tokens become words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from tests_support.model_folders import write_empty, write_sense_voice, write_zipformer
from tests_support.stub_libraries import stub_libraries

from mediafleet.domain.errors import CapabilityMissing, ConfigError, InvalidRequest
from mediafleet.engines import EngineRegistry, Need, Role, Where, load_engine
from mediafleet.engines.adapters.sherpa_onnx import SenseVoiceEngine, ZipformerEngine, join_tokens
from mediafleet.engines.audio import Audio
from mediafleet.engines.models.recognition import SherpaSort, look_at_sherpa
from mediafleet.engines.pcm import RATE_HZ

ZIPFORMER = "sherpa-onnx-streaming-zipformer-en-2023-06-26"
SENSE_VOICE = "sherpa-onnx-sense-voice-zh-en-ja-ko-yue-2024-07-17"


@pytest.fixture(autouse=True)
def library() -> Iterator[None]:
    with stub_libraries():
        yield


@pytest.fixture
def zipformer(tmp_path: Path) -> ZipformerEngine:
    return ZipformerEngine(look_at_sherpa(write_zipformer(tmp_path / ZIPFORMER)))


@pytest.fixture
def sense_voice(tmp_path: Path) -> SenseVoiceEngine:
    return SenseVoiceEngine(look_at_sherpa(write_sense_voice(tmp_path / SENSE_VOICE)))


def tone(seconds: float) -> Audio:
    return np.full(round(seconds * RATE_HZ), 0.2, dtype=np.float32)


def test_parts_in_8_bits_are_taken_but_for_the_decoder(tmp_path: Path) -> None:
    model = look_at_sherpa(write_zipformer(tmp_path / ZIPFORMER))
    assert {name: path.name for name, path in model.files.items()} == {
        "tokens": "tokens.txt",
        "encoder": "encoder-epoch-99-avg-1.int8.onnx",
        "decoder": "decoder-epoch-99-avg-1.onnx",
        "joiner": "joiner-epoch-99-avg-1.int8.onnx",
    }
    assert look_at_sherpa(write_sense_voice(tmp_path / SENSE_VOICE)).files["model"].name == "model.int8.onnx"


@pytest.mark.parametrize(
    ("name", "sort", "languages"),
    [
        (ZIPFORMER, SherpaSort.ZIPFORMER, ("en",)),
        ("sherpa-onnx-streaming-zipformer-bilingual-zh-en-2023-02-20", SherpaSort.ZIPFORMER, ("en", "zh")),
        ("sherpa-onnx-streaming-zipformer-korean-2024-06-16", SherpaSort.ZIPFORMER, ("ko",)),
        ("sherpa-onnx-streaming-zipformer-small-ru-vosk-int8-2025-08-16", SherpaSort.ZIPFORMER, ("ru",)),
        ("sherpa-onnx-streaming-zipformer-zh-14M-2023-02-23", SherpaSort.ZIPFORMER, ("zh",)),
        (SENSE_VOICE, SherpaSort.SENSE_VOICE, ("en", "ja", "ko", "zh")),
    ],
)
def test_names_of_models_say_what_they_are_for(
    tmp_path: Path, name: str, sort: SherpaSort, languages: tuple[str, ...]
) -> None:
    write = write_zipformer if sort is SherpaSort.ZIPFORMER else write_sense_voice
    model = look_at_sherpa(write(tmp_path / name))
    assert (model.sort, model.languages) == (sort, languages)


def test_a_note_says_the_languages_of_other_names(tmp_path: Path) -> None:
    folder = write_zipformer(tmp_path / "my-streaming-zipformer")
    with pytest.raises(ConfigError, match="Nobody says which language"):
        look_at_sherpa(folder)
    (folder / "mediafleet.toml").write_text('languages = ["fr"]')
    assert look_at_sherpa(folder).languages == ("fr",)


def write_without_tokens(folder: Path) -> Path:
    return write_empty(folder, "model.onnx")


@pytest.mark.parametrize(
    ("write", "name", "said"),
    [
        (write_sense_voice, "sherpa-onnx-paraformer-zh-2023-09-14", "neither as a streaming Zipformer"),
        (write_sense_voice, ZIPFORMER, r"lacks encoder\*\.onnx"),
        (write_without_tokens, SENSE_VOICE, r"lacks tokens\.txt"),
    ],
)
def test_what_a_folder_lacks_is_told_and_it_is_not_offered(
    tmp_path: Path, write: Callable[[Path], Path], name: str, said: str
) -> None:
    folder = write(tmp_path / "sherpa-onnx" / name)
    with pytest.raises(ConfigError, match=said):
        look_at_sherpa(folder)
    with pytest.raises(CapabilityMissing, match="a streaming Zipformer or SenseVoice for en into"):
        EngineRegistry.installed(Where(models=str(tmp_path))).find(Need(Role.RECOGNIZE, "en"), adapter="sherpa-onnx")


def test_tokens_are_joined_to_words_with_times_and_confidence() -> None:
    tokens = [" he", "llo", " wor", "ld", "."]
    words = join_tokens(tokens, [0.5, 0.6, 1.0, 1.1, 1.9], [-0.1, -0.3, -0.5, -0.5, -0.5])
    assert [(word.text, word.start_s, round(word.end_s, 2)) for word in words] == [
        ("hello", 0.5, 0.8),
        ("world.", 1.0, 2.1),
    ]
    assert [round(word.confidence, 3) for word in words] == [round(math.exp(-0.2), 3), round(math.exp(-0.5), 3)]


def test_signs_of_scripts_without_spaces_are_words_and_full_stops_are_none() -> None:
    words = join_tokens(["今", "天", "。", "▁OK", "好"], [0.1, 0.3, 0.4, 0.6, 0.9], [])
    assert [word.text for word in words] == ["今", "天。", "ok", "好"]
    assert {word.confidence for word in words} == {1.0}


def test_models_that_know_capitals_only_do_not_shout() -> None:
    assert [word.text for word in join_tokens(["▁I", "▁SEE"], [0.0, 0.2], [])] == ["i", "see"]
    assert [word.text for word in join_tokens(["▁I", "▁see"], [0.0, 0.2], [])] == ["I", "see"]
    assert join_tokens([], [], []) == ()


def test_a_zipformer_tells_what_it_hears_and_the_end_is_not_lost(zipformer: ZipformerEngine) -> None:
    stream = zipformer.follow(language="en")
    assert stream.feed(tone(0.33)).text == "hel"
    assert stream.feed(tone(0.4)).text == "hello"
    assert stream.finish().text == zipformer.recognize(tone(0.73)).text == "hello hel"
    assert stream._stream.is_finished
    stream.close()
    assert zipformer.recognize(tone(0.73)).words[-1].end_s <= 0.73


def test_sense_voice_detects_the_language_and_is_loaded_anew_for_one_that_is_told(
    sense_voice: SenseVoiceEngine,
) -> None:
    made: list[str] = import_module("sherpa_onnx").OfflineRecognizer.made
    result = sense_voice.recognize(tone(1.5))
    assert (result.language, result.text) == ("en", "Hello, there.")
    sense_voice.recognize(tone(1.5), language="ja")
    assert sense_voice.recognize(tone(1.5), language="ja").language == "ja"
    sense_voice.recognize(tone(1.5))
    assert made == ["auto", "ja", "auto"]
    with pytest.raises(InvalidRequest, match="'fr'"):
        sense_voice.recognize(tone(1.5), language="fr")


def test_nothing_is_heard_in_silence(sense_voice: SenseVoiceEngine, zipformer: ZipformerEngine) -> None:
    for engine in (sense_voice, zipformer):
        assert engine.recognize(tone(1.0) * 0).words == ()


def test_a_model_is_found_and_loaded(tmp_path: Path) -> None:
    write_sense_voice(tmp_path / "sherpa-onnx" / SENSE_VOICE)
    registry = EngineRegistry.installed(Where(models=str(tmp_path)))
    offer = registry.find(Need(Role.RECOGNIZE, "ko"), adapter="sherpa-onnx")
    assert isinstance(load_engine(registry.get("sherpa-onnx"), offer), SenseVoiceEngine)
