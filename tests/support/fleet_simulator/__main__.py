"""Runs seeds by hand and says which broke a rule."""

from __future__ import annotations

import argparse
import os
import sys
import time

import structlog

from fleet_simulator.day import run_day
from fleet_simulator.faults import FAULTS
from fleet_simulator.run import Report, run_seed
from fleet_simulator.scale import run_scale
from fleet_simulator.world import Size
from mediafleet.domain.lifecycle import PriorityClass

HASH_SEED = "0"
"""The order of sets of text is drawn anew by each interpreter, unless it is told this."""


def main() -> int:
    """Run, report, and return 1 where a rule was broken."""
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": HASH_SEED})  # noqa: S606 - itself
    options = _read_options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(10 if options.logs else 50))
    if options.scale:
        return _run_scale(options)
    if options.day:
        return _run_day(options.nodes_of_a_day)
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


def _run_scale(options: argparse.Namespace) -> int:
    report = run_scale(options.scale, seconds=options.duration, jobs_per_s=options.rate, instances=options.instances)
    _say(
        f"{report.nodes} nodes: {report.virtual_s:.0f} s of virtual time in {report.real_s:.0f} s ({report.cpu_s:.0f} s of "
        f"one processor), {report.completed} of {report.jobs} jobs completed"
    )
    for name, calls in report.calls.most_common():
        _say(f"  {name}: {calls} calls, {calls / report.virtual_s:.1f} a virtual second")
    for rule in report.broken:
        _say(f"  {rule}")
    return 1 if report.broken or report.completed != report.jobs else 0


def _run_day(executors: int) -> int:
    report = run_day(executors)
    _say(
        f"{report.tasks} tasks in a day on {executors} executors: {report.done} done, {report.failed} failed for good, at "
        f"most {report.most_used} of {report.slots} slots in use; {report.cpu_s / report.decisions * 1e6:.0f} us a decision"
    )
    for priority in PriorityClass:
        waits = f"{report.wait(priority, 0.5):.1f} s / {report.wait(priority, 0.99):.1f} s"
        _say(f"  {priority}: {len(report.waits_s[priority])} tasks, waited p50 / p99 {waits}")
    return 0 if report.done + report.failed == report.tasks else 1


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
    parser.add_argument("--scale", type=int, default=0, metavar="NODES", help="one large fleet without faults")
    parser.add_argument("--rate", type=float, default=20.0, help="jobs a virtual second of --scale")
    parser.add_argument("--day", action="store_true", help="a day of mixed traffic by the pure rules alone")
    parser.add_argument("--nodes-of-a-day", type=int, default=40, help="executors of --day")
    return parser.parse_args()


def _say_nothing(_: object) -> None: ...


if __name__ == "__main__":
    # What killed processes left half done is thrown away some time, and the interpreter would complain of each.
    sys.unraisablehook = _say_nothing
    sys.exit(main())
