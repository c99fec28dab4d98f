"""Accepts jobs, plans them, places their tasks, follows and recovers them.

All state lives in the store; an instance may die at any time. `Fleet` is what doors see of it.
"""
