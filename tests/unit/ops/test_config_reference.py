"""The page about settings says what the code does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mediafleet.ops.config import setting_types, variable_of

ROOT = Path(__file__).parents[3]


def test_the_page_is_current() -> None:
    """Run `python scripts/make_config_reference.py` where this fails."""
    ended = subprocess.run([sys.executable, ROOT / "scripts/make_config_reference.py", "--check"], check=False)
    assert ended.returncode == 0


def test_the_page_names_the_variable_of_every_setting() -> None:
    page = (ROOT / "docs/reference/config.md").read_text(encoding="utf-8")
    assert [key for key in setting_types() if f"`{variable_of(key)}`" not in page] == []
