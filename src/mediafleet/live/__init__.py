"""Live sessions: segmentation, ordering, rooms, signalling.

Empty until its own capability is built; the layer stands so that the import rules already hold it.
"""
