"""The official JavaScript client as a worker of a real fleet, over each transport and encoding; needs node and npm."""

from __future__ import annotations

from pathlib import Path

import pytest
from cut_proxy import CutProxy
from javascript_client import WAYS, javascript
from older_fleet import FILM, serving_master
from tests_support.hub_worker import eventually


@pytest.mark.parametrize(("transport", "encoding"), WAYS)
async def test_the_official_client_works_through_a_whole_task(packages: Path, transport: str, encoding: str) -> None:
    async with serving_master() as master:
        options = {"url": f"{master.url}/signalrhub", "transport": transport, "encoding": encoding, "worker": "js"}
        async with javascript(packages, "work", **options) as worker:
            await worker.until("registered")
            number = await master.submit()
            assert await worker.until("task") == [number, *FILM.values()]
            await eventually(lambda: master.task(number), lambda task: task["progress"] == 2_500)
            worker.go_on()
            told = dict([await worker.next() or ("", None) for _ in range(2)])
            assert told == {"delivered": {"result": None}, "acknowledged": number}
            task = await master.until(number, "completed")
            assert task["worker_id"] == "js"
            await worker.finish()


async def test_the_official_client_carries_a_task_over_a_broken_connection(packages: Path) -> None:
    async with serving_master() as master, CutProxy(master.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/signalrhub"
        async with javascript(packages, "work", url=url, transport="WebSockets", worker="js") as worker:
            await worker.until("registered")
            number = await master.submit()
            await worker.until("task")
            await eventually(lambda: master.task(number), lambda task: task["progress"] == 2_500)
            proxy.cut()
            await worker.until("registered")
            worker.go_on()
            assert await worker.until("acknowledged") == number
            assert (await master.until(number, "completed"))["worker_id"] == "js"
            await worker.finish()
    assert worker.events().count("task") == 1
