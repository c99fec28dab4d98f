"""What every problem document must be."""

from __future__ import annotations

from typing import Any

import aiohttp


async def read_problem(response: aiohttp.ClientResponse, status: int, code: str) -> dict[str, Any]:
    """Check that the answer is a problem document with a whole sentence, and return it."""
    problem = await response.json(content_type="application/problem+json")
    assert (response.status, problem["status"], problem["code"]) == (status, status, code)
    assert problem["type"] == f"urn:mediafleet:error:{code}"
    assert problem["detail"].endswith((".", "?"))
    assert "Traceback" not in problem["detail"]
    return problem
