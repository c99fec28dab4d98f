"""Users' own presets: TOML files in a folder, one a preset, named like it.

Read where a job is handed in or accepted, never on a node: decision record 0021.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from mediafleet.domain.errors import InvalidParams
from mediafleet.kinds.transcode.presets import Preset, load_presets
from mediafleet.ops.settings import DEFAULT_PRESET_DIRECTORY, Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_LARGEST = 64 * 1024
"""Bytes of a preset file; what is larger is something else."""


class Found(NamedTuple):
    """One preset of a list."""

    name: str
    origin: str
    """`built in`, or the file it comes from."""
    preset: Preset | None
    problem: str = ""
    """Why it cannot be used, as a sentence."""


def complete_params(params: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return params with their preset spelled out; `Kind.complete` of this kind. Raises InvalidParams."""
    return resolve_preset(params, preset_folder(settings))


def preset_folder(settings: Settings) -> Path:
    """Return where this machine's own presets lie; it need not be there."""
    return Path(settings.transcode.presets or DEFAULT_PRESET_DIRECTORY).expanduser()


def resolve_preset(params: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return params whose preset of a user's own is spelled out, so that nobody has to read a file for them again.

    Params that name a built-in preset, or that bring their recipe along, come back as they are.

    Raises:
        InvalidParams: There is no such preset, or its file cannot be used.
    """
    name = params.get("preset")
    # What is no text is for the params' own check to refuse.
    if not isinstance(name, str) or name in load_presets() or params.get("recipe") is not None:
        return dict(params)
    return {**params, "recipe": msgspec.to_builtins(read_preset(name, folder))}


def read_preset(name: str, folder: Path) -> Preset:
    """Return a preset by its name, built in or of a user's own.

    Raises:
        InvalidParams: There is none, or its file cannot be used.
    """
    if preset := load_presets().get(name):
        return preset
    # Before the disk is touched: a name is a word and never a path.
    if not _NAME.fullmatch(name) or not (path := folder / f"{name}.toml").is_file():
        raise InvalidParams(_unknown(name, folder))
    try:
        status = path.stat()
        return _read(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise InvalidParams(f"The preset file {path.name} cannot be read: {error.strerror}.") from error


def list_presets(folder: Path) -> list[Found]:
    """Return all presets, the built-in ones first; files that cannot be used are among them, with the reason."""
    built_in = [Found(name, "built in", preset) for name, preset in load_presets().items()]
    return built_in + [_look_at(path) for path in _files(folder)]


def _look_at(path: Path) -> Found:
    if path.stem in load_presets():
        return Found(path.stem, str(path), None, f"{path.stem!r} is built in; give the file another name.")
    if not _NAME.fullmatch(path.stem):
        return Found(path.stem, str(path), None, "A preset's name has 1 to 40 of a-z, 0-9, '-' and '_'.")
    try:
        return Found(path.stem, str(path), read_preset(path.stem, path.parent))
    except InvalidParams as error:
        return Found(path.stem, str(path), None, error.message)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except OSError:
        return []  # There need not be any, and a folder that cannot be read has none.


def _unknown(name: str, folder: Path) -> str:
    names = [found.name for found in list_presets(folder) if found.preset]
    nearest = get_close_matches(name, names, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(names)}."
    return f"There is no preset {name[:60]!r}; {hint}"


# By time and size, so that a file that was changed is read anew, and one that was not is not read for each job.
@lru_cache(maxsize=256)
def _read(path: Path, changed_ns: int, size: int) -> Preset:
    del changed_ns
    if size > _LARGEST:
        raise InvalidParams(f"The preset file {path.name} has {size} bytes; no preset is that long.")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidParams(f"The preset file {path.name} is not TOML: {error}.") from error
    return _convert(document, path.name)


def _convert(document: dict[str, Any], file: str) -> Preset:
    base = document.pop("based_on", None)
    if base is not None:
        if not isinstance(base, str) or base not in load_presets():
            names = ", ".join(load_presets())
            raise InvalidParams(f"The preset file {file} is based on {base!r}; that must be one of {names}.")
        document = _merge(msgspec.to_builtins(load_presets()[base]), document)
    try:
        return msgspec.convert(document, Preset)
    except msgspec.ValidationError as error:
        raise InvalidParams(f"The preset file {file} does not fit: {error}.") from error


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first table with what the second says put over it, table by table."""
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            merged[key] = _merge(cast("Mapping[str, Any]", inner), cast("Mapping[str, Any]", value))
        else:
            merged[key] = value
    return merged
