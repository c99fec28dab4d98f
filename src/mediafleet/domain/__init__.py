"""The vocabulary as data and rules: no I/O, no async, no clock of its own.

Every word is defined in `docs/reference/glossary.md`; import each from its own module, which is
named for its noun.
"""
