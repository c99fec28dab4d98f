"""The task queues that the scheduler is measured beside: one small module each, behind one seam.

Nothing here imports the rest of mediafleet: these modules run in the interpreter that has the peers, which need not
have mediafleet. `docs/decisions/0007-peers-we-measure-against.md` has the source of each setting.
"""
