"""Translators in CTranslate2's format: families are told apart by their files, and the real code translates noise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")
pytest.importorskip("sentencepiece", reason="the extra ctranslate2 is not installed")

from tests_support.tiny_translators import write_argos, write_multilingual, write_opus

from mediafleet.domain.errors import CapabilityMissing, ConfigError, InvalidRequest, TaskFailed
from mediafleet.engines import EngineRegistry, Need, Role, Where, load_engine
from mediafleet.engines.adapters.ctranslate2 import CTranslate2Engine, frame_source, load, load_argos, target_prefix
from mediafleet.engines.models.nllb import NLLB_TOKENS
from mediafleet.engines.models.translation import Family, TranslationModel, look_at_argos, look_at_translator
from mediafleet.engines.translation import Brief
from mediafleet.engines.warm import WarmEngines
from mediafleet.engines.wire import Translate

BRIEF = Brief("en", "es")
NLLB = ["eng_Latn", "spa_Latn", "zho_Hans", "zho_Hant"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with one of each family, and one that never comes to an end."""
    folder = tmp_path_factory.mktemp("models")
    write_opus(folder / "ctranslate2" / "opus-mt-en-es")
    write_opus(folder / "ctranslate2" / "opus-mt-en-fr", ends=False)
    write_multilingual(folder / "ctranslate2" / "nllb-200-tiny", NLLB)
    write_multilingual(folder / "ctranslate2" / "m2m100-tiny", ["__en__", "__de__", "__ceb__"])
    write_argos(folder / "argostranslate" / "translate-en_eo", "en", "eo")
    return folder


@pytest.fixture
def opus(models: Path) -> Iterator[CTranslate2Engine]:
    made = CTranslate2Engine(look_at_translator(models / "ctranslate2" / "opus-mt-en-es"))
    yield made
    made.close()


def note(folder: Path, text: str) -> None:
    (folder / "mediafleet.toml").write_text(text, encoding="utf-8")


def test_families_are_told_apart_by_their_files(models: Path) -> None:
    looked = {path.name: look_at_translator(path) for path in (models / "ctranslate2").iterdir()}
    assert {name: model.family for name, model in looked.items()} == {
        "opus-mt-en-es": Family.OPUS,
        "opus-mt-en-fr": Family.OPUS,
        "nllb-200-tiny": Family.NLLB,
        "m2m100-tiny": Family.M2M,
    }
    assert look_at_argos(models / "argostranslate" / "translate-en_eo").family is Family.ARGOS


def test_models_of_many_languages_offer_those_from_and_to_english(models: Path) -> None:
    offers = EngineRegistry.installed(Where(models=str(models))).offers(Role.TRANSLATE)
    pairs = {(offer.adapter, offer.model): offer.pairs for offer in offers if offer.place.startswith(str(models))}
    assert pairs == {
        ("ctranslate2", "opus-mt-en-es"): ("en>es",),
        ("ctranslate2", "opus-mt-en-fr"): ("en>fr",),
        ("ctranslate2", "nllb-200-tiny"): ("en>es", "en>zh", "es>en", "zh>en"),
        ("ctranslate2", "m2m100-tiny"): ("de>en", "en>de"),
        ("argostranslate", "translate-en_eo"): ("en>eo",),
    }


def test_a_note_beside_a_model_says_which_pairs_it_is_for(tmp_path: Path) -> None:
    folder = write_multilingual(tmp_path / "nllb", NLLB)
    note(folder, 'pairs = ["es>zh"]\nlanguages = ["en", "es"]\n[tokens]\nzh = "zho_Hant"\n')
    model = look_at_translator(folder)
    assert model.pairs == ("en>es", "es>en", "es>zh")
    assert frame_source(model, ["a"], Brief("es", "zh")) == ["spa_Latn", "a", "</s>"]
    assert target_prefix(model, Brief("es", "zh")) == ["zho_Hant"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('pairs = ["en-es"]', "'en-es' is no pair"),
        ("pears = []", "pears"),
        ("pairs = [", "cannot be used"),
        ('pairs = ["en>xx"]', "does not know the language 'xx'"),
    ],
)
def test_a_note_that_makes_no_sense_is_told(tmp_path: Path, text: str, said: str) -> None:
    folder = write_multilingual(tmp_path / "nllb", NLLB)
    note(folder, text)
    with pytest.raises(ConfigError, match=said):
        look_at_translator(folder)


