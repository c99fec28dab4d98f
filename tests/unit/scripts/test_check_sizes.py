"""What is too large is named with its place; what explains itself at length is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def faults_of(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    code = "import sys, check_sizes, pathlib; print(*check_sizes.find_faults(pathlib.Path(sys.argv[1])), sep='\\n')"
    ended = subprocess.run(
        [sys.executable, "-c", code, path.name],
        cwd=path.parent,
        env={"PYTHONPATH": str(ROOT / "scripts")},
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout.split("\n")[:-1] if ended.stdout.strip() else []


def function_of(lines: int, *, docstring: int = 0) -> str:
    explained = '    """Why.' + "\n" * (docstring - 1) + '    """\n' if docstring else ""
    return "def grow():\n" + explained + "    x = 1\n" * (lines - 1)


def nested(levels: int) -> str:
    lines = [f"{'    ' * (i + 1)}if x:" for i in range(levels)]
    return "\n".join(["def dig(x):", *lines, f"{'    ' * (levels + 1)}return 1", ""])


def test_a_function_of_60_lines_is_fine_and_one_of_61_is_named(tmp_path: Path) -> None:
    assert faults_of(tmp_path / "a.py", function_of(60)) == []
    assert faults_of(tmp_path / "a.py", function_of(61)) == ["a.py:1: grow has 61 lines, more than 60"]


def test_a_long_docstring_does_not_make_a_long_function(tmp_path: Path) -> None:
    assert faults_of(tmp_path / "a.py", function_of(60, docstring=30)) == []


def test_a_file_of_more_than_500_lines_is_named(tmp_path: Path) -> None:
    assert faults_of(tmp_path / "a.py", "x = 1\n" * 500) == []
    assert faults_of(tmp_path / "a.py", "x = 1\n" * 501) == ["a.py:1: 501 lines, more than 500"]


def test_the_fifth_level_of_nesting_is_named(tmp_path: Path) -> None:
    assert faults_of(tmp_path / "a.py", nested(4)) == []
    assert faults_of(tmp_path / "a.py", nested(5)) == ["a.py:1: dig is nested 5 deep, more than 4"]


def test_a_chain_of_elif_is_one_level(tmp_path: Path) -> None:
    chain = "def pick(x):\n    if x == 0:\n        return 0\n" + "".join(
        f"    elif x == {i}:\n        return {i}\n" for i in range(1, 9)
    )
    assert faults_of(tmp_path / "a.py", chain) == []


def test_a_function_inside_another_is_measured_alone(tmp_path: Path) -> None:
    outer = "def dig(x):\n" + "\n".join(f"{'    ' * (i + 1)}if x:" for i in range(3)) + "\n"
    inner = "                def deeper():\n                    if x:\n                        if x:\n                            return 1\n"
    assert faults_of(tmp_path / "a.py", outer + inner) == []
