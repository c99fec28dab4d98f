"""The HTTP door: REST, event streams, health, and the server that carries all doors."""
