"""Models come whole and checked or not at all; what cannot come is told with what to put where."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest
from tests_support.file_server import serve_files

from mediafleet.domain.errors import NotFound, TaskFailed, Unavailable
from mediafleet.engines import EngineRegistry
from mediafleet.engines.models.known import KNOWN_FILE, KnownModel, ModelFile, find_known, read_known
from mediafleet.engines.models.pull import pull_model

WEIGHTS = bytes(range(256)) * 5_000


def a_model(address: str, *files: ModelFile) -> KnownModel:
    return KnownModel("small", "toy", f"{address}/v1", files, "MIT", len(WEIGHTS))


def say_nothing(_file: ModelFile, _came: int, _total: int) -> None:
    """Take what is told."""


def a_zip(*names: str) -> bytes:
    target = io.BytesIO()
    with ZipFile(target, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return target.getvalue()


def test_a_model_is_in_its_place_and_was_checked_and_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def tell(file: ModelFile, came: int, total: int) -> None:
        told.append((file.name, came, total))

    files = {"/v1/model.bin": "/elsewhere", "/elsewhere": WEIGHTS, "/v1/sub/config.json": b"{}"}
    with serve_files(files) as address:
        model = a_model(
            address,
            ModelFile("model.bin", len(WEIGHTS), sha256(WEIGHTS).hexdigest()),
            ModelFile("sub/config.json"),
        )
        place = pull_model(model, tmp_path / "models", tell)
    assert place == tmp_path / "models" / "toy" / "small"
    assert (place / "model.bin").read_bytes() == WEIGHTS
    assert (place / "sub" / "config.json").read_bytes() == b"{}"
    assert place.stat().st_mode & 0o777 == 0o755
    assert told[-2:] == [("model.bin", len(WEIGHTS), len(WEIGHTS)), ("sub/config.json", 2, 2)]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["toy"]


def test_what_is_there_is_not_touched_and_nobody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "toy" / "small").mkdir(parents=True)
    assert pull_model(a_model("http://127.0.0.1:9", ModelFile("model.bin")), tmp_path, say_nothing).is_dir()


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (ModelFile("model.bin", 7), "has 1,280,000 bytes, not 7"),
        (ModelFile("model.bin", len(WEIGHTS), "0" * 64), "SHA-256 is another one"),
        (ModelFile("model.bin", is_archive=True), "is no archive"),
    ],
)
def test_what_is_not_as_it_is_known_is_not_kept(tmp_path: Path, file: ModelFile, said: str) -> None:
    with serve_files({"/v1/model.bin": WEIGHTS}) as address, pytest.raises(TaskFailed, match=said):
        pull_model(a_model(address, file), tmp_path, say_nothing)
    assert [*tmp_path.rglob("*")] == [tmp_path / "toy"]


def test_a_download_that_breaks_off_is_not_kept(tmp_path: Path) -> None:
    with serve_files({"/v1/model.bin": WEIGHTS}, is_short=True) as address, pytest.raises(Unavailable):
        pull_model(a_model(address, ModelFile("model.bin")), tmp_path, say_nothing)
    assert [*tmp_path.rglob("*")] == [tmp_path / "toy"]


def test_what_is_refused_or_out_of_reach_is_told_with_what_to_put_where(tmp_path: Path) -> None:
    with serve_files({"/v1/model.zip": 403}) as address:
        model = a_model(address, ModelFile("model.zip", is_archive=True))
        with pytest.raises(Unavailable) as refused:
            pull_model(model, tmp_path, say_nothing)
    place = tmp_path / "toy" / "small"
    assert refused.value.message == (
        f"{address}/v1 answered 403. Put model.zip from there, unpacked into {place} by hand."
    )
    with pytest.raises(Unavailable, match=rf"cannot be reached \(.*Put model.zip from there, unpacked into {place}"):
        pull_model(model, tmp_path, say_nothing)


def test_an_archive_becomes_the_folder_that_is_in_it(tmp_path: Path) -> None:
    content = a_zip("model-0.1/", "model-0.1/am/final.mdl", "model-0.1/README")
    with serve_files({"/v1/model.zip": content}) as address:
        place = pull_model(a_model(address, ModelFile("model.zip", is_archive=True)), tmp_path, say_nothing)
    assert sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()) == [
        "README",
        "am/final.mdl",
    ]


@pytest.mark.parametrize("names", [("a/x", "b/x"), ("a/../../x", "a/y"), ("/a/x",)])
def test_an_archive_cannot_write_elsewhere(tmp_path: Path, names: tuple[str, ...]) -> None:
    with (
        serve_files({"/v1/model.zip": a_zip(*names)}) as address,
        pytest.raises(TaskFailed, match="no archive of one folder"),
    ):
        pull_model(a_model(address, ModelFile("model.zip", is_archive=True)), tmp_path, say_nothing)
    assert [*tmp_path.rglob("*")] == [tmp_path / "toy"]


def test_known_models_are_for_engines_that_exist_and_have_all_that_people_must_know() -> None:
    known = read_known(KNOWN_FILE)
    registry = EngineRegistry.installed()
    assert len({model.name for model in known}) == len(known)
    for model in known:
        assert registry.get(model.adapter).name == model.adapter
        assert model.address.startswith("https://")
        assert not model.address.endswith("/")
        assert model.licence
        assert model.files
        exact = sum(file.bytes for file in model.files)
        assert model.bytes == exact or not all(file.bytes for file in model.files)
        assert all(len(file.sha256) in {0, 64} for file in model.files)
        assert [*model.languages] == sorted(model.languages)


def test_a_name_that_is_not_known_is_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound, match="did you mean 'faster-whisper-base'"):
        find_known(read_known(KNOWN_FILE), "faster-wisper-base")
    with pytest.raises(NotFound, match="models list"):
        find_known(read_known(KNOWN_FILE), "xyz")
