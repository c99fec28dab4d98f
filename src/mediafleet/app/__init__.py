"""The composition root: the only place where the parts are wired, and where processes begin and end.

Nothing is imported here: a node needs no web server, and starts in half the time without one.
"""
