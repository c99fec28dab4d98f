"""The one credential of a fleet: when it is needed, where it is kept, how it is compared."""

from __future__ import annotations

import hmac
import os
import secrets
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from mediafleet.domain.errors import ConfigError
from mediafleet.ops.checks import LEAST_TOKEN_LENGTH

if TYPE_CHECKING:
    from mediafleet.ops.settings import ServerSettings

TOKEN_FILE_NAME = "token"  # noqa: S105 - the name of a file
_TOKEN_BYTES = 32
_OWNER_ONLY = 0o600


def is_loopback(host: str) -> bool:
    """Tell whether a bind address can be reached from this machine only.

    Names other than `localhost` are not looked up: what they mean may change after the check.
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    # Before Python 3.13 `is_loopback` says no to ::ffff:127.0.0.1, which is how a socket for both families shows it.
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def needs_token(server: ServerSettings) -> bool:
    """Tell whether every route and socket asks for a token: off loopback always, on loopback if one is set."""
    return bool(server.token) or not is_loopback(server.host)


def tokens_equal(given: str, expected: str) -> bool:
    """Compare in a time that says nothing about where they differ; an empty token equals nothing."""
    # As bytes: for text, compare_digest takes only ASCII and raises for what a stranger may send.
    same = hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))
    return same and bool(expected)


def load_or_make_token(data: Path) -> str:
    """Return the token of a data directory; the first caller makes it.

    The file is readable by its owner only and never half-written; of several processes that start
    at once, all get the same token.

    Raises:
        ConfigError: The file cannot be read or written, or holds no token.
    """
    path = data / TOKEN_FILE_NAME
    try:
        if not path.exists():
            _make_token(path)
        # Also where the file was there before: a person may have written it, for all to read.
        path.chmod(_OWNER_ONLY)
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The token file {path} cannot be used: {error}.") from error
    if len(token) < LEAST_TOKEN_LENGTH:
        raise ConfigError(f"The token file {path} holds no token; remove it and a new one is made.")
    return token


def _make_token(path: Path) -> None:
    """Write a new token beside the path and link it there: the link fails if another process was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_TOKEN_BYTES) + "\n")
            file.flush()
            # Before it has its name: after a power loss the file must not be there without its content.
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    # Another process was first: its token is the one that counts.
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
