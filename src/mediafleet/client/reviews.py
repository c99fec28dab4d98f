"""Documents that people look through: as bytes, and not as JSON that this client would know."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from mediafleet.domain.job import JobView
from mediafleet.domain.review import ReviewDocument

if TYPE_CHECKING:
    from mediafleet.client.transport import Transport
    from mediafleet.domain.review import ReviewAnswer

REVIEW_HEADER = "Mediafleet-Review"


async def fetch_review(transport: Transport, path: str, review: str) -> ReviewDocument:
    """Return the document at a job's path. Raises MediafleetError."""

    async def fetch() -> ReviewDocument:
        async with transport.send("GET", _address(path, review)) as response:
            body = await response.read()
            disposition = response.content_disposition
            return ReviewDocument(
                review=response.headers.get(REVIEW_HEADER, ""),
                name=(disposition.filename if disposition else None) or "",
                tag=response.headers.get("ETag", "").strip('"'),
                body=body,
            )

    return await transport.again(fetch, repeat=True)


async def put_review(transport: Transport, path: str, answer: ReviewAnswer) -> JobView:
    """Put a document back at a job's path. Raises MediafleetError."""
    headers = {"Content-Type": "application/json"}
    if answer.tags:
        headers["If-Match"] = ", ".join(f'"{tag}"' for tag in answer.tags)

    async def put() -> JobView:
        async with transport.send("PUT", _address(path, answer.review), data=answer.body, headers=headers) as response:
            return transport.decode(await response.read(), JobView)

    return await transport.again(put, repeat=True)


def _address(path: str, review: str) -> str:
    return f"{path}/review" + (f"?{urlencode({'review': review})}" if review else "")
