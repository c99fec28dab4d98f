"""Results never overwrite what they should not, and are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet.cli._names import Targets, safe_name
from mediafleet.domain.errors import Conflict, InputError


def put(targets: Targets, path: Path, text: str) -> None:
    with targets.write(path) as partial:
        partial.write_text(text)


def test_equal_names_get_numbers_also_where_only_case_differs(tmp_path: Path) -> None:
    targets = Targets(tmp_path)
    assert [targets.claim(name).name for name in ("a", "a", "A", "b")] == ["a", "a-2", "A-3", "b"]


def test_folders_keep_names_apart(tmp_path: Path) -> None:
    targets = Targets(tmp_path)
    assert targets.claim("a", Path("x")) == tmp_path / "x" / "a"
    assert targets.claim("a", Path("y")) == tmp_path / "y" / "a"


def test_a_result_appears_with_its_folder(tmp_path: Path) -> None:
    put(Targets(tmp_path), tmp_path / "new" / "a.mp4", "x")
    assert (tmp_path / "new" / "a.mp4").read_text() == "x"
    assert os.listdir(tmp_path / "new") == ["a.mp4"]


def test_an_interrupted_result_leaves_nothing(tmp_path: Path) -> None:
    targets = Targets(tmp_path)
    with pytest.raises(KeyboardInterrupt), targets.write(tmp_path / "a.mp4") as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_file_that_exists_is_replaced_only_with_force(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("old")
    with pytest.raises(Conflict, match="--force"):
        put(Targets(tmp_path), tmp_path / "a.mp4", "new")
    assert (tmp_path / "a.mp4").read_text() == "old"
    put(Targets(tmp_path, force=True), tmp_path / "a.mp4", "new")
    assert (tmp_path / "a.mp4").read_text() == "new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(Conflict), Targets(tmp_path).write(tmp_path / "a.mp4") as partial:
        partial.write_text("new")
        (tmp_path / "a.mp4").write_text("somebody else's")
    assert (tmp_path / "a.mp4").read_text() == "somebody else's"
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_an_input_is_never_replaced_not_even_with_force_or_through_a_link(tmp_path: Path) -> None:
    source, link = tmp_path / "a.mp4", tmp_path / "b.mp4"
    source.write_text("original")
    link.symlink_to(source)
    targets = Targets(tmp_path, force=True, inputs=[source])
    for path in (source, link):
        with pytest.raises(Conflict, match="input"):
            put(targets, path, "new")
    assert source.read_text() == "original"


@pytest.mark.parametrize("out", ["file", "file/sub", "dangling", "dangling/sub"])
def test_what_is_no_folder_takes_no_results(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is no folder"):
        Targets(tmp_path / out).check_folder()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="only Linux has a folder that not even root may write to")
def test_a_folder_that_may_not_be_written_to_takes_no_results() -> None:
    for out in ("/proc/self", "/proc/self/new/sub"):
        with pytest.raises(InputError, match="Results cannot be put into /proc/self:"):
            Targets(Path(out)).check_folder()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="modes hold nobody back here")
def test_a_folder_without_the_right_to_write_takes_no_results(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(InputError, match="Permission denied"):
        Targets(tmp_path / "new").check_folder()


def test_looking_at_a_folder_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for out in ("new/sub", "", str(tmp_path)):
        Targets(Path(out)).check_folder()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_gone_takes_no_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError):
        Targets(Path()).check_folder()


def test_a_folder_or_a_dangling_link_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    (tmp_path / "b.mp4").symlink_to(tmp_path / "nowhere")
    for name in ("a.mp4", "b.mp4"):
        with pytest.raises(Conflict, match="another"):
            put(Targets(tmp_path, force=True), tmp_path / name, "new")


def test_without_hard_links_a_rename_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    put(Targets(tmp_path), tmp_path / "a.mp4", "x")
    assert os.listdir(tmp_path) == ["a.mp4"]


HOSTILE = st.text() | st.text(alphabet="./\\\0: aCON")


@given(HOSTILE, st.booleans())
def test_a_name_from_elsewhere_stays_one_entry_of_a_folder(name: str, windows: bool) -> None:  # noqa: FBT001 - drawn
    safe = safe_name(name, windows=windows)
    assert safe not in {"", ".", ".."}
    assert "/" not in safe
    assert "\0" not in safe
    assert len(os.fsencode(safe)) <= 200


@given(HOSTILE)
def test_on_windows_a_name_from_elsewhere_names_no_drive_folder_or_stream(name: str) -> None:
    safe = safe_name(name, windows=True)
    assert PureWindowsPath(safe).name == safe
    assert not set(safe) & set('\\/:*?"<>|')
    assert safe == safe.rstrip(". ")


def test_on_windows_a_cut_leaves_no_blank_at_the_end() -> None:
    assert safe_name("x" * 199 + " " + "y" * 50, windows=True) == "x" * 199


@pytest.mark.parametrize(
    ("given_", "safe"),
    [("../../etc/passwd", "passwd"), ("/etc/", "output"), ("..", "output"), ("é.mp4", "é.mp4")],
)
def test_names_lose_their_paths(given_: str, safe: str) -> None:
    assert safe_name(given_) == safe


@pytest.mark.parametrize(
    ("given_", "here", "on_windows"),
    [
        ("a:b|c.mp4", "a:b|c.mp4", "a_b_c.mp4"),
        ("back\\slash.mp4", "back\\slash.mp4", "back_slash.mp4"),
        ("C:\\x\\a.mp4", "C:\\x\\a.mp4", "C__x_a.mp4"),
        ("..\\..\\a.mp4", "..\\..\\a.mp4", ".._.._a.mp4"),
        (".. .", ".. .", "output"),
        ("nul.tar.mp4", "nul.tar.mp4", "_nul.tar.mp4"),
        ("nullify.mp4", "nullify.mp4", "nullify.mp4"),
    ],
)
def test_what_only_windows_takes_for_a_path_is_kept_elsewhere(given_: str, here: str, on_windows: str) -> None:
    assert safe_name(given_, windows=False) == here
    assert safe_name(given_, windows=True) == on_windows


@pytest.mark.parametrize(
    ("given_", "safe"),
    [
        ("x" * 300 + ".mp4", "x" * 196 + ".mp4"),
        ("漢" * 100 + ".mp4", "漢" * 65 + ".mp4"),
        ("x." + "y" * 300, "x." + "y" * 198),
        ("x" * 200, "x" * 200),
    ],
)
def test_a_long_name_loses_whole_characters_but_not_its_ending(given_: str, safe: str) -> None:
    assert safe_name(given_) == safe


@given(HOSTILE, st.booleans())
def test_a_safe_name_is_safe_already(name: str, windows: bool) -> None:  # noqa: FBT001 - drawn
    safe = safe_name(name, windows=windows)
    assert safe_name(safe, windows=windows) == safe