def test_a_model_into_several_languages_needs_the_names_of_their_tokens(tmp_path: Path) -> None:
    folder = write_opus(tmp_path / "opus-mt-en-zh", extra=[">>cmn_Hans<<", ">>yue_Hant<<"])
    with pytest.raises(ConfigError, match="several languages"):
        look_at_translator(folder)
    note(folder, '[tokens]\nzh = ">>cmn<<"')
    with pytest.raises(ConfigError, match="does not know the token '>>cmn<<'"):
        look_at_translator(folder)
    note(folder, '[tokens]\nzh = ">>cmn_Hans<<"')
    model = look_at_translator(folder)
    assert frame_source(model, ["a"], Brief("en", "zh")) == [">>cmn_Hans<<", "a", "</s>"]
    assert target_prefix(model, Brief("en", "zh")) == []


@pytest.mark.parametrize(
    ("name", "pair"),
    [("opus-mt-en-es", "en>es"), ("opus-mt-tc-big-eng-cat-int8", "en>ca"), ("Helsinki-NLP--opus-mt-de-en", "de>en")],
)
def test_the_pair_of_an_opus_model_is_in_its_name(tmp_path: Path, name: str, pair: str) -> None:
    assert look_at_translator(write_opus(tmp_path / name)).pairs == (pair,)


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("model.bin", "lacks model.bin"),
        ("source.spm", "lacks sentencepiece.bpe.model, or source.spm"),
        ("target.spm", "lacks target.spm"),
        ("shared_vocabulary.json", "lacks shared_vocabulary.json"),
    ],
)
def test_what_a_folder_lacks_is_told(tmp_path: Path, lacking: str, said: str) -> None:
    folder = write_opus(tmp_path / "opus-mt-en-es")
    (folder / lacking).unlink()
    with pytest.raises(ConfigError, match=said):
        look_at_translator(folder)


