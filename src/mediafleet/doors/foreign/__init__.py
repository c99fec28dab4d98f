"""Work for SignalR masters that are not ours: a client of their hub on one side, of a scheduler on the other.

A task of a master becomes a job of the kind `subtitle`; how it is planned, resumed and retried is the scheduler's
business. What is kept here is which job is whose, and what the master has not taken yet. docs/decisions/0036 has the reasons.
"""
