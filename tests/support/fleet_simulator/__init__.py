"""A whole fleet in one process on virtual time: real scheduler instances, thin nodes, a store in memory, and faults.

`world` puts the parts together, `faults` breaks them, `checks` says what must hold all the same. Every choice comes
from a seed, so that a seed that fails can be run again: `python tests/simulation --first SEED --seeds 1 --events`.
"""
