"""An original that changes after its result was placed, and before its own name is gone: what was never transcoded stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests_support.replacer import Plan, know_no_links, originals_of, run_to_its_kill

from mediafleet.artifacts.fingerprint import fingerprint_of
from mediafleet.artifacts.originals import Originals, Replacement, ReplaceStep, RestoreStep
from mediafleet.artifacts.originals.folder import Folder
from mediafleet.domain.errors import Conflict

OLD, NEW, WORK = b"the original " * 9000, b"the result " * 4000, b"somebody's work"
KEPT = ".mediafleet-trash/j0-abc/film.mkv"


def rewrite(path: Path) -> None:
    """Change a file as most programs do: another one takes its name."""
    other = path.with_name("other")
    other.write_bytes(WORK)
    other.replace(path)


def append(path: Path) -> None:
    """Change the file itself."""
    with path.open("ab") as file:
        file.write(WORK)


def texts(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in {"lock", "j0-abc.json"})
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(params=[True, False], ids=["links", "no-links"])
def plan(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A replacement whose result has another name than its original."""
    if not request.param:
        monkeypatch.setattr(Folder, "name_also", know_no_links)
    (media := tmp_path / "media").mkdir()
    (film := media / "film.mkv").write_bytes(OLD)
    (made := tmp_path / "made").write_bytes(NEW)
    wanted = Replacement("j0-abc", film, fingerprint_of(film), ".mp4", sha256="", trash_ms=3_600_000)
    return Plan(str(media), str(tmp_path / "data"), "", request.param, wanted, str(made))


def kill_at(plan: Plan, step: ReplaceStep | RestoreStep) -> Originals:
    """Kill the process at a step, and return what the next life of the node works with."""
    plan.kill_at = step
    assert run_to_its_kill(plan) == -9
    plan.kill_at = ""
    return originals_of(plan)


@pytest.mark.parametrize(("change", "content"), [(rewrite, WORK), (append, OLD + WORK)])
async def test_an_original_that_changes_before_the_restart_keeps_its_name(
    plan: Plan, change: Callable[[Path], None], content: bytes
) -> None:
    folder = Path(plan.root)
    originals = kill_at(plan, ReplaceStep.PLACED)
    change(folder / "film.mkv")
    for _ in range(2):
        await originals.settle()
        if plan.links and change is rewrite:
            # The original has its name in the trash already.
            assert texts(folder) == {"film.mkv": WORK, "film.mp4": NEW, KEPT: OLD}
            return
        assert texts(folder) == {"film.mkv": content}
    assert plan.replacement
    with pytest.raises(Conflict, match="has changed since it was transcoded"):
        await originals.replace(plan.replacement, Path(plan.made))


async def test_an_original_and_a_result_that_both_change_before_the_restart_both_stay(plan: Plan) -> None:
    folder = Path(plan.root)
    originals = kill_at(plan, ReplaceStep.PLACED)
    for name in ("film.mkv", "film.mp4"):
        append(folder / name)
    for _ in range(2):
        await originals.settle()
        assert texts(folder) == {"film.mkv": OLD + WORK, "film.mp4": NEW + WORK}


async def test_an_original_that_changes_when_its_result_is_placed_keeps_its_name(plan: Plan) -> None:
    folder = Path(plan.root)

    def change(step: ReplaceStep | RestoreStep) -> None:
        if step is ReplaceStep.PLACED:
            append(folder / "film.mkv")

    assert plan.replacement
    with pytest.raises(Conflict, match="was written to while it was being replaced"):
        await Originals([plan.root], Path(plan.data), on_step=change).replace(plan.replacement, Path(plan.made))
    assert texts(folder) == {"film.mkv": OLD + WORK}


async def test_what_takes_the_name_of_an_original_while_it_is_moved_stays(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    if plan.links:
        pytest.skip("no name is moved")
    folder, move = Path(plan.root), Folder.move

    def move_late(self: Folder, name: str, other: Folder, other_name: str) -> None:
        if name == "film.mkv" and self.path == folder:
            rewrite(folder / name)
        move(self, name, other, other_name)

    monkeypatch.setattr(Folder, "move", move_late)
    assert plan.replacement
    with pytest.raises(Conflict, match="was written to while it was being replaced"):
        await originals_of(plan).replace(plan.replacement, Path(plan.made))
    assert texts(folder) == {"film.mkv": WORK}
