"""Pages lead where they say, name what exists, and their examples work."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mediafleet.domain.artifact import ArtifactRef
from mediafleet.domain.job import Job
from mediafleet.domain.lifecycle import PriorityClass, TaskState
from mediafleet.domain.plan import Complete, Expand, FinishedTask, Wait
from mediafleet.kinds.seam import Kind

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_fits_on_a_few_screens() -> None:
    assert read("README.md").count("\n") <= 120


def test_the_readmes_first_job_can_be_typed_where_make_has_put_the_command() -> None:
    section = read("README.md").split("\n## A job, submitted and done\n")[1].split("\n## ")[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]
    script = "\n".join(lines[: next(i for i, line in enumerate(lines) if line.startswith("mediafleet "))])
    ran = subprocess.run(
        ["/bin/sh", "-c", f'{script}\necho "$PATH"'],
        env={"PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.search(r"^VENV := \.venv$", read("Makefile"), re.MULTILINE)
    assert ran.stdout.startswith(f"{ROOT}/.venv/bin:")
    # What stands for something that only the reader has could not be typed as it is.
    assert not [line for line in lines if re.search(r"\b(ID|holiday|film\.mkv)\b", line)]


def test_decisions_are_numbered_without_a_gap_and_fit_on_a_page() -> None:
    records = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(len(records)))
    for record in records[1:]:
        text = record.read_text(encoding="utf-8")
        assert text.startswith(f"# {record.name[:4]}: ")
        assert re.search(r"^- Status: (proposed|accepted|replaced by \d{4})$", text, re.MULTILINE)
        assert text.count("\n") <= 60


def test_the_glossary_is_in_order() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", read("docs/reference/glossary.md"), re.MULTILINE)
    assert words == sorted(words)


def load_example() -> dict[str, Any]:
    """Run the Python of the page about kinds and return what it defines."""
    found: dict[str, Any] = {"__name__": "count_lines"}
    code = "\n".join(re.findall(r"```python\n(.*?)```", read("docs/howto/add-a-job-kind.md"), re.DOTALL))
    exec(compile(code, "add-a-job-kind.md", "exec"), found)  # noqa: S102 - our own page
    return found


def test_the_example_kind_fans_out_waits_and_adds_up() -> None:
    kind: Kind = load_example()["KIND"]
    inputs = tuple(ArtifactRef(f"a0-{i}", f"{i}.txt") for i in range(2))
    job = Job("j0-1", "0", "default", "local", kind.name, 1, "", inputs, {"skip_empty": False}, PriorityClass.BATCH, 1)
    step = kind.plan(job, [])
    assert isinstance(step, Expand)
    assert {task.step for task in step.tasks} <= set(kind.handlers)
    done = [FinishedTask(task.name, task.step, TaskState.DONE, {"lines": 3}) for task in step.tasks]
    assert kind.plan(job, done[:1]) == Wait()
    assert kind.plan(job, done) == Complete({"lines": 6})


async def test_the_example_handler_counts_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n", encoding="utf-8")

    class Spec:
        inputs = (ArtifactRef("a0-1", "a.txt"),)
        params = {"skip_empty": True}  # noqa: RUF012

    class Context:
        spec = Spec

        async def fetch(self, ref: ArtifactRef) -> Path:
            return tmp_path / ref.name

    run: Any = load_example()["KIND"].handlers["count"]
    assert (await run(Context())).result == {"lines": 2}
