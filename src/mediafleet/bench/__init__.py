"""The project's benchmarks: each figure is a run that anyone can repeat with `mediafleet bench NAME`.

NAME is that of a figure, or of a benchmark with all its figures. One module a benchmark; `docs/benchmarks.md` keeps the last table. Timings are reported, never asserted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog
from rich.console import Console
from rich.table import Table

from mediafleet.bench.chunks import measure_chunks, measure_split_ratios
from mediafleet.bench.copying import measure_copy
from mediafleet.bench.figure import Figure
from mediafleet.bench.instances import measure_instances
from mediafleet.bench.noop import measure_noop, measure_noop_with_peers
from mediafleet.bench.overhead import measure_batch_overhead, measure_overhead
from mediafleet.bench.placement import measure_placement
from mediafleet.bench.recovery import measure_recovery
from mediafleet.bench.small_files import measure_small_files
from mediafleet.bench.subtitles import measure_subtitles
from mediafleet.domain.errors import InvalidRequest


@dataclass(frozen=True)
class Bench:
    """One run, and the names of the figures that it gives."""

    measure: Callable[[], Coroutine[Any, Any, list[Figure]]]
    figures: tuple[str, ...]
    measure_with_peers: Callable[[Sequence[Path]], Coroutine[Any, Any, list[Figure]]] | None = None
    """The same run with the peers that the interpreters have; their figures are named `<figure>.<peer>`."""

    measure_with_film: Callable[[Path], Coroutine[Any, Any, list[Figure]]] | None = None
    """The same run with a film of the user's in place of a generated one."""

    async def run(self, pythons: Sequence[Path] | None, film: Path | None = None) -> list[Figure]:
        """Measure: with peers where interpreters are given, with the user's film where one is, and it has use for them."""
        if film is not None and self.measure_with_film is not None:
            return await self.measure_with_film(film)
        if pythons is None or self.measure_with_peers is None:
            return await self.measure()
        return await self.measure_with_peers(pythons)


BENCHES: dict[str, Bench] = {
    "noop": Bench(
        measure_noop,
        (
            *("noop_tasks_per_s", "noop_cpu_s_per_1000", "noop_latency_p50_ms", "noop_latency_p99_ms"),
            *("noop_start_p50_ms", "noop_start_p99_ms"),
        ),
        measure_noop_with_peers,
    ),
    "transcode": Bench(measure_overhead, ("transcode_overhead_ratio", "transcode_overhead_s", "transcode_verify_s")),
    "copy": Bench(measure_copy, ("copy_job_s", "copy_overhead_s")),
    "batch": Bench(measure_batch_overhead, ("batch_overhead_ratio", "batch_verify_s")),
    "chunks": Bench(
        measure_chunks,
        ("chunk_speedup_ratio", "chunk_speedup_ratio_av1", "chunk_scaling_4", "chunk_scaling_8"),
        measure_with_film=measure_chunks,
    ),
    "files": Bench(measure_small_files, ("small_files_ratio", "small_files_ratio_180p")),
    "splits": Bench(
        measure_split_ratios,
        ("split_ratio_libx264", "split_ratio_libsvtav1", "split_ratio_libx265", "split_ratio_libvpx_vp9"),
        measure_with_film=measure_split_ratios,
    ),
    "subtitles": Bench(
        measure_subtitles,
        ("subtitle_two_nodes_ratio", "subtitle_memory_mib", "subtitle_crash_redone"),
        measure_with_film=measure_subtitles,
    ),
    "instances": Bench(measure_instances, ("two_instances_cpu_ratio", "reservations_doubled", "reservations_leaked")),
    "recovery": Bench(
        measure_recovery,
        ("recovery_instance_kill_max_s", "recovery_live_closed_max_s", "recovery_live_silent_max_beats"),
    ),
    "placement": Bench(
        measure_placement,
        (
            *("placement_cost_us_10", "placement_cost_us_1000", "placement_cost_us_10000"),
            *("placement_cost_ratio_10_to_1000", "placement_cost_ratio_10_to_10000"),
            *("placement_cost_ratio_10000_signatures", "idle_node_memory_bytes"),
            "placement_cost_ratio_1000_tenants_64_pools",
            *("submit_cost_ratio_100000_queued", "placement_cost_ratio_100000_queued", "queued_job_memory_bytes"),
            *("batch_share_under_flood", "small_tenant_last_place", "small_tenant_last_place_20_queues"),
            "wide_task_wait_s",
        ),
    ),
}


def main(
    names: Sequence[str],
    *,
    json: bool = False,
    with_peers: bool = False,
    peers_python: Sequence[Path] = (),
    film: Path | None = None,
) -> int:
    """Run the named benchmarks or figures (all where none is named) and print them; return the exit code.

    Args:
        names: Of benchmarks or figures.
        json: Print a list of figures for a program.
        with_peers: Run the peers as well.
        peers_python: Interpreters to look for peers in; this one where none is named.
        film: Encode this in place of a generated film, where the benchmark encodes one.

    Raises:
        InvalidRequest: There is neither a benchmark nor a figure of a name, or no such film.
        ConfigError: One of the interpreters does not work.
    """
    chosen = choose(names)
    pythons = (peers_python or [Path(sys.executable)]) if with_peers or peers_python else None
    if film is not None and not film.is_file():
        raise InvalidRequest(f"There is no film {str(film)!r} to measure with.")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    figures: list[Figure] = []
    for name, wanted in chosen.items():
        print(f"measuring {name} …", file=sys.stderr)
        # A peer's figure is wanted where ours is.
        measured = asyncio.run(BENCHES[name].run(pythons, film and film.absolute()))
        figures += [figure for figure in measured if figure.name.partition(".")[0] in wanted]
    print(msgspec.json.format(msgspec.json.encode(figures)).decode() if json else "", end="\n" if json else "")
    if not json:
        Console().print(_table(figures))
    return 0


def choose(names: Sequence[str]) -> dict[str, set[str]]:
    """Return the benchmarks to run, each once, with the figures that are wanted of it; all where nothing is named.

    Raises:
        InvalidRequest: There is neither a benchmark nor a figure of a name.
    """
    chosen: dict[str, set[str]] = {}
    for name in names or BENCHES:
        home = name if name in BENCHES else next((key for key, one in BENCHES.items() if name in one.figures), None)
        if home is None:
            figures = ", ".join(figure for bench in BENCHES.values() for figure in bench.figures)
            raise InvalidRequest(
                f"There is no benchmark {name!r}; there are {', '.join(BENCHES)}, and the figures {figures}."
            )
        # One figure costs the whole run that gives it; the run is made once, however many are named.
        chosen.setdefault(home, set()).update(BENCHES[home].figures if name == home else {name})
    return chosen


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


__all__ = ["BENCHES", "Bench", "Figure", "choose", "main"]
