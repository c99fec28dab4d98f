"""Lists of files, with what each has of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests_support.command_line import RunCli
from tests_support.fake_scheduler import FakeScheduler

from mediafleet.cli._listing import Listed, read_listing
from mediafleet.domain.errors import InvalidRequest


def test_a_list_has_paths_and_documents_counted_from_its_folder(tmp_path: Path) -> None:
    listing = tmp_path / "list"
    listing.write_text('a.mkv\n\n{"input": "/m/b.mkv", "params": {"crf": 20}}\n')
    assert read_listing(listing) == [Listed(f"{tmp_path}/a.mkv"), Listed("/m/b.mkv", {"crf": 20})]


@pytest.mark.parametrize(
    ("text", "word"), [("\n", "names no files"), ('a\n{"inptu": 1}', "line 2"), ('{"input": "a", "x": 1}', "line 1")]
)
def test_a_list_that_makes_no_sense_is_refused(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(InvalidRequest, match=word):
        read_listing(tmp_path / "list")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_listing(tmp_path / "none")


def test_files_of_a_list_are_handed_in_with_their_own_params_as_one_batch(
    cli: RunCli, scheduler: FakeScheduler, tmp_path: Path
) -> None:
    for name in ("a.mkv", "b.mkv", "c.mkv"):
        (tmp_path / name).write_bytes(b"film " + name.encode())
    (tmp_path / "list").write_text('a.mkv\n{"input": "b.mkv", "params": {"crf": 30, "container": "mkv"}}\n')
    ran = cli(
        "transcode", str(tmp_path / "c.mkv"), "--from", str(tmp_path / "list"),
        "--batch", "holiday", "--crf", "20", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    given = {one.name: (one.params["crf"], one.params.get("container"), one.batch) for one in scheduler.submissions}
    assert given == {
        "a.mkv": (20, None, "holiday"),
        "b.mkv": (30, "mkv", "holiday"),
        "c.mkv": (20, None, "holiday"),
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "b.mkv", "c.mp4"]
    shown = cli("batch", "holiday")
    assert shown.out.splitlines()[-1] == "3 jobs: 3 completed; 100%."
    assert cli("batch", "holiday", "--json").json["progress"] == 1.0


def test_a_batch_that_goes_on_tells_what_is_left(cli: RunCli, scheduler: FakeScheduler, tmp_path: Path) -> None:
    scheduler.holding = True
    assert cli("transcode", "--from", str(tmp_path / "none")).code == 2
    assert cli("transcode", "x", "--batch", "a b").code == 2
