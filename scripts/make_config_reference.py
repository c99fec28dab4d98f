"""Make `docs/reference/config.md` from `src/mediafleet/ops/settings.py`.

Meanings are the strings below the fields, read from the source; names, types and defaults come
from the dataclasses themselves, so the page cannot say something else than the code does.
"""

from __future__ import annotations

import ast
import inspect
import sys
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from mediafleet.ops import settings as module
from mediafleet.ops.config import SHORT_NAMES, variable_of
from mediafleet.ops.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parent.parent / "docs/reference/config.md"

INTRODUCTION = """\
# Settings

<!-- Made by scripts/make_config_reference.py from src/mediafleet/ops/settings.py; do not edit. -->

Values come from three places; a later one wins:

1. `mediafleet.toml` in the current folder, else in `~/.config/mediafleet/`, or the file that `--config` names;
2. environment variables: `MEDIAFLEET_<SECTION>__<KEY>`, lists separated by commas;
3. flags of the command.

Everything is checked as a whole before anything starts. A key that does not exist is refused with the nearest one.

```toml
data = "/srv/mediafleet"

[store]
redis_url = "redis://store.example:6379"

[server]
host = "0.0.0.0"
```
"""


def make_page() -> str:
    """Return the page as it should be."""
    meanings = _read_meanings()
    sections = [_make_section(name, component, meanings) for name, component in _find_sections("", Settings)]
    return "\n".join([INTRODUCTION, *sections])


def _find_sections(name: str, component: Any) -> Iterator[tuple[str, Any]]:
    """Yield each section with its settings, before those within it."""
    yield name, component
    for inner, kind in get_type_hints(component).items():
        if is_dataclass(kind):
            yield from _find_sections(f"{name}.{inner}" if name else inner, kind)


def _make_section(name: str, component: Any, meanings: dict[tuple[str, str], str]) -> str:
    hints = get_type_hints(component)
    title = f"## `[{name}]`" if name else "## Outside of a section"
    prefix = f"{name}." if name else ""
    rows = [
        _make_row(prefix, item, hints[item.name], meanings[component.__name__, item.name])
        for item in fields(component)
        if not is_dataclass(hints[item.name])
    ]
    head = f"{title}\n\n{inspect.getdoc(component)}\n\n| key | type | default | meaning | variable |\n|---|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def _make_row(prefix: str, item: Field[Any], kind: Any, meaning: str) -> str:
    variables = [variable_of(prefix + item.name)]
    variables += [short for short, key in SHORT_NAMES.items() if key == prefix + item.name and short not in variables]
    names = " ".join(f"`{variable}`" for variable in variables)
    return f"| `{item.name}` | {_describe_type(kind)} | {_describe_default(item)} | {meaning} | {names} |"


def _describe_type(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) is tuple:
        return "list of text"
    return {str: "text", int: "whole number", bool: "true or false", Path: "path"}[kind]


def _describe_default(item: Field[Any]) -> str:
    if item.default is MISSING or item.default in {"", ()}:
        return "empty"
    return f"`{item.default}`"


def _read_meanings() -> dict[tuple[str, str], str]:
    """Return (class, field) → the string below the field."""
    tree = ast.parse(inspect.getsource(module))
    return {
        (node.name, name): meaning
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        for name, meaning in _read_fields(node)
    }


def _read_fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, following in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)):
            continue
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            yield statement.target.id, " ".join(str(following.value.value).split())


def main() -> int:
    """Write the page; with `--check`, only return 1 if it is not current."""
    page = make_page()
    if "--check" in sys.argv:
        return 0 if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page else 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
