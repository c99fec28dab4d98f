"""Fills the settings from file, environment and flags, in that order, and checks them as a whole.

It knows where values come from and how they are written there; what they mean is beside each field
in `mediafleet.ops.settings`, and what must hold between them in `mediafleet.ops.checks`.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, get_origin, get_type_hints

import msgspec

from mediafleet.domain.errors import ConfigError
from mediafleet.ops.checks import check_settings
from mediafleet.ops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

FILE_NAME = "mediafleet.toml"
ENVIRONMENT_PREFIX = "MEDIAFLEET_"

SHORT_NAMES = {
    "MEDIAFLEET_DATA": "data",
    "MEDIAFLEET_REDIS": "store.redis_url",
    "MEDIAFLEET_TOKEN": "server.token",
}
"""Variables for what is set most often, with the key that each stands for."""

_OTHER_VARIABLES = frozenset({"MEDIAFLEET_SERVER", "MEDIAFLEET_CONFIG"})
"""Variables that client commands read; they are no settings."""
_TEST_PREFIX = "MEDIAFLEET_TEST_"

_TABLES = frozenset({"node.paths"})
"""Lists of `name=value` that a file may write as a table."""

_JSON_LIST = re.compile(r"""\[\s*(?:["'].*)?\]""", re.DOTALL)
"""What people write who expect the environment to be JSON; a path or an address in brackets has no quotes in them."""
_UNITS = {"_ms": "milliseconds", "_s": "seconds", "_bytes": "bytes"}


@dataclass(frozen=True)
class _Given:
    """One value as it was found."""

    key: str
    value: Any
    source: str
    """Where it was found, as a sentence names it."""
    is_text: bool = False
    """It comes from the environment, where everything is text."""


def load_settings(*, file: Path | None = None, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Return the settings of this process; nothing may start before they are complete.

    Args:
        file: A configuration file that must exist; None to look in the current folder, then in
            `~/.config/mediafleet/`, and go on without one.
        environ: `MEDIAFLEET_<SECTION>__<KEY>`, and the short names.
        flags: Key path → value (`{"server.port": 9000}`); a value of None was not given.

    Raises:
        ConfigError: Names every problem that was found, not only the first.
    """
    # What comes later here wins.
    given = [*_read_file(file), *_read_environment(environ), *_read_flags(flags)]
    problems: list[str] = []
    unread: set[str] = set()
    values: dict[str, Any] = {}
    for item in given:
        try:
            values[item.key] = _convert(item)
        except ConfigError as error:
            problems.append(error.message)
            unread |= {item.key} & setting_types().keys()
    # Also where some values could not be read: who mends those shall not learn of the others only then.
    settings = _resolve_paths(_build(Settings, values))
    _raise_problems([*problems, *check_settings(settings, unread=unread)])
    return settings


def find_file() -> Path | None:
    """Return the configuration file that is used where none is named, or None."""
    places = (Path.cwd(), Path("~/.config/mediafleet").expanduser())
    return next((place / FILE_NAME for place in places if (place / FILE_NAME).is_file()), None)


def variable_of(key: str) -> str:
    """Return the environment variable that sets a key."""
    return ENVIRONMENT_PREFIX + key.replace(".", "__").upper()


@cache
def setting_types() -> dict[str, Any]:
    """Return every key path with its type: `scheduler.reap_ms` → int."""
    return dict(_walk_types(Settings, ""))


def _walk_types(component: type, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, kind in get_type_hints(component).items():
        if isinstance(kind, type) and is_dataclass(kind):
            yield from _walk_types(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, kind


def _read_file(file: Path | None) -> list[_Given]:
    path = file or find_file()
    if path is None:
        return []
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration file {path} is not TOML: {error}.") from error
    return [_Given(key, value, str(path)) for key, value in _flatten(document)]


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict) and prefix + name not in _TABLES:
            yield from _flatten(cast("dict[str, Any]", value), f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _read_environment(environ: Mapping[str, str]) -> Iterator[_Given]:
    # Sorted, so that the same mistakes are told in the same order each time.
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable.startswith(_TEST_PREFIX):
            continue
        if variable in _OTHER_VARIABLES:
            continue
        key = SHORT_NAMES.get(variable) or variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
        yield _Given(key, environ[variable], f"the environment variable {variable}", is_text=True)


def _read_flags(flags: Mapping[str, Any]) -> Iterator[_Given]:
    for key, value in flags.items():
        if value is not None:
            yield _Given(key, str(value) if isinstance(value, Path) else value, "the command line")


def _convert(given: _Given) -> Any:
    kind = setting_types().get(given.key)
    if kind is None:
        raise ConfigError(_describe_unknown(given))
    value: Any = given.value
    if get_origin(kind) is Literal and value not in get_args(kind):
        words = ", ".join(repr(word) for word in get_args(kind))
        raise ConfigError(f"{given.key} in {given.source} is {value!r}; it must be one of {words}.")
    if given.key in _TABLES and isinstance(value, dict):
        return tuple(f"{name}={word}" for name, word in _texts(given.key, cast("dict[str, Any]", value)))
    if given.is_text and kind == tuple[str, ...]:
        if _JSON_LIST.fullmatch(value.strip()):
            raise ConfigError(f"{given.key} in {given.source} is a list with commas and without brackets: one, two.")
        value = [word.strip() for word in value.split(",") if word.strip()]
    try:
        # Only the environment has nothing but text: there '8000' is a number, while in a file the quotes are a mistake.
        return msgspec.convert(value, kind, strict=not given.is_text, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        unit = next((f" ({unit})" for suffix, unit in _UNITS.items() if given.key.endswith(suffix)), "")
        reason = str(error)[:1].lower() + str(error)[1:]
        raise ConfigError(f"{given.key}{unit} in {given.source}: {reason}.") from error


def _texts(key: str, table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, word in table.items():
        if not isinstance(word, str):
            raise ConfigError(f"{key} maps {name!r} to {word!r}, which is no text.")
        yield name, word


def _decode_path(kind: type, value: Any) -> Path:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"expected a path as `str`, got `{type(value).__name__}`")


def _describe_unknown(given: _Given) -> str:
    nearest = get_close_matches(given.key, setting_types(), n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else "; docs/reference/config.md lists all keys."
    return f"{given.source} sets {given.key!r}, which is no setting{hint}"


def _build(component: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    """Return the component's dataclass with the values given for it; defaults fill the rest."""
    hints = get_type_hints(component)
    arguments: dict[str, Any] = {}
    for item in fields(component):
        key = prefix + item.name
        if is_dataclass(hints[item.name]):
            arguments[item.name] = _build(hints[item.name], values, f"{key}.")
        elif key in values:
            arguments[item.name] = values[key]
    return component(**arguments)


def _resolve_paths(settings: Settings) -> Settings:
    """Return the settings with absolute paths: the process may change its folder later."""
    artifacts = replace(
        settings.artifacts,
        # An address stays one, for the checks to refuse: made absolute, it would be a folder of that odd name.
        root=_absolute(settings.artifacts.root) if _is_path(settings.artifacts.root) else settings.artifacts.root,
        # An empty entry stays empty, for the checks to refuse: made absolute, it would open the current folder to
        # everybody.
        file_roots=tuple(_absolute(root) if root else root for root in settings.artifacts.file_roots),
    )
    file = settings.catalogue.file
    catalogue = replace(settings.catalogue, file=_absolute(file) if file else "")
    presets = settings.transcode.presets
    transcode = replace(settings.transcode, presets=_absolute(presets) if presets else "")
    node = replace(
        settings.node, replace_roots=tuple(_absolute(root) if root else root for root in settings.node.replace_roots)
    )
    master = replace(settings.master, roots=tuple(_absolute(root) if root else root for root in settings.master.roots))
    models = settings.engines.models
    return replace(
        settings,
        data=Path(_absolute(settings.data)),
        node=node,
        master=master,
        artifacts=artifacts,
        catalogue=catalogue,
        transcode=transcode,
        engines=replace(settings.engines, models=_absolute(models) if models else ""),
    )


def _is_path(root: str) -> bool:
    return bool(root) and "://" not in root


def _absolute(path: str | Path) -> str:
    return str(Path(path).expanduser().absolute())


def _raise_problems(problems: Iterable[str]) -> None:
    found = list(problems)
    if len(found) == 1:
        raise ConfigError(found[0])
    if found:
        raise ConfigError(f"{len(found)} settings are wrong: " + " ".join(found))
