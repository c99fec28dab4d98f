"""`/api/v1/catalogue`: which services provide which features."""

from __future__ import annotations

from litestar import Controller, get

from mediafleet.domain.catalogue import CatalogueView
from mediafleet.doors.http.context import InjectedFleet


class CatalogueController(Controller):
    """The catalogue over REST."""

    path = "/api/v1/catalogue"
    tags = ("catalogue",)

    @get(sync_to_thread=False)
    def catalogue(self, fleet: InjectedFleet) -> CatalogueView:
        """Return the catalogue of the instance that answers, and where it comes from."""
        return fleet.catalogue.view()
