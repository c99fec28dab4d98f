"""The composition root: the only place where the parts are wired, and where processes begin and end."""

from mediafleet.app.processes import Tell, run_node, run_scheduler, run_up
from mediafleet.app.serving import Serving, serving

__all__ = ["Serving", "Tell", "run_node", "run_scheduler", "run_up", "serving"]
