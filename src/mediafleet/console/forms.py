"""Turns the JSON schema of a kind's params into form fields, and what a form sends back into params."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from mediafleet.domain.errors import InvalidParams, InvalidRequest
from mediafleet.domain.job import Submission
from mediafleet.domain.lifecycle import PriorityClass
from mediafleet.kinds.seam import Kind

# So that no param can be taken for one of the form's own fields: a kind may well have one called `name`.
PREFIX = "params."
PRIORITIES = (PriorityClass.BATCH, PriorityClass.INTERACTIVE)
"""What a person may choose; `live` is for sessions."""
_FARTHEST = 2**53
"""Whole numbers beyond it are not exact in JavaScript; no param of a job is that large."""


class Field(msgspec.Struct, frozen=True):
    """One input of a form."""

    name: str
    label: str
    control: str
    """`select`, `checkbox`, `number` or `text`."""
    choices: tuple[str, ...] = ()
    """All that may be chosen; for `text` suggestions."""
    default: str = ""
    hint: str = ""
    is_integer: bool = False
    group: str = ""
    """The param that it is a part of, as a label; its name is that of both with a dot between."""


def fields_of(kind: Kind) -> list[Field]:
    """Return a field for each param that a form can hold, and for each part of one that is always there.

    The others keep their defaults.
    """
    (schema,), components = msgspec.json.schema_components([kind.params], ref_template="{name}")
    fields, parts = list[Field](), list[Field]()
    for name, param in _properties(schema, components).items():
        if field := _field_of(name, param, components):
            fields.append(field)
        # One that may be left out is left out: with empty parts it would mean something.
        elif "$ref" in param:
            parts += _parts_of(name, param, components)
    return fields + parts


def _parts_of(name: str, schema: Mapping[str, Any], components: Mapping[str, Any]) -> list[Field]:
    drawn = (_field_of(part, one, components) for part, one in _properties(schema, components).items())
    group = _label(name)
    return [
        msgspec.structs.replace(field, name=f"{name}.{field.name}", label=f"{group} {field.label.lower()}", group=group)
        for field in drawn
        if field
    ]


def _properties(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    return components.get(schema.get("$ref", ""), schema).get("properties", {})


def _field_of(name: str, schema: Mapping[str, Any], components: Mapping[str, Any]) -> Field | None:
    part = _plain_part(schema, components)
    label = _label(name)
    default, hint = schema.get("default"), str(schema.get("description", ""))
    if choices := part.get("enum"):
        # A browser chooses the first where none is the default.
        options = [*([] if default in choices else [""]), *(str(choice) for choice in choices)]
        is_integer = all(isinstance(choice, int) for choice in choices)
        return Field(name, label, "select", tuple(options), _default_text(default), hint, is_integer=is_integer)
    match part.get("type"):
        case "boolean":
            return Field(name, label, "checkbox", default="on" if default else "", hint=hint)
        case "integer" | "number" as number:
            return Field(name, label, "number", (), _default_text(default), hint, is_integer=number == "integer")
        case "string":
            suggestions = tuple(str(example) for example in part.get("examples", ()))
            return Field(name, label, "text", suggestions, _default_text(default), hint)
        case _:
            return None


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _plain_part(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a schema that says what to enter: references followed, `null` left aside."""
    if "$ref" in schema:
        return components.get(schema["$ref"], {})
    # This is how msgspec writes a param that may be None, which a form says by an empty input.
    parts = [part for part in schema.get("anyOf", []) if part.get("type") != "null"]
    if parts and all("enum" in part for part in parts):
        return {"enum": [choice for part in parts for choice in part["enum"]]}
    return _plain_part(parts[0], components) if len(parts) == 1 else schema


def _default_text(value: Any) -> str:
    return "" if value is None else str(value)


def read_params(fields: Sequence[Field], form: Mapping[str, str]) -> dict[str, Any]:
    """Return the params that a form means; an empty input leaves the kind's default.

    Raises:
        InvalidParams: A number is none.
    """
    params: dict[str, Any] = {}
    for field in fields:
        if (value := _read_value(field, form.get(PREFIX + field.name, "").strip())) is None:
            continue
        if not field.group:
            params[field.name] = value
        else:
            whole, _, part = field.name.partition(".")
            params.setdefault(whole, {})[part] = value
    return params


def _read_value(field: Field, text: str) -> bool | float | str | None:
    """Return what was entered; None for the kind's default."""
    if field.control == "checkbox":
        # A browser leaves an empty checkbox out of the form: absent is a choice here, not the default.
        is_said = not field.group or bool(text) != bool(field.default)
        return bool(text) if is_said else None
    if not text or text == field.default:
        return None
    return _read_number(field, text) if field.control == "number" or field.is_integer else text


def _read_number(field: Field, text: str) -> int | float:
    try:
        number = int(text) if field.is_integer else float(text)
    except ValueError:
        number = math.inf
    # Beyond these lies what JSON has no word for, and what the store has no room for.
    if not -_FARTHEST < number < _FARTHEST:
        what = "a whole number" if field.is_integer else "a number"
        raise InvalidParams(f"{field.label} is {text[:40]!r}; it must be {what} of ordinary size.")
    return number


def read_submission(kind: Kind, form: Mapping[str, str]) -> Submission:
    """Return the submission that a form means.

    Raises:
        InvalidRequest: The path or the priority is not one.
        InvalidParams: A number is none.
    """
    text = form.get("input", "").strip()
    if not text and kind.inputs[0]:
        raise InvalidRequest("Choose a file to upload, or name a path that the fleet can see.")
    asked = form.get("priority") or PriorityClass.BATCH
    if asked not in PRIORITIES:
        raise InvalidRequest("The priority must be batch or interactive.")
    return Submission(
        kind=kind.name,
        input=_input_uri(text) if text else None,
        params=read_params(fields_of(kind), form),
        priority=PriorityClass(asked),
    )


def _input_uri(text: str) -> str:
    """Return an absolute path as a URI; what already is one stays."""
    if not text.startswith("/"):
        return text
    # Quoted, because `#`, `?` and `%` are common in file names and mean something else in an address.
    return "file://" + quote(text)
