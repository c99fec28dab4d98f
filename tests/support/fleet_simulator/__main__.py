"""Runs seeds by hand and says which broke a rule."""

from __future__ import annotations

import argparse
import os
import sys
import time

import structlog

from fleet_simulator.faults import FAULTS
from fleet_simulator.run import Report, run_seed
from fleet_simulator.world import Size

HASH_SEED = "0"
"""The order of sets of text is drawn anew by each interpreter, unless it is told this."""


def main() -> int:
    """Run, report, and return 1 where a rule was broken."""
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": HASH_SEED})  # noqa: S606 - itself
    options = _read_options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(10 if options.logs else 50))
    size = Size(options.instances, options.nodes, options.jobs, options.duration)
    failed = 0
    for seed in range(options.first, options.first + options.seeds):
        started = time.perf_counter()
        report = run_seed(seed, size=size, faults=options.fault, keep_events=options.events)
        failed += bool(report.broken)
        _tell(report, time.perf_counter() - started)
    _say(f"{options.seeds - failed} of {options.seeds} seeds held every rule")
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _tell(report: Report, seconds: float) -> None:
    for line in report.lines:
        _say(line)
    verdict = "broken" if report.broken else "ok"
    _say(
        f"seed {report.seed} {verdict}: {report.jobs} jobs, {report.seconds:.0f} s of virtual time in {seconds:.1f} s, "
        f"{report.events} events {report.digest[:16]}, faults {', '.join(report.faults)}"
    )
    for rule in report.broken:
        _say(f"  {rule}")


def _read_options() -> argparse.Namespace:
    size = Size()
    parser = argparse.ArgumentParser(prog="python tests/simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--events", action="store_true", help="print every event")
    parser.add_argument("--logs", action="store_true", help="print what instances and nodes log")
    parser.add_argument("--fault", action="append", default=[], choices=list(FAULTS), help="in place of drawn ones")
    parser.add_argument("--instances", type=int, default=size.instances)
    parser.add_argument("--nodes", type=int, default=size.nodes)
    parser.add_argument("--jobs", type=int, default=size.jobs)
    parser.add_argument("--duration", type=float, default=size.seconds, help="virtual seconds of work and faults")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
