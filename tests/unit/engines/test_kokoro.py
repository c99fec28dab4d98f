"""Kokoro's real code on a network that hums, wherever it is installed; its folders are looked at everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="the tests write networks with it")

from tests_support.model_folders import write_empty
from tests_support.tiny_voices import write_kokoro

from mediafleet.domain.errors import CapabilityMissing, ConfigError, InvalidRequest
from mediafleet.engines import EngineRegistry, Need, Role, Where
from mediafleet.engines.adapters.kokoro import KokoroEngine
from mediafleet.engines.models.kokoro import look_at_kokoro
from mediafleet.engines.synthesis import Voice

NAMES = ("af_heart", "bm_george", "ef_dora", "jf_alpha", "zf_xiaobei")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> KokoroEngine:
    pytest.importorskip("kokoro_onnx", reason="the extra kokoro is not installed")
    return KokoroEngine(look_at_kokoro(write_kokoro(tmp_path_factory.mktemp("kokoro") / "hum", *NAMES)))


def test_languages_are_those_of_the_voices_that_can_be_spoken(tmp_path: Path) -> None:
    folder = look_at_kokoro(write_kokoro(tmp_path / "k", *NAMES))
    assert folder.names == ("af_heart", "bm_george", "ef_dora")
    assert folder.languages == ("en", "es")


def test_a_network_in_8_bits_is_taken_where_there_is_one(tmp_path: Path) -> None:
    folder = write_kokoro(tmp_path / "k")
    (folder / "model.int8.onnx").touch()
    assert look_at_kokoro(folder).network.name == "model.int8.onnx"


def remove_voices(folder: Path) -> None:
    (folder / "voices.bin").unlink()


def remove_network(folder: Path) -> None:
    (folder / "kokoro.onnx").unlink()


def break_voices(folder: Path) -> None:
    (folder / "voices.bin").write_bytes(b"no voices")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove_voices, r"lacks voices\*\.bin"),
        (remove_network, r"lacks \*\.onnx"),
        (break_voices, "cannot be read"),
    ],
)
def test_what_a_folder_lacks_is_told(tmp_path: Path, spoil: Callable[[Path], None], said: str) -> None:
    folder = write_kokoro(tmp_path / "k")
    spoil(folder)
    with pytest.raises(ConfigError, match=said):
        look_at_kokoro(folder)
    with pytest.raises(ConfigError, match="no voice of a language"):
        look_at_kokoro(write_kokoro(tmp_path / "other", "jf_alpha"))


def test_what_to_install_is_said_for_its_languages_only(tmp_path: Path) -> None:
    write_empty(tmp_path / "kokoro-onnx" / "half", "kokoro.onnx")
    registry = EngineRegistry.installed(Where(models=str(tmp_path)))
    with pytest.raises(CapabilityMissing, match=r"voices\*\.bin into <models>/kokoro-onnx/<name>"):
        registry.find(Need(Role.SYNTHESIZE, "en"), adapter="kokoro-onnx")
    with pytest.raises(CapabilityMissing, match="no known engine does"):
        registry.find(Need(Role.SYNTHESIZE, "fi"), adapter="kokoro-onnx")


def test_a_sentence_is_a_piece(engine: KokoroEngine) -> None:
    pieces = list(engine.synthesize("Hello there. … And how are you?", Voice("en")))
    assert len(pieces) == 2
    assert {piece.rate_hz for piece in pieces} == {24_000}


def test_a_language_has_the_voices_that_are_named_for_it(engine: KokoroEngine) -> None:
    (american,), (british,) = (engine.synthesize("one", Voice("en", name)) for name in ("", "bm_george"))
    assert american != british
    with pytest.raises(InvalidRequest, match="no voice 'ef_dora' for en; it has af_heart, bm_george"):
        list(engine.synthesize("one", Voice("en", "ef_dora")))


def test_a_voice_speaks_with_its_accent(engine: KokoroEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    create = engine._kokoro.create

    def ask(*words: object) -> object:
        asked.append(words)
        return create(*words)

    monkeypatch.setattr(engine._kokoro, "create", ask)
    for voice in (Voice("es"), Voice("en", "bm_george", speed=3.0)):
        assert list(engine.synthesize("uno", voice))
    assert asked == [("uno", "ef_dora", 1.0, "es"), ("uno", "bm_george", 2.0, "en-gb")]
