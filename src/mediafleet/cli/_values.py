"""Words for params and results, whose shape only their kind knows: what is set, in units that people read."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, cast

import msgspec

from mediafleet.cli._text import duration_text, moment_text, size_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ALWAYS_TOLD = "preset"
_DIGITS = 3
_LATEST_LENGTH_MS = 100_000_000_000
"""Digits after the point: measures are no better, and their tails hide what counts."""


class _Property(msgspec.Struct):
    default: Any = msgspec.UNSET


class _Object(msgspec.Struct):
    properties: dict[str, _Property] = {}


class _Schema(msgspec.Struct):
    ref: str = msgspec.field(name="$ref", default="")
    defs: dict[str, _Object] = msgspec.field(name="$defs", default_factory=dict[str, _Object])


class _KindView(msgspec.Struct):
    name: str
    params: _Schema = msgspec.field(default_factory=_Schema)


def defaults_of(kinds: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Return what each param of a kind is where nobody sets it; empty if the fleet does not tell in a way known here.

    Args:
        kinds: The answer of `/api/v1/kinds`.
    """
    try:
        known = msgspec.convert(kinds, list[_KindView])
    except msgspec.ValidationError:
        return {}
    schema = next((kind.params for kind in known if kind.name == name), _Schema())
    params = schema.defs.get(schema.ref.rpartition("/")[2], _Object())
    return {key: one.default for key, one in params.properties.items() if one.default is not msgspec.UNSET}


def value_lines(values: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> list[str]:
    """Return a line for each value that is set, `name = value`, and one for each member of a list of records.

    Args:
        defaults: What stands for "not set"; a plain word or number that means something by itself is told all the same.
    """
    shown: list[tuple[str, str]] = []
    for name, value in values.items():
        default = (defaults or {}).get(name)
        if not _is_set(name, value, default):
            continue
        if records := _records(value):
            shown += [(f"{name} {number}", _record(one, None)) for number, one in enumerate(records, 1)]
        else:
            shown.append(_measure(name, value, default))
    # A record may have nothing in it that is set.
    return [f"{name} = {text}" for name, text in shown if text]


def _records(value: object) -> list[dict[str, Any]]:
    """Return a list of records as what it is; empty for anything else."""
    if isinstance(value, list) and all(isinstance(one, dict) for one in cast("list[object]", value)):
        return cast("list[dict[str, Any]]", value)
    return []


def _is_set(name: str, value: object, default: object) -> bool:
    if isinstance(value, (dict, list)):
        return value not in ({}, [], default)
    if value is None or value == "":
        return False
    # A word or number that nobody chose says nothing, but for the one that names what is made.
    if value and value == default and type(value) in {str, int} and name != _ALWAYS_TOLD:
        return False
    # 0 may be a choice (the best quality there is) or nothing at all; only the default tells which.
    return bool(value) or value != default or type(value) is not type(default)


def _measure(name: str, value: object, default: object) -> tuple[str, str]:
    """Return name and value with the unit, which the name's ending gives, at the value."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if name.endswith("_s"):
            return name.removesuffix("_s"), duration_text(value)
        if name.endswith("_ms"):
            # No work takes three years, and moments are counted from 1970.
            if value > _LATEST_LENGTH_MS:
                return name.removesuffix("_ms"), moment_text(int(value))
            return name.removesuffix("_ms"), duration_text(value / 1000)
        if name == "size" or name.endswith(("_size", "_bytes")):
            return name.removesuffix("_bytes"), size_text(value)
    return name, _plain(value, default)


def _plain(value: object, default: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(round(value, _DIGITS)).removesuffix(".0")
    if isinstance(value, dict):
        known = cast("dict[str, Any]", default) if isinstance(default, dict) else None
        return _record(cast("dict[str, Any]", value), known)
    if isinstance(value, list) and all(isinstance(one, str) for one in cast("list[object]", value)):
        return shlex.join(cast("list[str]", value))
    return _compact(cast("object", value))


def _record(values: Mapping[str, Any], defaults: Mapping[str, Any] | None) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        default = (defaults or {}).get(name)
        if isinstance(value, (dict, list)):
            pairs += [(name, _compact(cast("object", value)))] if value else []
        elif _is_set(name, value, default):
            pairs.append(_measure(name, value, default))
    return " ".join(f"{name}={_word(text)}" for name, text in pairs)


def _word(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if " " in text and not text.startswith(("{", "[")) else text


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
