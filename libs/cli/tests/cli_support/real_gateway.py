"""A real gateway beside the tests, and a terminal that asks it."""

import asyncio
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[4] / "services" / "gateway" / "tests"))

from gateway_support.estate import OWNER, Estate, furnished
from gateway_support.house import House, run_house
from modelmill_client import Modelmill
from modelmill_testkit.waiting import eventually

START_SECONDS = 60.0


@contextmanager
def furnished_house(folder: Path) -> Iterator[tuple[House, Estate]]:
    """A gateway whose tenant has something of every kind, run by a thread of its own.

    Commands block, and answer signals: they are run by the main thread.
    """
    ready = queue.Queue[tuple[House, Estate] | BaseException]()
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()

    async def serve() -> None:
        async with run_house(folder, webhook_allow_private=True, log_seconds=0.05) as house:
            ready.put((house, await furnished(house, house.http(tenant=OWNER))))
            await stopping.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            ready.put(error)

    thread = threading.Thread(target=run)
    thread.start()
    found = ready.get(timeout=START_SECONDS)
    if isinstance(found, BaseException):
        raise found
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()


def asks(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands ask the house as the owner of its things."""
    monkeypatch.setenv("MODELMILL_URL", house.url)
    monkeypatch.setenv("MODELMILL_TOKEN", house.issuer.token(tenant=OWNER))
    monkeypatch.setenv("COLUMNS", "160")


def logged_request(client: Modelmill, text: str, *, user: str = "ann") -> str:
    """The id of a request that the alias `kept` has logged."""
    client.aliases.set("kept", version_id="mv-own", store=True)
    asked = {"model": "kept", "messages": [{"role": "user", "content": text}], "user": user}
    client.request("POST", "/v1/chat/completions", json=asked)

    def found() -> str | None:
        logged = next(iter(client.logs.list(user=user)), None)
        is_it = logged is not None and logged["messages"] == asked["messages"]
        return logged["id"] if logged is not None and is_it else None

    return asyncio.run(eventually(found))
