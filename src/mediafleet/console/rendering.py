"""Pages and fragments from templates, each with a Content-Security-Policy that lets only our scripts run."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Response

from mediafleet.console import words
from mediafleet.domain.lifecycle import JobStatus

HTML = "text/html"
VENDOR_FILES = ("htmx.min.js", "hx-sse.min.js", "hx-csp.min.js")


@dataclass(frozen=True)
class View:
    """A template with what it needs and how it is answered."""

    template: str
    context: dict[str, Any]
    status: int = 200
    headers: dict[str, str] | None = None


def page_policy(nonce: str) -> str:
    """Return the policy of a page.

    Scripts need the nonce, and only htmx's own Trusted Types policy may put HTML into the page: a
    file name that looks like markup can do nothing, even where escaping failed.
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types htmx"
    )


def render(view: View) -> Response[str]:
    """Return the answer for a page or fragment."""
    # New for each answer: a nonce that was seen once would let a script in that came with a file name.
    nonce = secrets.token_urlsafe(16)
    text = _templates.get_template(view.template).render(view.context, nonce=nonce)
    # Not stored: after a logout the back button must not bring the names of files up again.
    headers = {"Content-Security-Policy": page_policy(nonce), "Cache-Control": "no-store"}
    return Response(text, status_code=view.status, media_type=HTML, headers=headers | (view.headers or {}))


def missing_vendor_files() -> list[str]:
    """Return which of the third-party scripts the set-up step has not brought."""
    # Looked for at each page: the set-up step may run while the server does.
    folder = files("mediafleet.console") / "static" / "vendor"
    return [name for name in VENDOR_FILES if not (folder / name).is_file()]


def _make_templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("mediafleet.console"),
        autoescape=True,
        # A misspelt name in a template fails a test, rather than leave a place on the page empty.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("size_text", "span_text", "iso_text", "percent", "pace_text", "took_text"):
        environment.filters[name] = getattr(words, name)
    shared: dict[str, Any] = environment.globals
    shared |= {
        "ago_text": words.ago_text,
        "is_final": words.is_final,
        "can_retry": words.can_retry,
        "is_preview": words.is_preview,
        "STATUS_MEANINGS": words.STATUS_MEANINGS,
        "NODE_MEANINGS": words.NODE_MEANINGS,
        "STATUSES": list(JobStatus),
    }
    return environment


_templates = _make_templates()
