"""What a master may ask for, which job it becomes, and which of the results go where."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.errors import ErrorInfo, InvalidRequest
from mediafleet.domain.job import JobView
from mediafleet.domain.lifecycle import JobStatus, PriorityClass
from mediafleet.doors.foreign.orders import (
    Order,
    cut_error,
    failure_of,
    key_of,
    params_of,
    progress_of,
    read_order,
    task_of,
    wanted_files,
)
from mediafleet.kinds.subtitle.params import SubtitleParams

GOOD: list[Any] = [7, "/m/film.mkv", "/out/raw.srt", "/out/es.vtt", "es"]
HUB = "http://one/hub"


def order(**changes: Any) -> Order:
    return msgspec.structs.replace(read_order(GOOD), **changes)


def view(**fields: Any) -> JobView:
    base = JobView("j0-1", "subtitle", "film", JobStatus.COMPLETED, 1.0, "", PriorityClass.BATCH, "default", 0, 1)
    return msgspec.structs.replace(base, **fields)


def made(*files: tuple[str, str], language: str = "en") -> JobView:
    """A completed job that spoke a language, with files as (language, format)."""
    listed = [{"name": f"f.{one}.{form}", "language": one, "format": form} for one, form in files]
    outputs = tuple(ArtifactRef(f"a-{file['name']}", file["name"]) for file in listed)
    return view(result={"language": language, "files": listed}, outputs=outputs)


def test_an_order_names_a_task_three_paths_and_a_language() -> None:
    assert read_order(GOOD) == Order(7, "/m/film.mkv", "/out/raw.srt", "/out/es.vtt", "es")
    assert read_order(["seven", *GOOD[1:]]).task == "seven"


def test_no_language_may_be_null() -> None:
    assert read_order([*GOOD[:4], None]) == Order(7, "/m/film.mkv", "/out/raw.srt", "/out/es.vtt", "")
    assert read_order([*GOOD[:4], None]).target == ""


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (0, None, "takes a task id"),
        (0, 1.5, "takes a task id"),
        (1, 5, "takes a task id"),
        (1, "", "names no video"),
        (1, "/out/raw.srt", "one place twice"),
        (1, "/out/./x/..//raw.srt", "one place twice"),
        (3, "/out/raw.srt", "one place twice"),
        (2, "/home/me/.bashrc", "no format"),
        (3, "/etc/passwd", "no format"),
        (1, "film.mkv", "no absolute path"),
        (1, "/m/a\0b", "no absolute path"),
        (2, "out.srt", "no absolute path"),
        (2, "/x" * 3000, "no absolute path"),
        (2, "/home/me/.profile.exe", "no format"),
        (3, "/out/es.docx", "no format"),
        (4, "Klingon", "no code of a language"),
        (4, ["es"], "takes a task id"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_in_a_sentence(at: int, value: Any, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        read_order([*GOOD[:at], value, *GOOD[at + 1 :]])


@pytest.mark.parametrize("arguments", [[], [7], GOOD[:4], [*GOOD, 1]])
def test_a_wrong_number_of_arguments_is_refused(arguments: list[Any]) -> None:
    with pytest.raises(InvalidRequest, match="takes a task id"):
        read_order(arguments)


def test_an_order_without_a_file_to_write_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no file to write"):
        read_order([7, "/m/film.mkv", "", "", "es"])


@pytest.mark.parametrize(
    ("arguments", "task"), [([], None), ([True], None), ([None], None), ([3, "x"], 3), (["3"], "3"), ([[1]], None)]
)
def test_a_task_id_is_found_in_whatever_arguments_begin_with_one(arguments: list[Any], task: object) -> None:
    assert task_of(arguments) == task


def test_the_same_order_of_the_same_master_has_the_same_name_and_no_other_has() -> None:
    key = key_of(HUB, order())
    assert key == key_of(HUB, order())
    changes: list[dict[str, Any]] = [
        {"task": 8},
        {"task": "7"},
        {"video": "/m/b.mkv"},
        {"raw": "/o.srt"},
        {"language": "de"},
    ]
    others = {key_of(HUB, order(**change)) for change in changes}
    assert len({key, key_of("http://two/hub", order()), *others}) == len(changes) + 2


@pytest.mark.parametrize(
    ("changes", "spoken", "params"),
    [
        ({}, "auto", {"language": "auto", "to": ["es"], "formats": ["srt", "vtt"]}),
        ({"language": "es-MX"}, "en", {"language": "en", "to": ["es"], "formats": ["srt", "vtt"]}),
        ({"language": "spa"}, "auto", {"language": "auto", "to": ["es"], "formats": ["srt", "vtt"]}),
        ({"language": "zh_CN"}, "auto", {"language": "auto", "to": ["zh"], "formats": ["srt", "vtt"]}),
        ({"language": "es"}, "es", {"language": "es", "to": [], "formats": ["srt", "vtt"]}),
        ({"language": ""}, "auto", {"language": "auto", "to": [], "formats": ["srt", "vtt"]}),
        ({"translated": ""}, "auto", {"language": "auto", "to": [], "formats": ["srt"]}),
        ({"raw": ""}, "auto", {"language": "auto", "to": ["es"], "formats": ["vtt"]}),
        (
            {"raw": "/o/raw.srt", "translated": "/o/T.ASS"},
            "auto",
            {"language": "auto", "to": ["es"], "formats": ["srt", "ass"]},
        ),
    ],
)
def test_an_order_becomes_the_params_of_a_subtitle_job(
    changes: dict[str, Any], spoken: str, params: dict[str, Any]
) -> None:
    found = params_of(order(**changes), spoken=spoken)
    assert found == params
    assert msgspec.convert(found, SubtitleParams)


def test_each_file_gets_its_language_in_its_format() -> None:
    files = wanted_files(order(), made(("en", "srt"), ("en", "vtt"), ("es", "srt"), ("es", "vtt")))
    assert [(file.path, file.source and file.source.name) for file in files] == [
        ("/out/raw.srt", "f.en.srt"),
        ("/out/es.vtt", "f.es.vtt"),
    ]


def test_what_is_spoken_in_the_language_already_is_its_own_translation() -> None:
    files = wanted_files(order(), made(("es", "srt"), ("es", "vtt"), language="es"))
    assert [file.source and file.source.name for file in files] == ["f.es.srt", "f.es.vtt"]
    only = wanted_files(order(language=""), made(("en", "srt"), ("en", "vtt")))
    assert [file.source and file.source.name for file in only] == ["f.en.srt", "f.en.vtt"]


def test_a_film_in_which_nobody_speaks_has_files_without_content() -> None:
    files = wanted_files(order(translated=""), view(result={"language": "en", "pieces": []}))
    assert [(file.path, file.source) for file in files] == [("/out/raw.srt", None)]


@pytest.mark.parametrize(("share", "told"), [(0.0, 0), (0.12345, 1234), (1.0, 10_000), (1.7, 10_000), (-1.0, 0)])
def test_progress_is_told_in_ten_thousandths(share: float, told: int) -> None:
    assert progress_of(view(progress=share, stage="listening")) == (told, "listening")


def test_a_job_without_a_stage_tells_its_status() -> None:
    assert progress_of(view(status=JobStatus.PENDING, progress=0.0)) == (0, "pending")


def test_why_a_job_ended_badly_is_its_own_sentence() -> None:
    assert failure_of(view(error=ErrorInfo("x", "It is no film."))) == "It is no film."
    assert failure_of(view(status=JobStatus.CANCELLED)) == "The job j0-1 is cancelled."


def test_sentences_for_masters_are_one_line_and_not_long() -> None:
    assert cut_error("a\n b\t c") == "a b c"
    assert len(cut_error("x" * 100_000)) == 1000
