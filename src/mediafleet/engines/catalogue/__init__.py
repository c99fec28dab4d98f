"""The built-in adapters as data, one file a role; the entry points of `pyproject.toml` name them."""
