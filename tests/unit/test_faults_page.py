"""The page of faults names tests that there are, and every test of the fault suite is named there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "faults.md"
SUITE = ROOT / "tests" / "chaos"


def find_tests(files: list[Path]) -> set[str]:
    """Return the names of the tests in these files."""
    return {
        name for file in files for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }


def test_the_page_and_the_suite_name_the_same_tests() -> None:
    page = PAGE.read_text()
    whole_files = {ROOT / name for name in re.findall(r"`(tests/chaos/test_uploads\w*\.py)`", page)}
    files = sorted(SUITE.glob("test_*.py"))
    assert whole_files <= set(files)
    named = set(re.findall(r"`(test_\w+)`", page))
    assert named == find_tests([file for file in files if file not in whole_files])


def test_every_module_of_the_suite_looks_at_what_its_faults_leave() -> None:
    without = [file.name for file in sorted(SUITE.glob("test_*.py")) if "check_aftermath(" not in file.read_text()]
    assert without == []
