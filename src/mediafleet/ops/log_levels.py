"""Log levels by module, changed while the process runs."""

from __future__ import annotations

import logging
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVELS = ("debug", "info", "warning", "error")
DEFAULT = "default"
"""Undoes what was set."""
ROOT = "root"
"""Every module that has no level of its own, ours and libraries'."""
_PACKAGE = "mediafleet"
_LONGEST = 200

# Loggers belong to the process, so what they were before is kept beside them and not with an instance.
_before: dict[str, int] = {}


def check_request(module: str, level: str) -> tuple[str, str]:
    """Return the full name of a module and a level as the store keeps it, empty for the default.

    Raises:
        InvalidRequest: There is no such module here, or no such level.
    """
    if level not in {*LEVELS, DEFAULT}:
        raise InvalidRequest(f"There is no log level {level[:80]!r}; use {', '.join(LEVELS)} or {DEFAULT}.")
    return full_name(module), "" if level == DEFAULT else level


def full_name(module: str) -> str:
    """Return the name of a module's logger: `scheduler.placer` is short for `mediafleet.scheduler.placer`.

    Raises:
        InvalidRequest: Nothing here has that name.
    """
    known = known_modules()
    for name in (module, f"{_PACKAGE}.{module}"):
        if name in known:
            return name
    nearest = get_close_matches(module[:_LONGEST], [name.removeprefix(f"{_PACKAGE}.") for name in known], n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "; write `scheduler`, `scheduler.placer` or `root`."
    raise InvalidRequest(f"There is no module {module[:_LONGEST]!r} that writes log lines{hint}")


def known_modules() -> set[str]:
    """Return the names that a level can be set for."""
    return {ROOT, *_own_modules(), *logging.Logger.manager.loggerDict}


@cache
def _own_modules() -> frozenset[str]:
    # By their files and not by what was imported: levels are for nodes as well, whose modules no scheduler has loaded.
    root = Path(__file__).parents[1]
    paths = [path.relative_to(root.parent).with_suffix("") for path in root.rglob("*.py")]
    return frozenset(".".join(path.parts).removesuffix(".__init__") for path in paths)


def apply_levels(levels: Mapping[str, str]) -> bool:
    """Let modules write from these levels on, and all others as at the start; return whether anything changed."""
    wanted = {name: logging.getLevelNamesMapping()[level.upper()] for name, level in levels.items() if level in LEVELS}
    changed = False
    for name in [name for name in _before if name not in wanted]:
        _logger(name).setLevel(_before.pop(name))
        changed = True
    for name, level in wanted.items():
        logger = _logger(name)
        _before.setdefault(name, logger.level)
        if logger.level != level:
            logger.setLevel(level)
            changed = True
    return changed


def forget_levels() -> None:
    """Take the levels as they are for those of the start."""
    _before.clear()


def default_level() -> str:
    """Return the level where nothing was set at run time."""
    return logging.getLevelName(_before.get(ROOT, logging.getLogger().level)).lower()


def _logger(name: str) -> logging.Logger:
    return logging.getLogger(None if name == ROOT else name)
