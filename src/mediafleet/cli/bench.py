"""`mediafleet bench`: measures this machine."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mediafleet.cli._output import Output
from mediafleet.cli._run import guard
from mediafleet.domain.errors import ConfigError


def bench(
    *names: str,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    with_peers: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    peers_python: Annotated[list[Path] | None, Parameter(negative="", show_default=False)] = None,
    film: Annotated[Path | None, Parameter(show_default=False)] = None,
    debug: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Measure this machine and print one table.

    Args:
        names: Which benchmarks (noop, transcode, copy, batch, chunks, files, splits, subtitles, instances, recovery, placement) or figures of them; all where none is named.
        json: Print a list of {name, value, unit, compared_to, ratio}.
        with_peers: Also measure the peers that are installed; installs nothing.
        peers_python: A Python that has peers, in place of this one; may be given several times.
        film: A film or recording of your own, which chunks, splits and subtitles take in place of a generated one.
        debug: Show stack traces with errors.
    """

    def work() -> int:
        try:
            figures = import_module("mediafleet.bench")
        except ModuleNotFoundError as error:
            raise ConfigError("The benchmarks are not part of this installation; run them from a checkout.") from error
        return int(
            figures.main(list(names), json=json, with_peers=with_peers, peers_python=peers_python or (), film=film)
        )

    return guard(work, Output(as_json=json), debug=debug)
