"""`mediafleet catalogue`: which services and models provide which features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediafleet.cli._fleet import open_fleet
from mediafleet.cli._options import ClientOptions
from mediafleet.cli._output import Output
from mediafleet.cli._run import run_client
from mediafleet.cli._text import printable

if TYPE_CHECKING:
    from mediafleet.domain.catalogue import CatalogueView, Service

_NO_OPTIONS = ClientOptions()
HEADER = ("SERVICE", "VERSION", "PROVIDES", "NEEDS", "SUMMARY")


def catalogue(*, options: ClientOptions = _NO_OPTIONS) -> int:
    """List the services and models that the fleet knows, what they provide and what they need.

    Args:
        options: Shared options.
    """
    output = Output(as_json=options.json)

    async def work() -> int:
        async with open_fleet(options) as fleet:
            found = await fleet.client.catalogue()
        output.document(found)
        output.say(printable(origin_text(found)))
        if found.problem:
            output.say(printable(found.problem))
        if found.services:
            output.table(HEADER, [service_row(one) for one in found.services], empty="")
        return 0

    return run_client(work(), output, debug=options.debug)


def origin_text(found: CatalogueView) -> str:
    """Return where a catalogue comes from, as a sentence."""
    if not found.location:
        return "The catalogue is the built-in one, which is empty: modules are placed by the capabilities they name."
    revision = f", revision {found.revision}" if found.revision else ""
    count = f"{len(found.services)} {'service' if len(found.services) == 1 else 'services'}"
    return f"The catalogue comes from {found.location}{revision}: {count}."


def service_row(one: Service) -> tuple[str, ...]:
    """Return a service as a row under `HEADER`."""
    row = (one.name, one.version, " ".join(one.provides), " ".join(one.capabilities), one.summary)
    return tuple(map(printable, row))
