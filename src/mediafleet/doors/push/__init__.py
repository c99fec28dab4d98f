"""The push door: links to nodes that listen, over HTTP requests of the scheduler. Both ends are here.

`listening` is the node's end, `dialled` and `keeper` are the scheduler's. Both ends give what they carry to the same code
as a WebSocket: docs/decisions/0011.
"""
