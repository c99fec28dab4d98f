"""`/api/v1/catalogue`: which services provide which features."""

from __future__ import annotations

import aiohttp


async def test_the_catalogue_is_shown_with_where_it_comes_from(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/v1/catalogue") as response:
        found = await response.json()
    assert (found["source"], found["location"], found["revision"], found["problem"]) == (
        "url",
        "https://models.example/list",
        "r7",
        "",
    )
    assert found["services"] == [
        {
            "name": "vosk-en",
            "version": "0.22",
            "provides": ["recognise:en"],
            "capabilities": ["asr:vosk@0.22"],
            "summary": "English, large",
        }
    ]


async def test_the_catalogue_is_described_in_the_schema(client: aiohttp.ClientSession) -> None:
    async with client.get("/schema") as response:
        assert "/api/v1/catalogue" in (await response.json())["paths"]
