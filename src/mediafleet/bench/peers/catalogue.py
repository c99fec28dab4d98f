"""Which peers there are, and which of them this interpreter has."""

from __future__ import annotations

import importlib
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PEERS: dict[str, tuple[str, ...]] = {
    "celery": ("celery", "redis"),
    "dramatiq": ("dramatiq", "redis"),
    "arq": ("arq", "redis"),
    "taskiq": ("taskiq", "taskiq-redis", "redis"),
    "saq": ("saq", "redis"),
    "huey": ("huey", "redis"),
}
"""Peer → distributions that it needs. Its module is `<peer>_peer`, with a `make` that takes nothing."""
HELPERS = ("hiredis", "uvloop")
"""What makes peers faster where it is installed, so it belongs to what was measured."""


def find_installed() -> dict[str, str]:
    """Return the peers whose distributions are all installed here, each with the versions in words."""
    found = {peer: [_version(name) for name in names] for peer, names in PEERS.items()}
    helpers = [text for text in map(_version, HELPERS) if text]
    python = f"Python {platform.python_version()}"
    return {peer: ", ".join([*map(str, texts), *helpers, python]) for peer, texts in found.items() if all(texts)}


def load(module: str) -> Any:
    """Return the peer of a module, made for the store of the environment."""
    return importlib.import_module(module).make()


def _version(distribution: str) -> str | None:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return None
