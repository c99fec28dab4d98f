"""`mediafleet presets`: what a transcode can make, built in and of a user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
from cyclopts import Parameter

from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import FAILED, guard
from mediafleet.domain.errors import InvalidParams, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from mediafleet.kinds.transcode.preset_files import Found
    from mediafleet.kinds.transcode.presets import Preset

_NO_OPTIONS = ClientOptions()
HEADER = ("PRESET", "GOAL", "FILE", "ENCODERS", "SUMMARY")


def presets(
    name: Annotated[str, Parameter(name="NAME", show_default=False)] = "", /, *, options: ClientOptions = _NO_OPTIONS
) -> int:
    """List the presets that this machine knows, or show one of them. No fleet is needed.

    Args:
        name: The preset to show, with all that it says.
        options: Shared options.
    """
    # Their package knows media, which takes time to import.
    from mediafleet.kinds.transcode.preset_files import list_presets, preset_folder, read_preset  # noqa: PLC0415

    output = Output(as_json=options.json)

    def work() -> int:
        folder = preset_folder(options.settings())
        if not name:
            return _list(list_presets(folder), folder, output)
        try:
            preset = read_preset(name, folder)
        except InvalidParams as error:
            raise InvalidRequest(error.message) from error
        output.document({"name": name, "recipe": recipe_of(preset)})
        output.say("\n".join(as_toml(recipe_of(preset))))
        return 0

    return guard(work, output, debug=options.debug)


def _list(found: list[Found], folder: Path, output: Output) -> int:
    output.document([_entry(one) for one in found])
    output.table(HEADER, [_row(one) for one in found if one.preset], empty="")
    if all(one.origin == "built in" for one in found):
        output.say(f"Presets of your own go into {folder}, one TOML file each.")
    broken = [one for one in found if one.preset is None]
    for one in broken:
        output.note(f"{one.origin}: {one.problem}")
    return FAILED if broken else 0


def _entry(one: Found) -> dict[str, Any]:
    recipe = recipe_of(one.preset) if one.preset else None
    return {"name": one.name, "origin": one.origin, "problem": one.problem, "recipe": recipe}


def _row(one: Found) -> tuple[str, ...]:
    preset = one.preset
    if preset is None:
        return ()
    return one.name, preset.goal, preset.container or "as it is", " ".join(preset.encoders) or "none", preset.summary


def recipe_of(preset: Preset) -> dict[str, Any]:
    """Return what a preset says, as plain values, as its file could say it."""
    return msgspec.to_builtins(preset)


def as_toml(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Return the lines of a TOML document: plain values first, then one table after the other."""
    for name, value in values.items():
        if not isinstance(value, dict):
            # JSON's texts, numbers, truth values and lists are TOML's as well.
            yield f"{name} = {msgspec.json.encode(value).decode()}"
    for name, value in values.items():
        if isinstance(value, dict):
            yield f"\n[{prefix}{name}]"
            yield from as_toml(cast("dict[str, Any]", value), f"{prefix}{name}.")