def test_a_folder_whose_pair_or_family_nobody_knows_is_not_offered(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Nobody says what"):
        look_at_translator(write_opus(tmp_path / "ctranslate2" / "mine"))
    with pytest.raises(ConfigError, match="no tokens of languages"):
        look_at_translator(write_multilingual(tmp_path / "ctranslate2" / "other", ["<x>"]))
    with pytest.raises(CapabilityMissing, match=r"en>es .* into <models>/ctranslate2/<name>"):
        EngineRegistry.installed(Where(models=str(tmp_path))).find(
            Need(Role.TRANSLATE, "en", "es"), adapter="ctranslate2"
        )


def test_vocabularies_may_be_lists_of_lines_as_older_converters_wrote_them(tmp_path: Path) -> None:
    folder = write_multilingual(tmp_path / "nllb", NLLB)
    path = folder / "shared_vocabulary.json"
    tokens = json.loads(path.read_text(encoding="utf-8"))
    (folder / "shared_vocabulary.txt").write_text("\n".join(tokens), encoding="utf-8")
    path.unlink()
    assert look_at_translator(folder).pairs == ("en>es", "en>zh", "es>en", "zh>en")


def test_all_names_of_languages_are_different() -> None:
    # Two codes of Norwegian are one language here.
    assert len(set(NLLB_TOKENS.values())) == len(NLLB_TOKENS) - 1
    assert all(len(short) == 2 and token[3] == "_" for short, token in NLLB_TOKENS.items())


def model_of(family: Family, *, adds_end: bool = False, **tokens: str) -> TranslationModel:
    here = Path()
    return TranslationModel(family, here, here, here, ("en>es",), tokens, adds_end)


@pytest.mark.parametrize(
    ("model", "source", "prefix"),
    [
        (model_of(Family.OPUS), ["a", "</s>"], []),
        (model_of(Family.OPUS, adds_end=True, es=">>spa<<"), [">>spa<<", "a"], []),
        (model_of(Family.M2M, en="__en__", es="__es__"), ["__en__", "a", "</s>"], ["__es__"]),
        (model_of(Family.ARGOS), ["a"], []),
        (model_of(Family.ARGOS, es="__es__"), ["a"], ["__es__"]),
    ],
)
def test_each_family_gets_its_sentences_as_it_wants_them(
    model: TranslationModel, source: list[str], prefix: list[str]
) -> None:
    assert frame_source(model, ["a"], BRIEF) == source
    assert target_prefix(model, BRIEF) == prefix


def test_every_sentence_has_its_translation_and_what_says_nothing_stays(opus: CTranslate2Engine) -> None:
    said = opus.translate(["The house is red.", "", "… ♪", "A dog\nruns"], BRIEF)
    assert [bool(text) for text in said] == [True, False, True, True]
    assert said[2] == "… ♪"
    assert said[0] != said[3]
    assert opus.translate(["A dog runs"], BRIEF) == said[3:]


def test_the_language_that_is_asked_for_makes_a_difference(models: Path) -> None:
    engine = CTranslate2Engine(look_at_translator(models / "ctranslate2" / "nllb-200-tiny"))
    (there,), (back,) = (engine.translate(["The dog runs."], Brief(*pair)) for pair in (("en", "es"), ("es", "en")))
    assert there != back
    assert not any(token in there + back for token in NLLB)
    with pytest.raises(InvalidRequest, match="not es>zh"):
        engine.translate(["uno"], Brief("es", "zh"))


def test_a_translation_without_an_end_is_none(models: Path) -> None:
    engine = CTranslate2Engine(look_at_translator(models / "ctranslate2" / "opus-mt-en-fr"))
    with pytest.raises(TaskFailed, match="found no translation of a sentence") as caught:
        engine.translate(["The house is red."], Brief("en", "fr"))
    assert caught.value.detail == "The house is red."


class Stuck:
    """A model that comes to an end only where it may not repeat itself."""

    def translate_batch(self, sources: list[list[str]], **options: object) -> list[SimpleNamespace]:
        said = ["a", "</s>"] if "no_repeat_ngram_size" in options else ["a", "n"] * 9
        return [SimpleNamespace(hypotheses=[["a", "</s>"] if "9" in source else said]) for source in sources]


def test_only_the_sentences_that_got_stuck_are_translated_again(
    opus: CTranslate2Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Counting(Stuck):
        def translate_batch(self, sources: list[list[str]], **options: object) -> list[SimpleNamespace]:
            asked.append(len(sources))
            return super().translate_batch(sources, **options)

    monkeypatch.setattr(opus, "_translator", Counting())
    assert opus.translate(["a 9", "the house", "9"], BRIEF) == ("a", "a", "a")
    assert asked == [3, 1]


def test_a_sentence_that_would_be_cut_silently_is_refused(opus: CTranslate2Engine) -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        opus.translate(["the house " * 300], BRIEF)


def test_a_package_of_argos_is_loaded_by_the_same_code(models: Path, tmp_path: Path) -> None:
    registry = EngineRegistry.installed(Where(models=str(models)))
    offer = registry.find(Need(Role.TRANSLATE, "en", "eo"), adapter="argostranslate")
    engine = load_argos(offer)
    assert engine.translate(["The house is red."], Brief("en", "eo"))[0]
    with pytest.raises(ConfigError, match=r"lacks sentencepiece\.model"):
        (write_argos(tmp_path / "old", "en", "eo") / "sentencepiece.model").unlink()
        look_at_argos(tmp_path / "old")
    folder = write_argos(tmp_path / "detector", "", "")
    with pytest.raises(ConfigError, match="names no two languages"):
        look_at_argos(folder)


def test_a_broken_model_is_told_in_a_sentence(tmp_path: Path) -> None:
    folder = write_opus(tmp_path / "ctranslate2" / "opus-mt-en-es")
    (folder / "model.bin").write_bytes(b"no model")
    registry = EngineRegistry.installed(Where(models=str(tmp_path)))
    offer = registry.find(Need(Role.TRANSLATE, "en", "es"), adapter="ctranslate2")
    with pytest.raises(TaskFailed, match="opus-mt-en-es could not be loaded"):
        load_engine(registry.get("ctranslate2"), offer)


async def test_a_machine_translates_in_a_process_of_its_own(models: Path) -> None:
    need = Need(Role.TRANSLATE, "en", "es")
    offer = EngineRegistry.installed(Where(models=str(models))).find(need, adapter="ctranslate2")
    async with WarmEngines() as engines:
        assert (await engines.prove([offer])).capabilities == offer.capabilities
        said = await engines.get(offer).ask(Translate(("The house is red.",), BRIEF), list[str])
    assert said == list(load(offer).translate(["The house is red."], BRIEF))
