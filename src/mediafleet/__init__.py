"""One fleet for all media work: jobs go in, verified artifacts come out.

The parts and the direction of their imports are described in `docs/explanation/architecture.md`.
"""

__version__ = "0.1.0"
