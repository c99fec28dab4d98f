"""The page about modules works as it is written."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.catalogue import read_catalogue
from mediafleet.domain.chain import CHAIN_STEP
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.domain.plan import Expand, TaskSpec
from mediafleet.kinds.chains import PARTS
from mediafleet.kinds.seam import Kind
from mediafleet.ops.config import load_settings
from mediafleet.testing import LocalTaskContext, ref_to

PAGE = (Path(__file__).parents[2] / "docs/howto/chain-modules.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def kind() -> Kind:
    """The kind that the page makes."""
    found: dict[str, Any] = {"__name__": "say"}
    exec(compile("\n".join(blocks("python")), "chain-modules.md", "exec"), found)  # noqa: S102 - our own page
    return found["KIND"]


async def test_the_example_runs_its_three_modules_one_after_the_other(kind: Kind, tmp_path: Path) -> None:
    said = tmp_path / "said.txt"
    said.write_text("hello")
    job = Job("j0-1", "0", "default", "ann", "say", 1, "", (ref_to(said),), {"to": "es"}, PriorityClass.BATCH, 1)
    step = kind.plan(job, ())
    assert isinstance(step, Expand)
    (chain,) = step.chains
    assert [part.needs for part in chain.parts] == [("recognise:en",), ("mt:en>es",), ("tts:es",)]
    payload = {PARTS: msgspec.to_builtins(chain.parts)}
    spec = TaskSpec("say", 1, CHAIN_STEP, "chain", "default", chain.inputs, payload)
    context = LocalTaskContext(spec, folder=tmp_path)
    result = await kind.handlers[CHAIN_STEP](context)
    assert context.published["text.txt"].read_text() == "synthesise: translate: recognise: hello"
    assert isinstance(result.outputs[0], ArtifactRef)


def test_the_example_catalogue_can_be_read() -> None:
    (document,) = blocks("json")
    assert read_catalogue(document.encode()).resolve("recognise:en")[0] == ("asr:vosk@0.22", "lang:en")


def test_the_example_settings_can_be_read(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    path = tmp_path / "mediafleet.toml"
    path.write_text(text)
    found = load_settings(file=path, environ={}, flags={}).catalogue
    assert found.url == tomllib.loads(text)["catalogue"]["url"]
    assert Path(found.file).is_absolute()
