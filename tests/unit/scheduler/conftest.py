"""Parts of an instance on the store that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
from scheduler_parts import Parts

from mediafleet.store import Store


@pytest.fixture
def parts(store: Store, tmp_path: Path) -> Parts:
    """One instance's parts, whose only kind is `noop`."""
    return Parts(store, tmp_path / "blobs")
