"""Piper's real code on a voice that hums: what is loaded, how texts become phonemes and sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("piper", reason="the extra piper is not installed")
pytest.importorskip("onnx", reason="the tests write voices with it")

from tests_support.tiny_voices import write_piper

from mediafleet.domain.errors import CapabilityMissing, ConfigError, InvalidRequest, TaskFailed
from mediafleet.engines import EngineRegistry, Need, Role, Where, load_engine
from mediafleet.engines.adapters.piper import PiperEngine
from mediafleet.engines.audio import Sound, from_pcm
from mediafleet.engines.models.piper import look_at_voice
from mediafleet.engines.synthesis import SynthesizerFacts, Voice
from mediafleet.engines.warm import WarmEngines
from mediafleet.engines.wire import Synthesize

ENGLISH = Voice("en")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> PiperEngine:
    return PiperEngine(
        look_at_voice(write_piper(tmp_path_factory.mktemp("piper") / "hum", language="en-us", speakers=2))
    )


def seconds(engine: PiperEngine, text: str, voice: Voice = ENGLISH) -> float:
    return sum(piece.seconds for piece in engine.synthesize(text, voice))


def test_a_sentence_is_a_piece_and_its_phonemes_are_its_length(engine: PiperEngine) -> None:
    first, second = engine.synthesize("Hello there. How are you?", ENGLISH)
    assert first.rate_hz == second.rate_hz == 16_000
    assert first.seconds != second.seconds
    assert 0.5 < np.abs(from_pcm(first.pcm)).max() <= 1
    assert seconds(engine, "Hello there and hello again.") > first.seconds


def test_speed_is_a_factor_of_what_the_voice_itself_has(engine: PiperEngine) -> None:
    usual = seconds(engine, "one two")
    assert seconds(engine, "one two", Voice("en", speed=0.5)) == pytest.approx(2 * usual, rel=0.01)
    assert seconds(engine, "one two", Voice("en", speed=2.0)) == pytest.approx(usual / 2, rel=0.01)


def test_speakers_have_names(engine: PiperEngine) -> None:
    (low,), (high,), (usual,) = (engine.synthesize("one", Voice("en", name)) for name in ("s0", "s1", ""))
    assert low == usual != high
    with pytest.raises(InvalidRequest, match="no speaker 's7'; it has s0, s1"):
        seconds(engine, "one", Voice("en", "s7"))


def test_a_voice_that_was_spoken_in_several_tones_offers_them(tmp_path: Path) -> None:
    tones = {"neutral": 0, "whisper": 1, "studio": 2}
    toned = PiperEngine(look_at_voice(write_piper(tmp_path / "moods", speakers=3, speaker_id_map=tones)))
    assert toned.facts.tones == ("neutral", "whisper")
    voices = [Voice("en", "whisper"), Voice("en", tone="whisper"), Voice("en", tone="angry"), Voice("en")]
    (named,), (whispered,), (angry,), (usual,) = (toned.synthesize("one", voice) for voice in voices)
    assert named == whispered != usual == angry


def test_brackets_of_a_text_are_no_phonemes(engine: PiperEngine) -> None:
    assert seconds(engine, "a [[bbbbbbbbbb]] c") == seconds(engine, "a [ [bbbbbbbbbb]] c")


def test_nothing_is_said_where_there_are_no_words(engine: PiperEngine) -> None:
    assert list(engine.synthesize("… !", ENGLISH)) == []


@pytest.mark.parametrize(("name", "language"), [("es-419", "es"), ("cmn", "zh")])
def test_a_voice_says_its_language(tmp_path: Path, name: str, language: str) -> None:
    assert look_at_voice(write_piper(tmp_path / "v", language=name)).language == language


def test_the_language_of_the_file_goes_before_that_of_the_phonemes(tmp_path: Path) -> None:
    folder = tmp_path / "v"
    write_piper(folder, language="en")
    about = folder / "voice.onnx.json"
    about.write_text(about.read_text().replace('{"audio"', '{"language": {"family": "cy"}, "audio"'))
    assert look_at_voice(folder).language == "cy"


def remove_config(folder: Path) -> None:
    (folder / "voice.onnx.json").unlink()


def break_config(folder: Path) -> None:
    (folder / "voice.onnx.json").write_text("{")


def add_another(folder: Path) -> None:
    for end in ("onnx", "onnx.json"):
        (folder / f"other.{end}").write_bytes((folder / f"voice.{end}").read_bytes())


def want_pinyin(folder: Path) -> None:
    about = folder / "voice.onnx.json"
    about.write_text(about.read_text().replace('"phoneme_type": "espeak"', '"phoneme_type": "pinyin"'))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove_config, "has none"),
        (break_config, "cannot be read"),
        (add_another, "has 2"),
        (want_pinyin, "lacks g2pW"),
    ],
)
def test_what_a_folder_lacks_is_told_and_it_is_not_offered(
    tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    folder = write_piper(tmp_path / "piper" / "hum")
    spoil(folder)
    with pytest.raises(ConfigError, match=said):
        look_at_voice(folder)
    with pytest.raises(CapabilityMissing, match=r"a voice for en, NAME\.onnx"):
        EngineRegistry.installed(Where(models=str(tmp_path))).find(Need(Role.SYNTHESIZE, "en"), adapter="piper")


def test_a_voice_that_the_library_has_no_phonemes_for_is_told_when_it_is_loaded(tmp_path: Path) -> None:
    write_piper(tmp_path / "piper" / "hum", language="xx-yy")
    registry = EngineRegistry.installed(Where(models=str(tmp_path)))
    offer = registry.find(Need(Role.SYNTHESIZE, "xx"), adapter="piper")
    with pytest.raises(TaskFailed, match="could not be loaded"):
        load_engine(registry.get("piper"), offer)


async def test_a_machine_speaks_in_a_process_of_its_own(tmp_path: Path) -> None:
    write_piper(tmp_path / "piper" / "hum")
    offer = EngineRegistry.installed(Where(models=str(tmp_path))).find(Need(Role.SYNTHESIZE, "en"), adapter="piper")
    async with WarmEngines() as engines:
        engine = engines.get(offer)
        assert await engine.load(SynthesizerFacts) == SynthesizerFacts(("en",))
        asked = Synthesize("One. Two.", ENGLISH)
        pieces = [piece async for piece in engine.ask_for_parts(asked, Sound)]
    assert len(pieces) == 2
