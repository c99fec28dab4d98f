"""Several addresses of one fleet: any instance will do, and the next one is tried where one does not answer."""

from __future__ import annotations

from mediafleet.domain.errors import ConfigError


class AddressRing:
    """Addresses in the order of preference; whoever uses one and finds nobody there moves on to the next."""

    def __init__(self, text: str) -> None:
        """Take one address, or several with commas between them.

        Raises:
            ConfigError: There is none.
        """
        self._addresses = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
        if not self._addresses:
            raise ConfigError("No address of a scheduler is given; write it like 'http://host:8000'.")
        self._position = 0

    def __len__(self) -> int:
        return len(self._addresses)

    def __str__(self) -> str:
        return self.current

    @property
    def current(self) -> str:
        """The address to use now."""
        return self._addresses[self._position]

    def move_on(self, failed: str) -> None:
        """Go on with the next address, unless somebody else who shares the ring has gone on from the failed one."""
        if failed == self.current:
            self._position = (self._position + 1) % len(self._addresses)
