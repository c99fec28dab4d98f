"""`mediafleet models`: what is here, what could come, and where it belongs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from tests_support.command_line import RunCli
from tests_support.file_server import serve_files

from mediafleet.cli._output import Output
from mediafleet.cli._pulling import show_pulling
from mediafleet.cli.models import shorten
from mediafleet.engines.models import known

WEIGHTS = bytes(100_000)
DATA = """
[[model]]
name = "vosk-model-xx"
adapter = "vosk"
languages = ["eo"]
licence = "MIT"
bytes = 100_000
address = "{address}/v1"
files = [{{ name = "am/final.mdl", bytes = 100_000 }}, {{ name = "conf/mfcc.conf" }}]
"""


@pytest.fixture
def folder(workplace: Path) -> Path:
    """Where models belong."""
    return workplace.parent / "home" / ".local" / "share" / "mediafleet" / "models"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with the one model that is known."""
    with serve_files({"/v1/am/final.mdl": WEIGHTS, "/v1/conf/mfcc.conf": b"conf"}) as address:
        path = tmp_path / "known.toml"
        path.write_text(DATA.format(address=address))
        monkeypatch.setattr(known, "KNOWN_FILE", path)
        yield address


def test_a_model_is_pulled_with_its_size_licence_and_progress(bare: RunCli, folder: Path, hub: str) -> None:
    ran = bare("models", "pull", "vosk-model-xx")
    place = folder / "vosk" / "vosk-model-xx"
    assert (ran.code, ran.out) == (0, f"vosk-model-xx is there now: {place}\n")
    assert (place / "am" / "final.mdl").read_bytes() == WEIGHTS
    assert f"vosk-model-xx: 97.7 KiB, MIT, from {hub}/v1\n" in ran.err
    assert "  am/final.mdl: 97.7 KiB of 97.7 KiB\n" in ran.err
    again = bare("models", "pull", "vosk-model-xx", "--json")
    assert again.json == [{"name": "vosk-model-xx", "path": str(place)}]
    assert again.err == ""
    assert "vosk-model-xx  vosk    eo         97.7 KiB  MIT      yes" in bare("models").out


@pytest.mark.usefixtures("folder")
def test_a_hub_that_is_away_is_told_with_what_to_put_where(bare: RunCli, hub: str) -> None:
    known.KNOWN_FILE.write_text(DATA.format(address=f"{hub}/gone"))
    ran = bare("models", "pull", "vosk-model-xx")
    assert ran.code == 1
    assert "answered 404. Put am/final.mdl, conf/mfcc.conf from there into" in ran.err


def test_the_list_says_what_is_here_what_is_missing_and_what_is_wrong(bare: RunCli, folder: Path) -> None:
    (folder / "piper" / "half").mkdir(parents=True)
    ran = bare("models")
    assert ran.code == 0
    assert "rules" in ran.out
    assert "  ctranslate2: install the extra 'ctranslate2'" in ran.out
    assert f"Models belong into {folder};" in ran.out
    assert "faster-whisper-base" in ran.out
    assert "piper/half must have one voice" in ran.err


def test_the_list_as_json_has_everything(bare: RunCli, folder: Path) -> None:
    said = bare("models", "list", "--json").json
    engines = {one["name"]: one for one in said["engines"]}
    assert said["folder"] == str(folder)
    assert engines["rules"] == {
        "name": "rules",
        "role": "repair",
        "advice": "",
        "offers": [{"model": "", "place": "", "languages": [], "pairs": []}],
    }
    assert said["known"][0]["licence"] == "MIT"
    assert said["known"][0]["is_here"] is False


def test_paths_are_printed_alone(bare: RunCli, folder: Path) -> None:
    assert bare("models", "path").out == f"{folder}\n"
    assert bare("models", "path", "faster-whisper-base").out == f"{folder}/faster-whisper/faster-whisper-base\n"
    assert bare("models", "path", "--json").json == {"folder": str(folder), "models": {}}


def test_the_folder_may_be_set(bare: RunCli, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIAFLEET_ENGINES__MODELS", str(workplace / "mine"))
    assert bare("models", "path").out == f"{workplace / 'mine'}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pull",), "at least one name"),
        (("list", "x"), "takes no names"),
        (("pull", "faster-whisper-bas"), "did you mean 'faster-whisper-base'?"),
        (("bring",), "bring"),
    ],
)
def test_what_makes_no_sense_is_told(bare: RunCli, words: tuple[str, ...], said: str) -> None:
    ran = bare("models", *words)
    assert ran.code == 2
    assert said in ran.err


class Watched(Output):
    """An output whose terminal is a text in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.text = io.StringIO()
        # Set before first use: the attribute takes the place of the cached property.
        self.__dict__["console"] = Console(file=self.text, force_terminal=True, width=100)

    @property
    def is_live(self) -> bool:
        return True


def test_a_terminal_gets_bars_that_are_gone_at_the_end() -> None:
    output = Watched()
    with show_pulling(output) as report:
        report(known.ModelFile("model.bin"), 500, 1_000)
        report(known.ModelFile("model.bin"), 1_000, 1_000)
        report(known.ModelFile("other.bin"), 5, 0)
    assert "model.bin" in output.text.getvalue()
    assert "other.bin" in output.text.getvalue()


def test_many_languages_are_counted() -> None:
    assert shorten(["en", "es"]) == "en es"
    assert shorten([f"l{number}" for number in range(10)]).endswith("l7 and 2 more")
    assert shorten([]) == "any"
