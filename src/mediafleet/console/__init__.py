"""The console: pages for people, rendered on the server, kept alive by htmx and the event stream.

It is a client like any other: what it shows comes from the `Fleet` facade, what changes comes from
the public event stream. `console_handlers` gives the routes to add to the application.
"""

from mediafleet.console.handlers import console_handlers

__all__ = ["console_handlers"]
