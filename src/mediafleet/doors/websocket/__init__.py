"""The WebSocket door: `/ws/node`, by which nodes dial in."""
