"""`mediafleet subtitle`: what is asked of the fleet, what is skipped, and where results go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import RESULT, FakeScheduler

from mediafleet.cli import subtitle as command
from mediafleet.cli._items import run_items
from mediafleet.cli.subtitle import read_glossary
from mediafleet.domain.errors import InvalidRequest


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(f"media {name}".encode())


def test_options_become_params(cli: RunCli, scheduler: FakeScheduler) -> None:
    touch("a.mkv")
    Path("terms.txt").write_text("# names\nEnterprise = Empresa\nKirk\n")
    ran = cli(
        *("subtitle", "a.mkv", "--from", "en", "--to", "es,de", "--format", "srt,vtt", "--burn", "--review"),
        *("--glossary", "terms.txt", "--param", "chars_per_s.es=20"),
    )
    assert ran.code == 0, ran.err
    [submission] = scheduler.submissions
    assert submission.kind == "subtitle"
    assert submission.params == {
        "language": "en",
        "to": ["es", "de"],
        "formats": ["srt", "vtt"],
        "style": "netflix",
        "burn": True,
        "review": True,
        "glossary": {"Enterprise": "Empresa", "Kirk": "Kirk"},
        "chars_per_s": {"es": 20},
    }


def test_speakers_are_asked_for_by_name(cli: RunCli, scheduler: FakeScheduler) -> None:
    touch("call.wav")
    ran = cli("subtitle", "call.wav", "--forced", "--speakers", "channels", "--speaker-names", "Anna, Ben  & Co.")
    assert ran.code == 0, ran.err
    params = scheduler.submissions[0].params
    assert (params["forced"], params["speakers"], params["speaker_names"]) == (True, "channels", ["Anna", "Ben & Co."])


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ([], True),
        (["--to", "es"], True),
        (["--force"], False),
        (["--format", "vtt"], False),
        (["--mux"], False),
        (["--review"], False),
    ],
)
def test_tracks_of_a_film_count_as_subtitles_unless_more_is_wanted(
    cli: RunCli, scheduler: FakeScheduler, words: list[str], *, counts: bool
) -> None:
    touch("a.mkv")
    assert cli("subtitle", "a.mkv", *words).code == 0
    assert scheduler.submissions[0].params.get("skip_tracks", False) is counts


def test_results_lie_beside_each_film_under_the_names_that_the_fleet_gave(cli: RunCli) -> None:
    touch("films/one/a.mkv", "films/two/a.mkv")
    ran = cli("subtitle", "films", "--json")
    assert ran.code == 0, ran.err
    outputs = [Path(path) for entry in ran.json for path in entry["outputs"]]
    assert [path.parent.name for path in outputs] == ["one", "two"]
    assert all(path.stem == "a" and path.read_bytes() == RESULT for path in outputs)


def test_with_a_folder_results_go_there_in_the_order_of_the_films(cli: RunCli) -> None:
    touch("films/one/a.mkv")
    ran = cli("subtitle", "films", "--out", "done", "--json")
    assert [Path(path).parent for entry in ran.json for path in entry["outputs"]] == [Path("done/one")]


def test_a_file_that_exists_is_left_as_it_is_and_the_rest_is_fetched(cli: RunCli, scheduler: FakeScheduler) -> None:
    touch("a.mkv", "b.mkv")
    first = cli("subtitle", "a.mkv", "--json").json[0]["outputs"][0]
    Path(first).write_bytes(b"corrected by hand")
    again = cli("subtitle", "a.mkv", "--json")
    assert again.code == 0
    assert again.json[0]["outputs"] == []
    assert "was left as it is" in again.json[0]["warnings"][-1]
    assert Path(first).read_bytes() == b"corrected by hand"
    assert cli("subtitle", "a.mkv", "--force").code == 0
    assert Path(first).read_bytes() == RESULT
    assert len(scheduler.submissions) == 3


@pytest.mark.parametrize(
    ("beside", "words", "is_skipped"),
    [
        (["a.es.srt"], ["--to", "es"], True),
        (["a.es.sdh.ass"], ["--to", "es"], True),
        (["a.es.ass"], ["--to", "es", "--format", "srt"], False),
        (["a.es.forced.srt"], ["--to", "es"], False),
        (["a.es.srt"], ["--to", "es", "--mux"], False),
        (["a.3.en.srt"], [], False),
        (["a.es.srt"], ["--to", "es,de"], False),
        (["a.en.srt"], ["--to", "es"], False),
        (["a.en.srt"], ["--from", "en"], True),
        (["a.en.srt"], ["--from", "de"], False),
        (["a.en.srt"], [], True),
        (["b.en.srt"], [], False),
        (["a.en.srt"], ["--force"], False),
        ([], [], False),
    ],
)
def test_films_that_have_their_subtitles_are_skipped(
    cli: RunCli, scheduler: FakeScheduler, *, beside: list[str], words: list[str], is_skipped: bool
) -> None:
    touch("a.mkv", *beside)
    ran = cli("subtitle", "a.mkv", *words, "--json")
    assert ran.code == 0
    assert ran.json[0]["status"] == ("skipped" if is_skipped else "completed")
    assert len(scheduler.submissions) == (0 if is_skipped else 1)


def test_subtitles_that_another_command_made_meanwhile_are_not_made_again(
    cli: RunCli, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run_late(*parts: Any) -> None:
        touch("a.en.srt")
        await run_items(*parts)

    monkeypatch.setattr(command, "run_items", run_late)
    touch("a.mkv")
    ran = cli("subtitle", "a.mkv", "--from", "en", "--json")
    assert (ran.code, ran.json[0]["status"]) == (0, "skipped")
    assert not scheduler.submissions


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name at least one file or folder."),
        (["a.mkv", "--to", "spanish"], "These options do not fit a subtitle"),
        (["a.mkv", "--format", "doc"], "These options do not fit a subtitle"),
        (["a.mkv", "--from", "en", "--to", "en"], "which is what is spoken; leave it out"),
        (["a.mkv", "--style", "karaoke"], "add it to 'formats'"),
        (["a.mkv", "--glossary", "none.txt"], "The glossary none.txt cannot be read"),
        (["a.mkv", "--param", "trak=1"], "trak"),
        (["a.mkv", "--speaker-names", "Anna"], "'speaker_names' needs 'speakers'"),
        (["a.mkv", "--speakers", "channels", "--speaker-names", "A<b>"], "These options do not fit a subtitle"),
        (["a.mkv", "--align", "none.txt"], "--align takes one file of text"),
        (["a.mkv", "--align", "a.mkv"], "name a folder with --out"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_handed_in(
    cli: RunCli, scheduler: FakeScheduler, words: list[str], sentence: str
) -> None:
    touch("a.mkv")
    ran = cli("subtitle", *words)
    assert ran.code == 2
    assert sentence in ran.err
    assert not scheduler.submissions


@pytest.mark.parametrize(("spoken", "what"), [("en", "translate en>tlh"), ("auto", "translate into tlh")])
def test_on_this_machine_a_missing_engine_is_named_before_a_fleet_is_started(
    bare: RunCli, spoken: str, what: str
) -> None:
    touch("a.mkv")
    ran = bare("subtitle", "a.mkv", "--from", spoken, "--to", "tlh", "--data", "data")
    assert ran.code != 0
    assert what in ran.err
    assert not Path("data").exists()


@pytest.mark.parametrize("line", ["= Empresa", "Enterprise ="])
def test_a_line_of_a_glossary_that_says_nothing_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "terms.txt"
    path.write_text(f"Kirk\n{line}\n")
    with pytest.raises(InvalidRequest, match="Line 2"):
        read_glossary(path)


def test_a_known_text_goes_along_with_its_film(cli: RunCli, scheduler: FakeScheduler) -> None:
    touch("a.mkv", "a.en.srt")
    ran = cli("subtitle", "a.mkv", "--align", "a.en.srt", "--out", "done")
    assert ran.code == 0, ran.err
    [submission] = scheduler.submissions
    assert [Path(uri.partition("#")[0]).name for uri in submission.input_uris] == ["a.mkv", "a.en.srt"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["season", "--from", "en"], ["e1.en.srt", "e2.srt"]),
        (["season", "--from", "es"], ["e1.es.srt", "e2.srt"]),
        (["season"], ["e1.en.srt", "e2.srt"]),
        (["season/e1.es.srt", "--from", "en"], ["e1.es.srt"]),
    ],
)
def test_of_several_languages_that_a_film_has_one_is_translated(
    cli: RunCli, scheduler: FakeScheduler, words: list[str], expected: list[str]
) -> None:
    touch("season/e1.en.srt", "season/e1.en.vtt", "season/e1.es.srt", "season/e2.srt")
    ran = cli("subtitle", *words, "--to", "fr")
    assert ran.code == 0, ran.err
    names = sorted(Path(one.input_uris[0].partition("#")[0]).name for one in scheduler.submissions)
    assert names == expected


def test_a_folder_of_subtitles_alone_stands_for_them_and_one_with_films_for_those(
    cli: RunCli, scheduler: FakeScheduler
) -> None:
    touch("season/e1.en.srt", "season/e2.en.srt", "films/a.mkv", "films/a.en.srt")
    assert cli("subtitle", "season", "films", "--to", "es").code == 0
    names = sorted(Path(one.input_uris[0].partition("#")[0]).name for one in scheduler.submissions)
    assert names == ["a.mkv", "e1.en.srt", "e2.en.srt"]
