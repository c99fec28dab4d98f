"""Watchers that find work and submit jobs: forum, feed, folder.

Empty until its own capability is built; the layer stands so that the import rules already hold it.
"""
