"""kill -9 at every step of a replacement and of a restoration: nothing is lost, and the next life settles it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from tests_support.replacer import Plan, know_no_links, originals_of, run_to_its_kill

from mediafleet.artifacts.fingerprint import fingerprint_of
from mediafleet.artifacts.originals import Replacement, ReplaceStep, Restored, RestoreStep
from mediafleet.artifacts.originals.folder import Folder
from mediafleet.domain.errors import Conflict

OLD = b"the original " * 9000
NEW = b"the result " * 4000
BEFORE_PLACED = (
    ReplaceStep.ANNOUNCED,
    ReplaceStep.JOURNALED,
    ReplaceStep.WRITING,
    ReplaceStep.WRITTEN,
    ReplaceStep.SYNCED,
    ReplaceStep.READY,
    ReplaceStep.KEPT,
)
AFTER_PLACED = (ReplaceStep.PLACED, ReplaceStep.REMOVED, ReplaceStep.DONE)


@dataclass
class Library:
    """A folder with one film, and what its replacement would be."""

    folder: Path
    result: Path
    plan: Plan

    @property
    def original(self) -> Path:
        return self.folder / "film.mkv"

    @property
    def kept(self) -> Path:
        return self.folder / ".mediafleet-trash" / "j0-abc" / "film.mkv"

    def texts(self) -> dict[str, bytes]:
        """Return what lies where: no hidden leftovers, no journals."""
        files = (path for path in self.folder.rglob("*") if path.is_file() and path.name not in {"lock", "j0-abc.json"})
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}

    @property
    def before(self) -> dict[str, bytes]:
        return {"film.mkv": OLD}

    @property
    def after(self) -> dict[str, bytes]:
        return {self.result.name: NEW, ".mediafleet-trash/j0-abc/film.mkv": OLD}


def make_library(folder: Path, *, ending: str, links: bool) -> Library:
    media = folder / "media"
    media.mkdir()
    (media / "film.mkv").write_bytes(OLD)
    made = folder / "made"
    made.write_bytes(NEW)
    seen = fingerprint_of(media / "film.mkv")
    wanted = Replacement("j0-abc", media / "film.mkv", seen, ending, sha256="", trash_ms=3_600_000)
    plan = Plan(str(media), str(folder / "data"), "", links, wanted, str(made))
    return Library(media, media / f"film{ending}", plan)


@pytest.fixture(params=[".mkv", ".mp4"], ids=["same-name", "other-name"])
def ending(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[True, False], ids=["links", "no-links"])
def library(tmp_path: Path, ending: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Library:
    if not request.param:
        monkeypatch.setattr(Folder, "name_also", know_no_links)
    return make_library(tmp_path, ending=ending, links=request.param)


@pytest.mark.parametrize("step", ReplaceStep)
async def test_killed_at_any_step_a_replacement_is_undone_or_finished_and_done_once_when_it_is_tried_again(
    library: Library, step: ReplaceStep
) -> None:
    library.plan.kill_at = step
    if (code := run_to_its_kill(library.plan)) != -9:
        assert code == 0
        assert (step, library.result) == (ReplaceStep.REMOVED, library.original), "every step is reached"
        return
    assert OLD in library.texts().values(), "the original is somewhere under a name that the journal knows"
    library.plan.kill_at = ""
    originals = originals_of(library.plan)

    await originals.settle()

    settled = library.texts()
    assert settled in (library.before, library.after)
    if step in BEFORE_PLACED:
        assert settled == library.before
    if step in AFTER_PLACED:
        assert settled == library.after
    assert library.plan.replacement
    replaced = await originals.replace(library.plan.replacement, Path(library.plan.made))
    assert library.texts() == library.after
    assert (replaced.path, replaced.kept) == (library.result, library.kept)


@pytest.mark.parametrize("step", [ReplaceStep.WRITING, ReplaceStep.READY, ReplaceStep.KEPT, ReplaceStep.PLACED])
async def test_another_node_takes_over_what_a_killed_one_began(library: Library, step: ReplaceStep) -> None:
    library.plan.kill_at = step
    assert run_to_its_kill(library.plan) == -9
    other = Plan(library.plan.root, library.plan.data + "-2", "", library.plan.links)
    assert library.plan.replacement

    await originals_of(other).replace(library.plan.replacement, Path(library.plan.made))

    assert library.texts() == library.after
    library.plan.kill_at = ""
    await originals_of(library.plan).settle()
    assert library.texts() == library.after, "the killed one leaves it alone when it comes back"


@pytest.mark.parametrize("step", RestoreStep)
async def test_killed_at_any_step_a_restoration_is_finished(library: Library, step: RestoreStep) -> None:
    assert library.plan.replacement
    await originals_of(library.plan).replace(library.plan.replacement, Path(library.plan.made))
    plan = Plan(library.plan.root, library.plan.data, step, library.plan.links, job="j0-abc", kept=str(library.kept))
    assert run_to_its_kill(plan) == -9
    assert OLD in library.texts().values()
    originals = originals_of(library.plan)

    await originals.settle()

    assert library.texts() == library.before
    assert (await originals.restore("j0-abc", library.kept)) == Restored(library.original)


def rewrite(path: Path, content: bytes = b"somebody's work") -> None:
    """Change a file as most programs do: another one takes its name."""
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


def write_into(path: Path) -> None:
    """Change a few bytes of a file, as programs do that write tags."""
    with path.open("r+b") as file:
        file.seek(70_000)
        file.write(b"tags")


@pytest.mark.parametrize("change", [rewrite, write_into])
async def test_a_result_that_is_worked_on_before_the_restart_stays_and_its_original_too(
    library: Library, change: Callable[[Path], None]
) -> None:
    library.plan.kill_at = ReplaceStep.PLACED
    assert run_to_its_kill(library.plan) == -9
    change(library.result)
    worked_on = library.result.read_bytes()
    library.plan.kill_at = ""
    originals = originals_of(library.plan)

    await originals.settle()

    assert library.result.read_bytes() == worked_on
    if not library.kept.exists():
        # The other order without links: the original keeps its name until the result has its own.
        assert (library.plan.links, library.original.read_bytes()) == (False, OLD)
        return
    assert library.kept.read_bytes() == OLD
    if library.result == library.original:
        with pytest.raises(Conflict, match="move it away"):
            await originals.restore("j0-abc", library.kept)
        library.result.rename(library.folder / "mine.mkv")
    restored = await originals.restore("j0-abc", library.kept)
    assert restored.path.read_bytes() == OLD
    assert worked_on in library.texts().values()


async def test_an_original_whose_name_is_taken_when_it_is_to_come_back_is_kept_and_not_forgotten(
    library: Library,
) -> None:
    library.plan.kill_at = ReplaceStep.KEPT
    assert run_to_its_kill(library.plan) == -9
    if not library.kept.exists():
        assert library.result != library.original, "without links it keeps its own name until the result has one"
        return
    rewrite(library.original)
    library.plan.kill_at = ""
    originals, wanted = originals_of(library.plan), library.plan.replacement
    assert wanted

    for _ in range(2):
        await originals.settle()
        assert library.texts() == {"film.mkv": b"somebody's work", ".mediafleet-trash/j0-abc/film.mkv": OLD}
    with pytest.raises(Conflict, match=r"has another file by now.*is kept"):
        await originals.replace(wanted, Path(library.plan.made))
    with pytest.raises(Conflict, match="move it away"):
        await originals.restore("j0-abc", library.kept)
    library.original.rename(library.folder / "mine.mkv")
    assert (await originals.restore("j0-abc", library.kept)).warnings == ()
    assert library.texts() == {"film.mkv": OLD, "mine.mkv": b"somebody's work"}


async def test_an_original_that_was_put_aside_goes_when_its_time_is_over(tmp_path: Path) -> None:
    library = make_library(tmp_path, ending=".mkv", links=True)
    assert library.plan.replacement
    library.plan.replacement = msgspec.structs.replace(library.plan.replacement, trash_ms=0)
    library.plan.kill_at = ReplaceStep.KEPT
    assert run_to_its_kill(library.plan) == -9
    rewrite(library.original)
    originals = originals_of(library.plan)
    await originals.settle()
    assert library.kept.exists()
    assert await originals.empty_trash() == 1
    assert library.texts() == {"film.mkv": b"somebody's work"}


def test_with_links_the_name_is_never_without_a_file(tmp_path: Path) -> None:
    library = make_library(tmp_path, ending=".mkv", links=True)
    for step in ReplaceStep:
        library.plan.kill_at = step
        assert run_to_its_kill(library.plan) in {-9, 0}
        assert library.original.read_bytes() in {OLD, NEW}
        assert library.original.read_bytes() == NEW or library.original.stat().st_nlink <= 2
    assert os.path.lexists(library.kept)
