"""Speech engines behind one seam: recognition, translation, synthesis, voice activity.

Empty until its own capability is built; the layer stands so that the import rules already hold it.
"""
