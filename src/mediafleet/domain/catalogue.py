"""The catalogue: which services provide which features, in which versions. Pure; `scheduler/catalogue.py` reads it."""

from __future__ import annotations

import re
from collections import defaultdict
from enum import StrEnum

import msgspec

from mediafleet.domain.capability import check_capabilities
from mediafleet.domain.errors import InvalidRequest

FORMAT = 1
MOST_SERVICES = 10_000
MOST_CHARACTERS = 80
"""Of a name or a version."""
_PIECES = re.compile(r"\d+|[A-Za-z]+")

Alternatives = tuple[tuple[str, ...], ...]
"""Sets of capabilities of which any one will do, the best first."""


class Service(msgspec.Struct, frozen=True, omit_defaults=True):
    """A service or model in one version."""

    name: str
    version: str
    provides: tuple[str, ...]
    """Features: `recognise:en`."""
    capabilities: tuple[str, ...]
    """What an executor must offer to run it; may name the version: `asr:vosk@0.22`."""
    summary: str = ""
    url: str = ""
    """Where people find more about it."""


class CatalogueDocument(msgspec.Struct, frozen=True):
    """The document at the configured address, or in the local file."""

    format: int
    services: tuple[Service, ...]
    revision: str = ""
    """What its maintainers call this state of it."""


class CatalogueSource(StrEnum):
    """Where the catalogue in use comes from."""

    BUILT_IN = "built-in"
    """It is empty: features are capabilities under their own names."""
    FILE = "file"
    URL = "url"


class CatalogueView(msgspec.Struct, frozen=True):
    """The catalogue as the API shows it."""

    source: CatalogueSource
    location: str
    """Path or address, without credentials; empty for the built-in one."""
    revision: str
    services: tuple[Service, ...]
    """Those of one name together, the newest first; names as the document has them."""
    loaded_ms: int | None
    """When these services were read."""
    checked_ms: int | None
    """When the source was last asked, with or without success."""
    problem: str = ""
    """A sentence: why what is in use is not what is configured, or is older than it could be."""


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Return what versions are ordered by: numbers as numbers, and what is unfinished before what is finished.

    >>> sorted(["1.10", "1.9", "1.10-rc1", "2024-06"], key=version_key)
    ['1.9', '1.10-rc1', '1.10', '2024-06']
    """
    pieces = _PIECES.findall(version)
    # A word comes before the end, the end before a further number: 1.0-rc1 < 1.0 < 1.0.1.
    keys = [(2, int(piece), "") if piece.isdecimal() else (0, 0, piece.lower()) for piece in pieces]
    return (*keys, (1, 0, ""))


class Catalogue:
    """Services by feature."""

    def __init__(self, services: tuple[Service, ...] = (), revision: str = "") -> None:
        # Versions of different services cannot be compared: which goes first is up to who wrote the document.
        rank = {name: position for position, name in enumerate(dict.fromkeys(one.name for one in services))}
        by_age = sorted(services, key=lambda one: version_key(one.version), reverse=True)
        self.services = tuple(sorted(by_age, key=lambda one: rank[one.name]))
        self.revision = revision
        self._by_feature: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        for service in self.services:
            for feature in service.provides:
                self._by_feature[feature].append(service.capabilities)

    def resolve(self, need: str) -> Alternatives:
        """Return what satisfies a need: the services that provide it, or an executor that says it does itself."""
        # Last and always: nodes may offer a feature under its own name, and most needs are plain capabilities.
        return (*self._by_feature.get(need, ()), (need,))


EMPTY = Catalogue()
"""The built-in catalogue."""


def read_catalogue(body: bytes) -> Catalogue:
    """Return the catalogue of a document.

    Raises:
        InvalidRequest: It is none; the sentence says what is wrong with it.
    """
    try:
        document = msgspec.json.decode(body, type=CatalogueDocument)
    # A document nested a thousand levels deep is no ValidationError of the decoder.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"The catalogue cannot be read: {error}.") from error
    if document.format != FORMAT:
        raise InvalidRequest(f"The catalogue has the format {document.format}; this version reads {FORMAT}.")
    if len(document.services) > MOST_SERVICES:
        raise InvalidRequest(f"The catalogue has {len(document.services)} services; {MOST_SERVICES} are possible.")
    return Catalogue(_checked(document.services), document.revision)


def _checked(services: tuple[Service, ...]) -> tuple[Service, ...]:
    known: set[tuple[str, str]] = set()
    checked: list[Service] = []
    for service in services:
        # Names are shown in terminals, where a control character could do anything.
        words = (service.name, service.version)
        if not all(text.isprintable() and 1 <= len(text) <= MOST_CHARACTERS for text in words):
            raise InvalidRequest(
                f"A service of the catalogue has a name or version that is not 1 to {MOST_CHARACTERS} printable characters."
            )
        label = f"{service.name} {service.version}"
        if (service.name, service.version) in known:
            raise InvalidRequest(f"The catalogue names {label} twice.")
        known.add((service.name, service.version))
        if not service.provides or not service.capabilities:
            raise InvalidRequest(f"{label} of the catalogue provides nothing, or names no capability that it needs.")
        try:
            provides, capabilities = check_capabilities(service.provides), check_capabilities(service.capabilities)
        except InvalidRequest as error:
            raise InvalidRequest(f"{label} of the catalogue: {error.message}") from error
        checked.append(msgspec.structs.replace(service, provides=provides, capabilities=capabilities))
    return tuple(checked)
