"""Hold the sizes that keep the code readable: files of 500 lines, functions of 60, 4 levels of nesting.

Lengths leave docstrings of functions out: explaining more must not cost anything. Nesting is not
held in tests, where a stack of `async with` says what is running.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "bench", "scripts")

LONGEST_FILE = 500
LONGEST_FUNCTION = 60
DEEPEST_NESTING = 4

Function = ast.FunctionDef | ast.AsyncFunctionDef
Block = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


def find_faults(path: Path) -> Iterator[str]:
    """Yield a line `file:line: what` for everything that is too large."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > LONGEST_FILE:
        yield f"{path}:1: {lines} lines, more than {LONGEST_FILE}"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, Function):
            continue
        if (length := _measure_length(node)) > LONGEST_FUNCTION:
            yield f"{path}:{node.lineno}: {node.name} has {length} lines, more than {LONGEST_FUNCTION}"
        if "tests" not in path.parts and (depth := max(map(_measure_nesting, node.body))) > DEEPEST_NESTING:
            yield f"{path}:{node.lineno}: {node.name} is nested {depth} deep, more than {DEEPEST_NESTING}"


def _measure_length(function: Function) -> int:
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return total
    docstring = function.body[0]
    return total - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def _measure_nesting(node: ast.AST) -> int:
    """Return the levels from this node down; an `elif` adds none, and an inner function is measured alone."""
    if isinstance(node, Function):
        return 0
    deepest = 0
    for child in ast.iter_child_nodes(node):
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, _measure_nesting(child) - is_elif)
    return deepest + isinstance(node, Block)


def main() -> int:
    """Print all faults; return 1 if there is one."""
    files = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    faults = [fault for path in files for fault in find_faults(path)]
    print("\n".join(faults) or f"Sizes are fine in {len(files)} files.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
