"""What is found of engines and models on a machine, and what is wrong with the rest."""

from __future__ import annotations

from pathlib import Path

from tests_support.model_folders import write_empty, write_vosk
from tests_support.stub_libraries import stub_libraries

from mediafleet.engines import Role, Where
from mediafleet.engines.models.survey import survey_engines, survey_folders


def test_each_engine_is_told_with_what_it_found_or_what_it_needs(tmp_path: Path) -> None:
    write_vosk(tmp_path / "vosk" / "vosk-model-es-0.42")
    with stub_libraries():
        found = {one.name: one for one in survey_engines(Where(models=str(tmp_path), apertium_modes=()))}
    assert [offer.languages for offer in found["vosk"].offers] == [("es",)]
    assert found["vosk"].advice == ""
    assert found["apertium"].offers == ()
    assert found["ctranslate2"].advice.endswith(
        "put a model (OPUS-MT, NLLB-200 or M2M-100) into <models>/ctranslate2/<name>"
    )


def test_engines_are_in_the_order_of_a_subtitle_and_the_best_first() -> None:
    roles = [one.role for one in survey_engines(Where())]
    assert roles == sorted(roles, key=tuple(Role).index)
    speakers = [one.name for one in survey_engines(Where()) if one.role is Role.SYNTHESIZE]
    assert speakers[0] == "openai-synthesize"
    assert speakers[-1] == "espeak-ng"


def test_every_folder_that_cannot_be_used_has_its_sentence(tmp_path: Path) -> None:
    write_vosk(tmp_path / "vosk" / "vosk-model-es-0.42")
    for adapter in ("vosk", "sherpa-onnx", "piper", "kokoro-onnx", "ctranslate2", "argostranslate", "faster-whisper"):
        write_empty(tmp_path / adapter / "half", "README")
    problems = survey_folders(Where(models=str(tmp_path)))
    assert len(problems) == 7
    assert all("/half " in problem for problem in problems)
    assert survey_folders(Where()) == []
