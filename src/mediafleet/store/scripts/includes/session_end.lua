-- The lease of a session ended and nobody has claimed it: it is nobody's.
handle['session'] = function(id) return end_lease(read_session(id)) end
