"""Libraries that tests stand in for: small modules with the signatures of the real ones, importable for a while."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import invalidate_caches
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "stub_libraries"
_NAMES = tuple(path.name for path in _FOLDER.iterdir() if path.is_dir() and (path / "__init__.py").is_file())


@contextmanager
def stub_libraries() -> Generator[None]:
    """Put the stubs in front of what is installed; at the end all is as it was."""
    real = {name: sys.modules.pop(name) for name in _NAMES if name in sys.modules}
    sys.path.insert(0, str(_FOLDER))
    invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(_FOLDER))
        for name in _NAMES:
            sys.modules.pop(name, None)
        sys.modules.update(real)
        invalidate_caches()
