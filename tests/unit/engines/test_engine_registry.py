"""What is found of engines, what is preferred, and what is said where one is missing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mediafleet.domain.errors import CapabilityMissing, NotFound
from mediafleet.engines import Adapter, EngineRegistry, Need, Offer, Role, Where
from mediafleet.engines.adapter import find_package, is_installed
from mediafleet.engines.catalogue.recognition import FASTER_WHISPER, POCKETSPHINX, VOSK
from mediafleet.engines.catalogue.voice_activity import SILERO, WEBRTCVAD
from mediafleet.engines.registry import IN_SPEECH

ENGLISH = Need(Role.RECOGNIZE, "en")
SPANISH = Need(Role.TRANSLATE, "en", "es")
BUILT_IN = (FASTER_WHISPER, VOSK, POCKETSPHINX, SILERO, WEBRTCVAD)


def adapter(name: str, role: Role, *offers: Offer, rank: int = 1, advice: str = "") -> Adapter:
    return Adapter(name=name, role=role, rank=rank, scout=lambda _: offers, load="x:y", advise=lambda _: advice)


def ears(name: str, *languages: str, rank: int = 1) -> Adapter:
    return adapter(name, Role.RECOGNIZE, Offer(name, Role.RECOGNIZE, languages=languages), rank=rank)


def test_the_best_that_knows_the_language_is_taken() -> None:
    registry = EngineRegistry([ears("any"), ears("good", "en", rank=9), ears("best", "de", rank=50)])
    assert registry.find(ENGLISH).adapter == "good"
    assert registry.find(Need(Role.RECOGNIZE, "fi")).adapter == "any"
    assert registry.find(Need(Role.RECOGNIZE)).adapter == "best"
    assert registry.find(ENGLISH, adapter="any").adapter == "any"


def test_a_translator_must_know_the_pair_in_this_direction() -> None:
    offer = Offer("apertium", Role.TRANSLATE, pairs=("es>en",))
    registry = EngineRegistry([adapter("apertium", Role.TRANSLATE, offer)])
    assert registry.find(Need(Role.TRANSLATE, "es", "en")) == offer
    with pytest.raises(CapabilityMissing) as caught:
        registry.find(SPANISH)
    assert caught.value.capability == "mt:en>es"


def test_from_a_language_that_nobody_knows_yet_any_pair_into_the_other_may_do() -> None:
    offer = Offer("apertium", Role.TRANSLATE, pairs=("ca>es", "es>ca"))
    registry = EngineRegistry([adapter("apertium", Role.TRANSLATE, offer)])
    assert registry.find(Need(Role.TRANSLATE, target="es")) == offer
    with pytest.raises(CapabilityMissing, match="can translate into de: ") as caught:
        registry.find(Need(Role.TRANSLATE, target="de"))
    assert caught.value.capability == "mt:*>de"


def test_a_missing_engine_is_told_with_all_that_could_be_installed() -> None:
    small = adapter("small", Role.TRANSLATE, advice="install a")
    large = adapter("large", Role.TRANSLATE, rank=9, advice="install b")
    registry = EngineRegistry([small, large, adapter("other", Role.TRANSLATE), ears("en", "en")])
    with pytest.raises(CapabilityMissing) as caught:
        registry.find(SPANISH)
    assert caught.value.message == "Nothing that is installed here can translate en>es: install b; or install a."
    assert registry.explain(SPANISH, adapter="small") == "small cannot translate en>es: install a."


@pytest.mark.parametrize(
    ("need", "first"),
    [
        (ENGLISH, "install the extra 'speech' (pip install 'mediafleet[speech]'; drafty, English only); "),
        (Need(Role.RECOGNIZE), "install the extra 'speech' (pip install 'mediafleet[speech]'; drafty, English only); "),
        (Need(Role.VOICE_ACTIVITY), "install the extra 'speech' (pip install 'mediafleet[speech]'); "),
        (
            Need(Role.RECOGNIZE, "de"),
            "install the extra 'faster-whisper' (pip install 'mediafleet[faster-whisper]') and ",
        ),
    ],
)
def test_of_many_recognizers_the_simplest_is_named_and_where_to_read_on(need: Need, first: str) -> None:
    registry = EngineRegistry([*BUILT_IN, adapter("toy", Role.RECOGNIZE)])
    advice = registry.advise(need)
    assert advice.startswith(first)
    assert advice.count("pip install") == 1
    assert "`mediafleet models` lists" in advice
    assert "docs/reference/engines.md" in advice


def test_the_engine_of_a_third_party_is_named_as_well() -> None:
    registry = EngineRegistry([*BUILT_IN, adapter("toy", Role.RECOGNIZE, advice="get a toy")])
    assert "'mediafleet[speech]'; drafty, English only); or get a toy; `" in registry.advise(ENGLISH)
    assert registry.advise(ENGLISH, adapter="toy") == "get a toy"


def test_the_extra_that_is_named_first_has_what_it_is_named_for() -> None:
    root = Path(__file__).parents[3]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["speech"] == [f"mediafleet[{','.join(sorted(IN_SPEECH))}]"]


def test_what_nobody_can_do_is_said_so() -> None:
    assert EngineRegistry([]).explain(SPANISH).endswith("no known engine does.")


def test_an_engine_that_is_there_is_named() -> None:
    assert EngineRegistry([ears("vosk", "en")]).explain(ENGLISH) == "vosk can recognize en."
    with pytest.raises(NotFound, match="installed are vosk"):
        EngineRegistry([ears("vosk")]).get("whisper")


@pytest.mark.parametrize(
    ("offer", "capabilities"),
    [
        (Offer("silero", Role.VOICE_ACTIVITY), ("engine:vad", "vad:silero")),
        (
            Offer("pocketsphinx", Role.RECOGNIZE, languages=("en",)),
            ("asr:pocketsphinx", "engine:asr", "lang:auto", "lang:en"),
        ),
        (
            Offer("faster-whisper", Role.RECOGNIZE, languages=("de", "en"), detects_language=True),
            ("asr:faster-whisper", "engine:asr", "lang:auto", "lang:de", "lang:detect", "lang:en"),
        ),
        (Offer("apertium", Role.TRANSLATE, pairs=("en>es", "es>en")), ("engine:mt", "mt:en>es", "mt:es>en")),
        (Offer("openai-translate", Role.TRANSLATE), ("engine:mt", "mt:any")),
        (Offer("piper", Role.SYNTHESIZE, languages=("es",)), ("engine:tts", "tts:es")),
        (Offer("rules", Role.REPAIR, languages=("en",)), ("engine:repair", "repair:rules")),
    ],
)
def test_capabilities_say_role_and_languages(offer: Offer, capabilities: tuple[str, ...]) -> None:
    assert offer.capabilities == capabilities


def test_a_third_partys_engine_is_found_like_a_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "toy" / "small").mkdir(parents=True)
    registry = EngineRegistry.installed(Where(models=str(tmp_path)))
    offer = registry.find(Need(Role.RECOGNIZE, "eo"))
    assert (offer.adapter, offer.model, offer.place) == ("toy", "small", str(tmp_path / "toy" / "small"))
    with pytest.raises(CapabilityMissing, match="install mediafleet-engine-toy"):
        EngineRegistry.installed().find(Need(Role.RECOGNIZE, "eo"))


def test_what_is_not_installed_is_not_found() -> None:
    assert not is_installed("no_such_library")
    assert find_package("no_such_library") is None


def test_looking_for_engines_imports_none_of_their_libraries() -> None:
    script = (
        "import sys\n"
        "from mediafleet.engines import EngineRegistry\n"
        "EngineRegistry.installed().offers()\n"
        "print([name for name in ('numpy', 'onnxruntime', 'pocketsphinx', 'webrtcvad', 'torch', 'ctranslate2', 'httpx')"
        " if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
