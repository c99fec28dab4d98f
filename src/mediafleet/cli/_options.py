"""Options that commands share, and the settings they lead to."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from mediafleet.domain.errors import ConfigError
from mediafleet.ops.config import load_settings

if TYPE_CHECKING:
    from mediafleet.ops.settings import Settings

LogFormat = Literal["auto", "text", "console", "json"]
CONNECTION = Group("Fleet", sort_key=20)
OUTPUT = Group("Output", sort_key=30)


@Parameter(name="*")
@dataclass(frozen=True)
class ClientOptions:
    """Which fleet a command talks to, and how it answers."""

    server: Annotated[
        str, Parameter(group=CONNECTION, env_var="MEDIAFLEET_SERVER", show_default=False, metavar="URL")
    ] = ""
    """Address of a scheduler. Without it: the fleet that runs on this machine, else one that is started for the call."""
    token_file: Annotated[Path | None, Parameter(group=CONNECTION, metavar="FILE")] = None
    """File with the credential; else the variable MEDIAFLEET_TOKEN."""
    data: Annotated[Path | None, Parameter(group=CONNECTION, metavar="DIR")] = None
    """Data directory of the fleet on this machine (MEDIAFLEET_DATA; default ~/.local/share/mediafleet)."""
    config: Annotated[Path | None, Parameter(group=CONNECTION, env_var="MEDIAFLEET_CONFIG", metavar="FILE")] = None
    """Configuration file; default ./mediafleet.toml, then ~/.config/mediafleet/mediafleet.toml."""
    json: Annotated[bool, Parameter(group=OUTPUT, negative="", show_default=False)] = False
    """Print one JSON document instead of text."""
    debug: Annotated[bool, Parameter(group=OUTPUT, negative="", show_default=False)] = False
    """Show stack traces with errors."""

    def settings(self) -> Settings:
        """Return the settings of this machine as far as they concern a client.

        Raises:
            ConfigError: They cannot work.
        """
        return read_settings(self.config, self.token_file, {"data": self.data})


@Parameter(name="*")
@dataclass(frozen=True)
class ServerOptions:
    """What a process that serves takes."""

    host: Annotated[str | None, Parameter(group=CONNECTION)] = None
    """Bind address (default 127.0.0.1); anything but loopback asks every client for a token."""
    port: Annotated[int | None, Parameter(group=CONNECTION)] = None
    """Bind port (default 8000); 0 for a free one."""
    data: Annotated[Path | None, Parameter(group=CONNECTION, metavar="DIR")] = None
    """Data directory: store and artifacts (MEDIAFLEET_DATA; default ~/.local/share/mediafleet)."""
    redis: Annotated[str | None, Parameter(group=CONNECTION, metavar="URL")] = None
    """Redis or Valkey to use; without it a private one is started under the data directory."""
    token_file: Annotated[Path | None, Parameter(group=CONNECTION, metavar="FILE")] = None
    """File with the credential that is asked for, even on loopback; else the variable MEDIAFLEET_TOKEN."""
    config: Annotated[Path | None, Parameter(group=CONNECTION, env_var="MEDIAFLEET_CONFIG", metavar="FILE")] = None
    """Configuration file; default ./mediafleet.toml, then ~/.config/mediafleet/mediafleet.toml."""
    json: Annotated[bool, Parameter(group=OUTPUT, negative="", show_default=False)] = False
    """Print one line of JSON when it serves: url, data, pid, and the token if it was made just now."""
    debug: Annotated[bool, Parameter(group=OUTPUT, negative="", show_default=False)] = False
    """Show stack traces with errors, and log more."""
    log_format: Annotated[LogFormat | None, Parameter(group=OUTPUT)] = None
    """How log lines look: text (or console), json, or auto for text on a terminal and JSON elsewhere."""

    def settings(self) -> Settings:
        """Return the settings of this process.

        Raises:
            ConfigError: They cannot work.
        """
        given = {
            "server.host": self.host,
            "server.port": self.port,
            "data": self.data,
            "store.redis_url": self.redis,
            "log.level": "debug" if self.debug else None,
            "log.format": self.log_format,
        }
        return read_settings(self.config, self.token_file, given)


@Parameter(name="*")
@dataclass(frozen=True)
class NodeOptions:
    """What a process that works for a fleet takes."""

    data: Annotated[Path | None, Parameter(group=CONNECTION, metavar="DIR")] = None
    """Data directory: identity, outbox, work (MEDIAFLEET_DATA; default ~/.local/share/mediafleet)."""
    token_file: Annotated[Path | None, Parameter(group=CONNECTION, metavar="FILE")] = None
    """File with the credential of the fleet; else the variable MEDIAFLEET_TOKEN."""
    config: Annotated[Path | None, Parameter(group=CONNECTION, env_var="MEDIAFLEET_CONFIG", metavar="FILE")] = None
    """Configuration file; default ./mediafleet.toml, then ~/.config/mediafleet/mediafleet.toml."""
    debug: Annotated[bool, Parameter(group=OUTPUT, negative="", show_default=False)] = False
    """Show stack traces with errors, and log more."""
    log_format: Annotated[LogFormat | None, Parameter(group=OUTPUT)] = None
    """How log lines look: text (or console), json, or auto for text on a terminal and JSON elsewhere."""
    host: Annotated[str | None, Parameter(show=False)] = None
    port: Annotated[int | None, Parameter(show=False)] = None
    redis: Annotated[str | None, Parameter(show=False)] = None

    def settings(self, flags: dict[str, Any]) -> Settings:
        """Return the settings of this process.

        Args:
            flags: Further key paths with values, as of `load_settings`.

        Raises:
            ConfigError: They cannot work.
        """
        given = {
            "data": self.data,
            "log.level": "debug" if self.debug else None,
            "log.format": self.log_format,
        }
        return read_settings(self.config, self.token_file, given | flags)

    @property
    def without_effect(self) -> list[str]:
        """Options that were given though a node has neither a port nor a store.

        They are taken all the same, since `up`, `scheduler` and `node` may be started with one list of options.
        """
        return [f"--{name}" for name in ("host", "port", "redis") if getattr(self, name) is not None]


def read_settings(config: Path | None, token_file: Path | None, flags: dict[str, Any]) -> Settings:
    """Return the settings from file, environment and flags, with the token of a token file."""
    token = read_token(token_file) if token_file else None
    return load_settings(file=config, environ=os.environ, flags=flags | {"server.token": token})


def read_token(file: Path) -> str:
    """Return the credential in a file.

    Raises:
        ConfigError: The file cannot be read or is empty.
    """
    try:
        # Editors end a file with a line break, which is no part of the token.
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"The token file {file} cannot be read: {reason}.") from error
    if not token:
        raise ConfigError(f"The token file {file} is empty.")
    return token


def absolute(options: ClientOptions) -> ClientOptions:
    """Return the options with absolute paths, for a child that runs in another folder."""
    return replace(
        options,
        token_file=options.token_file and options.token_file.absolute(),
        data=options.data and options.data.absolute(),
        config=options.config and options.config.absolute(),
    )
