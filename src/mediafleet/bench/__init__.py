"""The project's benchmarks: each figure is a run that anyone can repeat with `mediafleet bench NAME`.

One module a figure; `docs/benchmarks.md` keeps the last table. Timings are reported, never asserted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import structlog
from rich.console import Console
from rich.table import Table

from mediafleet.bench.figure import Figure
from mediafleet.bench.noop import measure_noop
from mediafleet.bench.overhead import measure_batch_overhead, measure_overhead
from mediafleet.domain.errors import InvalidRequest

Bench = Callable[[], Coroutine[Any, Any, list[Figure]]]

BENCHES: dict[str, Bench] = {
    "noop": measure_noop,
    "transcode": measure_overhead,
    "batch": measure_batch_overhead,
}


def main(names: Sequence[str], *, json: bool = False, with_peers: bool = False) -> int:
    """Run the named benchmarks (all where none is named) and print their figures; return the exit code.

    Raises:
        InvalidRequest: There is no benchmark of a name.
    """
    unknown = sorted(set(names) - set(BENCHES))
    if unknown:
        raise InvalidRequest(f"There is no benchmark {unknown[0]!r}; there are {', '.join(BENCHES)}.")
    if with_peers:
        print("No comparison with peers is built in yet; the figures are ours alone.", file=sys.stderr)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    figures: list[Figure] = []
    for name in names or BENCHES:
        print(f"measuring {name} …", file=sys.stderr)
        figures += asyncio.run(BENCHES[name]())
    print(msgspec.json.format(msgspec.json.encode(figures)).decode() if json else "", end="\n" if json else "")
    if not json:
        Console().print(_table(figures))
    return 0


def _table(figures: Sequence[Figure]) -> Table:
    table = Table(title="mediafleet bench")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("compared to")
    table.add_column("ratio", justify="right")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.3f}"
        table.add_row(figure.name, f"{figure.value:,.3f}", figure.unit, figure.compared_to, ratio)
    return table


__all__ = ["Figure", "main"]
