"""Says in the user's words why params do not fit a kind; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import msgspec

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "null": "nothing",
    "array": "a list",
    "object": "an object",
}
_MESSAGE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(?P<types>[^`]*)`(?P<rest>.*?)(?:, got `[^`]*`)?", re.DOTALL)
_STEP = re.compile(r"\[(?:\d+|\.\.\.)\]|[^.\[\]]+")
"""A field, or an element of a list as msgspec writes it."""
LONGEST_SHOWN = 60
"""Characters of a value: enough to find it again in what was sent."""


def explain_mismatch(error: msgspec.ValidationError, params: Mapping[str, Any], wanted: type[Any]) -> str:
    """Return a sentence without its end: which field is wrong, what it may be, and what was given.

    A message of msgspec that has another form than those known here is returned as it is.
    """
    parts = _MESSAGE.fullmatch(str(error))
    if parts is None:
        return str(error)
    path = parts["path"] or ""
    if unknown := _UNKNOWN.fullmatch(parts["what"]):
        return _unknown_field(_cut(unknown["name"]), path, wanted)
    choices = _choices(wanted, path) if parts["what"].startswith("Invalid enum value") else []
    if choices:
        return f"{path!r} must be one of {', '.join(choices)}{_given(params, path)}"
    # What a text must look like is said by a pattern, which people cannot read; by the field's description, where it has one.
    if "matching regex" in parts["what"] and (described := _schema_of(wanted, path).get("description")):
        return f"{path.partition('[')[0]!r} must be {described}{_given(params, path)}"
    expected = _EXPECTED.fullmatch(parts["what"])
    if not path or expected is None:
        return f"{path}: {parts['what']}" if path else parts["what"]
    types = " or ".join(_WORDS.get(name, name) for name in expected["types"].split(" | "))
    return f"{path!r} must be {types}{expected['rest']}{_given(params, path)}"


def _unknown_field(name: str, path: str, wanted: type[Any]) -> str:
    if path:
        return f"{path!r} has no field {name!r}"
    names = [field.encode_name for field in msgspec.structs.fields(wanted)]
    nearest = get_close_matches(name, names, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(names) or 'none'}"
    return f"there is no {name!r}; {hint}"


def _choices(wanted: type[Any], path: str) -> list[str]:
    """Return the values that a field may have; nothing where its schema lists none."""
    return [str(choice) or "''" for choice in _schema_of(wanted, path).get("enum", [])]


def _schema_of(wanted: type[Any], path: str) -> dict[str, Any]:
    """Return the JSON schema of a field, or of the elements of one; nothing where it has none."""
    try:
        root = msgspec.json.schema(wanted)
    except TypeError:
        return {}  # Types of a kind's own have none.
    schema = _resolve(root, root)
    for name in _STEP.findall(path):
        inner = schema.get("items", {}) if name.startswith("[") else schema.get("properties", {}).get(name, {})
        schema = _resolve(root, inner)
    return schema


def _resolve(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for option in schema.get("anyOf", [schema]):
        if "$ref" in option:
            return root.get("$defs", {}).get(option["$ref"].rpartition("/")[2], {})
        if "enum" in option or "properties" in option:
            return option
    return schema


def _given(params: Mapping[str, Any], path: str) -> str:
    # Deeper values are not looked up: the path then has indices and keys of its own syntax.
    path = path.partition("[")[0]
    if path not in params:
        return ""
    shown = json.dumps(params[path], ensure_ascii=False, default=str)
    return f"; {_cut(shown)} was given"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
