"""The only package that knows Redis: every key, every script, the private server."""

from mediafleet.store.store import Store

__all__ = ["Store"]
