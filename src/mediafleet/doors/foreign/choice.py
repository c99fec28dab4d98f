"""Which master a node works for: the one of its settings, until somebody sets another while it runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import structlog

from mediafleet.domain.errors import InvalidRequest
from mediafleet.node.durable import write_durably

if TYPE_CHECKING:
    from pathlib import Path

    from mediafleet.ops.settings import MasterSettings

_log = structlog.get_logger(__name__)
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_LONGEST_URL = 2000


class Chosen(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was set while the node ran."""

    url: str
    """Empty for no master."""
    token: str = ""
    instead_of: str = ""
    """The address in the settings at that time: where they name another one since, they count again."""

    def __repr__(self) -> str:
        """Leave the token out."""
        return f"Chosen({shown(self.url)!r})"


class MasterChoice:
    """The master of a node, kept in a file of its own over restarts."""

    def __init__(self, path: Path, settings: MasterSettings) -> None:
        self._path = path
        self._settings = settings
        self._given = check_master(settings.url) if settings.url else ""
        self._chosen: Chosen | None = None
        self.changed = asyncio.Event()
        """Set at each change; whoever follows it clears it."""

    def load(self) -> None:
        """Read what was set before the last end of the process. Blocks."""
        try:
            chosen = msgspec.json.decode(self._path.read_bytes(), type=Chosen)
        except FileNotFoundError:
            return
        except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
            _log.warning("what master was set cannot be read", path=str(self._path), reason=str(error))
            return
        if chosen.instead_of == self._given:
            self._chosen = chosen

    @property
    def url(self) -> str:
        """Address of the hub; empty for none."""
        return self._given if self._chosen is None else self._chosen.url

    @property
    def token(self) -> str:
        """What the master is told; empty for nothing."""
        if self._chosen is not None and self._chosen.token:
            return self._chosen.token
        # The settings name a token for their own master; no other address may be made to collect it.
        is_own = not self._given or _origin(self.url) == _origin(self._given)
        return self._settings.token if is_own else ""

    async def set(self, url: str, token: str = "") -> None:
        """Work for this master from now on, and after restarts; an empty address for none.

        Raises:
            InvalidRequest: It is no address of a hub, or no header could hold the token.
        """
        if token and not (token.isascii() and token.isprintable()):
            raise InvalidRequest("The token has characters that no header holds; it was not set.")
        self._chosen = Chosen(check_master(url) if url else "", token, self._given)
        content = msgspec.json.encode(self._chosen)
        try:
            await asyncio.shield(asyncio.to_thread(_write_secret, self._path, content))
        except OSError as error:
            _log.error("the master is set until the end of this process only", reason=str(error))
        self.changed.set()


def check_master(url: str) -> str:
    """Return a hub's address in the one form that tells masters apart: `http(s)://host[:port]/path`.

    Raises:
        InvalidRequest: It is none, or holds a password.
    """
    text = url.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        # Read here because only reading checks them.
        is_good = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0 and len(text) <= _LONGEST_URL
    except ValueError:
        parts, is_good = None, False
    if parts is None or not is_good or not text.isprintable() or " " in text:
        raise InvalidRequest(f"{shown(text)!r} is no address of a hub; write it like https://192.0.2.7/signalrhub.")
    if "@" in parts.netloc:
        raise InvalidRequest("The address of a master holds no password; give a token apart from it.")
    query = f"?{parts.query}" if parts.query else ""
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc.lower()}{parts.path.rstrip('/')}{query}"


def shown(url: str) -> str:
    """Return an address as logs and people may see it: without its query and any password, which may be secrets."""
    return url.partition("?")[0].rpartition("@")[2][:200]


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _write_secret(path: Path, content: bytes) -> None:
    # The folder's mode keeps others from the token, from the first byte on.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(path, content)
