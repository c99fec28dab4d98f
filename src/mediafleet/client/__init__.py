"""The typed asynchronous client of a fleet: what the command line is built on, and any program may use."""

from mediafleet.client.fleet import FleetClient, JobFilter

__all__ = ["FleetClient", "JobFilter"]
